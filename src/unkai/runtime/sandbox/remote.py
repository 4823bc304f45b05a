"""The keeper's side of the socket to the spawner: requests as awaitable calls, ends of processes as callbacks."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from unkai.runtime.sandbox import cells, messages

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

# Which request an answer belongs to; one of a kind is under way per cell or server.
_ANSWERS: dict[type, type] = {
    messages.Created: messages.Create,
    messages.Started: messages.Start,
    messages.Measured: messages.Measure,
    messages.Dialled: messages.Dial,
    messages.Destroyed: messages.Destroy,
    messages.Serving: messages.Serve,
}


class SpawnFailed(Exception):
    """The spawner could not do what was asked. The text is for the operator."""


class Spawner:
    """`on_exit(message)` hears of every ended process and fork server; `on_gone()` of the spawner's end."""

    def __init__(
        self,
        channel: socket.socket,
        on_exit: Callable[[messages.Exited | messages.ServerExited], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._channel, self._on_exit, self._on_gone = channel, on_exit, on_gone
        self._waiting: dict[tuple[type, int], asyncio.Future[tuple[Any, list[int]]]] = {}
        self._starting: dict[int, int] = {}
        self._backlog: list[tuple[bytes, list[int]]] = []
        channel.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self._read)

    async def create(self, request: messages.Create) -> list[int]:
        return (await self._ask(request, request.cell))[1]

    async def start(self, cell: int, process: int, server: int, config: Mapping[str, Any], output: int) -> None:
        """Start a process with its settings in a memory file, which only that process reads."""
        settings = os.memfd_create("settings", os.MFD_CLOEXEC)
        try:
            os.write(settings, json.dumps(config).encode())
            self._starting[cell] = process
            await self._ask(messages.Start(cell, process, server), cell, [settings, output])
        finally:
            self._starting.pop(cell, None)
            os.close(settings)

    async def measure(self, cell: int) -> messages.Measured:
        answer: messages.Measured = (await self._ask(messages.Measure(cell), cell))[0]
        return answer

    async def dial(self, cell: int) -> int:
        return (await self._ask(messages.Dial(cell), cell))[1][0]

    async def destroy(self, cell: int) -> None:
        await self._ask(messages.Destroy(cell), cell)

    async def serve(self, server: int, minor: int, sdk: bool) -> frozenset[str]:
        """Start a fork server; the top-level names that it has imported."""
        _, fds = await self._ask(messages.Serve(server, minor, int(sdk)), server)
        data = os.pread(fds[0], 1 << 20, 0)
        for fd in fds:
            os.close(fd)
        return frozenset(data.decode().split("\n"))

    def freeze(self, cell: int) -> None:
        self._send(messages.pack(messages.Freeze(cell)), [])

    def thaw(self, cell: int) -> None:
        """Not waited for: what is sent to the cell meanwhile is found when it runs."""
        self._send(messages.pack(messages.Thaw(cell)), [])

    def signal(self, cell: int, process: int, hard: bool) -> None:
        self._send(messages.pack(messages.Signal(cell, process, int(hard))), [])

    async def _ask(self, request: messages.Message, number: int, fds: Sequence[int] = ()) -> tuple[Any, list[int]]:
        key = (type(request), number)
        while key in self._waiting:  # a second start in a cell waits for the first
            await asyncio.wait([self._waiting[key]])
        future: asyncio.Future[tuple[Any, list[int]]] = self._loop.create_future()
        self._waiting[key] = future
        self._send(messages.pack(request), list(fds))
        return await future

    def _send(self, data: bytes, fds: list[int]) -> None:
        if not self._backlog:
            try:
                cells.send(self._channel, data, fds)
                return
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._flush)
            except (BrokenPipeError, ConnectionResetError):
                return  # the reader hears of it
        self._backlog.append((data, [os.dup(fd) for fd in fds]))

    def _flush(self) -> None:
        while self._backlog:
            data, fds = self._backlog[0]
            try:
                cells.send(self._channel, data, fds)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                pass
            del self._backlog[0]
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._channel.fileno())

    def _read(self) -> None:
        while True:
            try:
                data, fds = cells.receive(self._channel, messages.FDS_MAX)
            except BlockingIOError:
                return
            if not data:
                self._gone()
                return
            self._hear(messages.unpack(data), fds)

    def _hear(self, message: messages.Message, fds: list[int]) -> None:
        if isinstance(message, messages.Exited | messages.ServerExited):
            if isinstance(message, messages.Exited) and self._starting.get(message.cell) == message.process:
                begun = self._waiting.pop((messages.Start, message.cell), None)
                if begun is not None and not begun.done():  # its fork server died over it
                    begun.set_exception(SpawnFailed("the process ended before it began"))
            if isinstance(message, messages.ServerExited):
                serving = self._waiting.pop((messages.Serve, message.server), None)
                if serving is not None and not serving.done():
                    serving.set_exception(SpawnFailed("the fork server ended at once"))
            self._on_exit(message)
            return
        if isinstance(message, messages.Failed):
            kind = next((kind for kind in _ANSWERS.values() if messages.code_of(kind) == message.what), type(None))
            future = self._waiting.pop((kind, message.number), None)
            if future is not None and not future.done():
                future.set_exception(SpawnFailed(message.text.rstrip(b"\0").decode(errors="replace")))
            return
        if isinstance(message, messages.Thawed):
            return
        number = message.server if isinstance(message, messages.Serving) else message.cell  # type: ignore[union-attr]
        future = self._waiting.pop((_ANSWERS[type(message)], number), None)
        if future is None or future.done():
            for fd in fds:
                os.close(fd)
        else:
            future.set_result((message, fds))

    def _gone(self) -> None:
        self._loop.remove_reader(self._channel.fileno())
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SpawnFailed("the spawner is gone"))
        self._waiting.clear()
        self._on_gone()
