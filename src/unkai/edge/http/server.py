"""The listening socket, the connections on it, and how they end.

`serve` takes a bound socket, so that several workers can share one. One timer per server looks at all connections' deadlines;
it runs only while there are connections.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from unkai.edge.http.head import HeadParser
from unkai.edge.http.limits import Limits
from unkai.edge.http.protocol1 import Http1
from unkai.edge.http.protocol2 import Http2
from unkai.edge.http.writer import DateText
from unkai.kernel.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import socket
    import ssl

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Connection(Protocol):
    """What the server asks of a connection, whichever version it speaks."""

    deadline: int
    """The tick by which the client must have done something; 0 for none."""

    def deadline_passed(self) -> None: ...

    def drain(self) -> None:
        """Take no further request; close once those under way are answered."""
        ...

    def abort(self) -> None: ...


class Server:
    """One accepting server. Made by `serve`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        limits: Limits,
        is_tls: bool,
        date_ms: Callable[[], int],
    ) -> None:
        self.loop = loop
        self.handler = handler
        self.limits = limits
        self.is_tls = is_tls
        self.is_draining = False
        self.parser = HeadParser(limits)
        self.date = DateText(date_ms)
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self.tick_s = limits.tick_s()
        self.ticks = 1
        self.keep_alive_ticks = self.deadline(limits.keep_alive_s) - self.ticks
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    # For connections.

    def deadline(self, seconds: float) -> int:
        """The tick that is `seconds` away, a fraction of a tick late rather than early."""
        return self.ticks + math.ceil(seconds / self.tick_s) + 1

    def admit(self, connection: Connection) -> bool:
        """False: there are too many; the connection may say so, and must close."""
        is_room = len(self._connections) < self.limits.connections_max
        self._connections.add(connection)
        if self._timer is None:
            self._timer = self.loop.call_later(self.tick_s, self.tick)
        return is_room and not self.is_draining

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def become_http2(self, connection: Connection, transport: asyncio.Transport, source_ip: str, data: bytes) -> None:
        """Hand a connection over to HTTP/2, with the bytes that arrived so far."""
        successor = Http2(self, transport, source_ip)
        self._connections.discard(connection)
        self._connections.add(successor)
        transport.set_protocol(successor)
        if data:
            successor.data_received(data)

    # For whoever runs it.

    def tick(self) -> None:
        """One step of coarse time: act on every deadline that passed."""
        if self._timer is not None:
            self._timer.cancel()
        self.ticks += 1
        for connection in [c for c in self._connections if c.deadline and c.deadline <= self.ticks]:
            connection.deadline_passed()
        self._timer = self.loop.call_later(self.tick_s, self.tick) if self._connections else None

    def connection_count(self) -> int:
        return len(self._connections)

    async def close(self, grace_s: float) -> None:
        """Stop accepting, answer what is under way (with `Connection: close`), cut what is left after `grace_s`."""
        assert self._listener is not None
        self.is_draining = True
        self._listener.close()
        for connection in list(self._connections):
            connection.drain()
        self._emptied = self.loop.create_future()
        if self._connections:
            await asyncio.wait([self._emptied], timeout=grace_s)
        if self._connections:
            for connection in list(self._connections):
                connection.abort()
            await self._emptied  # transports tell of the loss in the loop's next round
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def serve(
    sock: socket.socket,
    handler: Handler,
    *,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    date_ms: Callable[[], int],
) -> Server:
    """Serve `handler` on `sock`, which is bound (and may be shared with other processes). `date_ms` is real time."""
    limits = limits or Limits()
    loop = asyncio.get_running_loop()
    server = Server(loop, handler, limits, tls is not None, date_ms)
    server._listener = await loop.create_server(
        lambda: Http1(server),
        sock=sock,
        ssl=tls,
        backlog=1024,
        ssl_handshake_timeout=limits.header_timeout_s if tls is not None else None,
    )
    return server
