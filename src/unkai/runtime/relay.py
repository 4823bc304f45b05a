"""From a function to unkai: what is accepted on an environment's inner socket is carried to unkai's own port, unread.

The function cannot choose another target, so nothing else of the host is in reach on this way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_CONNECTIONS_MAX = 256
BACKLOG = 1024
"""Of every socket inside an environment: a full one would cost its processes a second for each retry."""


class Relay:
    """One environment's. `close` ends its connections."""

    def __init__(self, listener: socket.socket, host: str, port: int) -> None:
        self._listener, self._target = listener, (host, port)
        self._pairs: set[Side] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=self._listener, backlog=BACKLOG)

    def _accept(self) -> Side:
        return Side(self._pairs, self._target)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for side in list(self._pairs):
            side.end()


class Side(asyncio.Protocol):
    """One end of a pair; writes into the other, and stops reading while the other is full."""

    def __init__(self, pairs: set[Side], target: tuple[str, int] | None) -> None:
        self._pairs, self._target = pairs, target
        self._transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self._ended = False
        self._early: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if len(self._pairs) >= _CONNECTIONS_MAX * 2:
            transport.abort()
            return
        self._pairs.add(self)
        if self._target is not None:
            self._task = asyncio.get_running_loop().create_task(self._connect(*self._target))

    async def _connect(self, host: str, port: int) -> None:
        other = Side(self._pairs, None)
        other.other, self.other = self, other
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, host, port)
        except OSError:
            self.end()
            return
        if self._transport is None or self._transport.is_closing():
            other.end()
            return
        other.data_from(self._early)
        self._early = []
        self._transport.resume_reading()

    def data_from(self, early: list[bytes]) -> None:
        if self._transport is not None:
            self._transport.writelines(early)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.write(data)
        elif self._transport is not None:  # not connected yet: one buffer is kept, and no more is read
            self._early.append(data)
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        other = self.other._transport if self.other is not None else None
        if self.other is not None and self.other._ended:
            return False  # both directions are over
        if other is not None and not other.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                other.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._pairs.discard(self)
        self._transport = None
        if self.other is not None:
            self.other.end()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()
