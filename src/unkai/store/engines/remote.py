"""The engine of a process that does not write: it reads its own snapshots and sends the rest to the store process.

When the connection breaks, unanswered commits end in CommitUnknown; `outcome` then asks the restarted store process, which
has the ids of its last commits on disk.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.store.api import CommitUnknown, StoreUnavailable
from unkai.store.engines.embedded import result_of
from unkai.store.engines.lmdb import LmdbSnapshot, open_environment
from unkai.store.frames import FrameConnection
from unkai.store.server import COMMIT, OUTCOME, SERIAL, UNWATCH, WAKE_ALL, WATCH
from unkai.store.writer import Outcome, Serial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import lmdb

    from unkai.store.api import Commit

RECONNECT_TRIES = 100
RECONNECT_PAUSE_S = 0.02

_decode = msgspec.msgpack.Decoder(list[Any]).decode


class RemoteEngine:
    """store/api.Engine over a read-only environment and a socket to the store process."""

    def __init__(self, env: lmdb.Environment, socket_path: Path) -> None:
        self._env = env
        self._path = socket_path
        self._connection: FrameConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}
        self._watches: dict[int, RemoteWatch] = {}

    def snapshot(self) -> LmdbSnapshot:
        return LmdbSnapshot(self._env)

    # --- requests

    async def commit(self, commit: Commit) -> bytes:
        return result_of(_outcome_of(await self._ask(COMMIT, commit)))

    async def serial(self, program: str, args: bytes, finishing: bytes = b"") -> bytes:
        return result_of(_outcome_of(await self._ask(SERIAL, Serial(program, args, finishing))))

    async def outcome(self, commit_id: bytes) -> bytes | None:
        while True:
            try:
                answer = await self._ask(OUTCOME, commit_id)
            except CommitUnknown:
                continue  # the store process went away once more; ask its successor
            stamp: bytes = answer[0]
            return stamp or None

    async def watch(self, channel: bytes) -> RemoteWatch:
        while True:
            number = next(self._numbers)
            watch = RemoteWatch(partial(self._leave, number, channel))
            self._watches[number] = watch
            try:
                await self._ask(WATCH, channel, number)
            except CommitUnknown:
                continue  # the store process went away; wait at its successor
            except BaseException:
                watch.close()
                raise
            return watch

    async def wake_all(self) -> None:
        while True:
            try:
                await self._ask(WAKE_ALL, None)
            except CommitUnknown:
                continue
            return

    def _leave(self, number: int, channel: bytes, used: bool) -> None:
        self._watches.pop(number, None)
        # Whether a signal was on its way here only the store process can tell; it passes it on.
        if not used and self._connection is not None:
            self._connection.send((0, UNWATCH, (number, channel)))

    async def _ask(self, verb: int, body: Any, number: int | None = None) -> list[Any]:
        while self._connection is None:
            await self._connect()
        number = next(self._numbers) if number is None else number
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._connection.send((number, verb, body))
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    # --- the connection

    async def _connect(self) -> None:
        """Connect once for all who wait. Raises StoreUnavailable when the store process stays away."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._try_to_connect())
        try:
            await asyncio.shield(self._connecting)
        finally:
            if self._connecting is not None and self._connecting.done():
                self._connecting = None

    async def _try_to_connect(self) -> None:
        loop = asyncio.get_running_loop()
        connection: FrameConnection | None
        for _ in range(RECONNECT_TRIES):
            try:
                _, connection = await loop.create_unix_connection(
                    lambda: FrameConnection(self._on_frame, self._on_lost), str(self._path)
                )
            except OSError:
                connection = None
            if connection is not None and connection.is_open:  # it may be lost before we are told that it was made
                self._connection = connection
                return
            await asyncio.sleep(RECONNECT_PAUSE_S)
        raise StoreUnavailable("The store process does not answer.")

    def _on_frame(self, connection: FrameConnection, frame: bytes) -> None:
        number, *answer = _decode(frame)
        if number in self._watches and answer == [True]:
            self._watches.pop(number).wake()
            return
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(answer)

    def _on_lost(self, connection: FrameConnection) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(CommitUnknown())
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.wake()  # its place is gone with the store process: look again

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._env.close()


class RemoteWatch:
    """A place in a channel's queue in the store process."""

    def __init__(self, leave: Callable[[bool], None]) -> None:
        self._woken = asyncio.Event()
        self._leave = leave
        self._is_used = False
        self._is_closed = False

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, timeout_s: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._is_used = True
        return True

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._leave(self._is_used)


def _outcome_of(answer: list[Any]) -> Outcome:
    kind, data, reason = answer
    return Outcome(kind, data, reason)


def open_remote(folder: Path, socket_path: Path) -> RemoteEngine:
    """Opened once per process, after its fork."""
    return RemoteEngine(open_environment(folder, readonly=True), socket_path)
