"""An engine whose writer is in this process: the memory engine, LMDB in one process, and the store process itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unkai.store.api import Conflict, StoreUnavailable
from unkai.store.watches import LocalWatch
from unkai.store.writer import CONFLICT, OK, UNAVAILABLE, Outcome, Request, Serial, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.store.api import Commit, Snapshot


class ProgramFailed(Exception):
    """A program raised something that is no answer: a defect, logged where it happened."""


def result_of(outcome: Outcome) -> bytes:
    """The data of an outcome, or the exception that it stands for."""
    if outcome.kind == OK:
        return outcome.data
    if outcome.kind == CONFLICT:
        raise Conflict
    if outcome.kind == UNAVAILABLE:
        raise StoreUnavailable(outcome.reason)
    raise ProgramFailed(outcome.reason)


class EmbeddedEngine:
    """store/api.Engine over a writer and a way to open snapshots."""

    def __init__(self, writer: Writer, snapshot: Callable[[], Snapshot], close: Callable[[], None]) -> None:
        self.writer = writer
        self.snapshot = snapshot
        self._close = close

    async def _submit(self, request: Request) -> bytes:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answer(outcome: Outcome) -> None:
            if not future.done():  # whoever asked may have been cancelled; the commit stands all the same
                future.set_result(outcome)

        self.writer.submit(request, answer)
        return result_of(await future)

    async def commit(self, commit: Commit) -> bytes:
        return await self._submit(commit)

    async def outcome(self, commit_id: bytes) -> bytes | None:
        return self.writer.outcome(commit_id)

    async def serial(self, program: str, args: bytes, finishing: bytes = b"") -> bytes:
        return await self._submit(Serial(program, args, finishing))

    async def watch(self, channel: bytes) -> LocalWatch:
        return LocalWatch(self.writer.watches, channel)

    async def wake_all(self) -> None:
        self.writer.watches.fire_all()

    async def close(self) -> None:
        self.writer.drain()
        self._close()
