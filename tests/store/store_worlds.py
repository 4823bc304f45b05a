"""Stores to test on, each with a way to restart it, and transactions that a test opens and commits by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.kernel.ids import random_bytes
from unkai.store.engines.faulty import Faults, FaultyEngine
from unkai.store.engines.lmdb import LmdbStore, engine_over
from unkai.store.engines.memory import MemoryStore, open_memory
from unkai.store.engines.remote import RemoteEngine
from unkai.store.retry import PLACEHOLDER
from unkai.store.server import StoreServer
from unkai.store.transaction import Transaction

if TYPE_CHECKING:
    from pathlib import Path

    from unkai.store.api import Engine, Program, Snapshot
    from unkai.store.engines.embedded import EmbeddedEngine

ENGINES = ("memory", "lmdb", "remote", "faulty")

_ids = itertools.count(1)
_run = random_bytes(8)


def new_commit_id() -> bytes:
    return _run + next(_ids).to_bytes(8, "big")


@dataclass
class Opened:
    """A transaction with its snapshot."""

    engine: Engine
    snapshot: Snapshot
    tx: Transaction
    id: bytes = field(default_factory=new_commit_id)

    async def commit(self) -> bytes:
        """The stamp. Raises what the engine raises."""
        commit = self.tx.to_commit(self.id, self.snapshot.version())
        self.snapshot.close()
        return await self.engine.commit(commit)


def begin(engine: Engine) -> Opened:
    snapshot = engine.snapshot()
    return Opened(engine, snapshot, Transaction(snapshot, placeholder=PLACEHOLDER))


async def write(engine: Engine, *pairs: tuple[bytes, bytes | None]) -> bytes:
    """Set (or clear, where the value is None) in one blind transaction."""
    opened = begin(engine)
    for key, value in pairs:
        if value is None:
            opened.tx.clear(key)
        else:
            opened.tx.set(key, value)
    return await opened.commit()


async def read_all(engine: Engine, begin: bytes = b"", end: bytes = b"\xff" * 600) -> list[tuple[bytes, bytes]]:
    snapshot = engine.snapshot()
    try:
        return await snapshot.get_range(begin, end)
    finally:
        snapshot.close()


class World:
    """A store of one kind, opened on `async with`. `programs` may be filled by the test at any time."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.programs: dict[str, Program] = {}
        self._folder = folder
        self._memory = MemoryStore()
        self._server: StoreServer | None = None
        self.engine: Engine
        self.embedded: EmbeddedEngine

    async def __aenter__(self) -> World:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _open(self) -> None:
        if self.kind in ("memory", "faulty"):
            self.embedded = open_memory(self.programs, self._memory)
            faults = Faults(pause=0.5)  # order of waiting only: every promise must hold as it stands
            self.engine = FaultyEngine(self.embedded, seed=7, faults=faults) if self.kind == "faulty" else self.embedded
            return
        store = LmdbStore(self._folder / "store")
        self.embedded = engine_over(store, self.programs)
        self.engine = self.embedded
        if self.kind == "remote":
            self._server = StoreServer(self.embedded.writer)
            await self._server.listen(self._folder / "socket")
            # LMDB forbids a second environment in one process, so the reader shares it; tests/crash has real processes.
            self.engine = RemoteEngine(store.env, self._folder / "socket")

    async def _close(self) -> None:
        if self._server is not None:
            await self._server.close()
        await self.engine.close()
        if self.kind == "remote":
            await self.embedded.close()

    async def restart(self) -> None:
        """Close in order, and open again on what was kept."""
        await self._close()
        await self._open()

    async def second_engine(self) -> Engine:
        """Another engine on the same store, as in another process."""
        if self.kind != "remote":
            return self.engine
        assert isinstance(self.engine, RemoteEngine)
        return RemoteEngine(self.engine._env, self._folder / "socket")
