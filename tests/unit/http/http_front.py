"""Servers under test on a loop in a thread, real sockets on a free port, and time that the test moves: `front.tick(seconds)`."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from unkai.edge.http import Handler, Limits, Server, serve
from unkai.kernel.http import BodyIncomplete, HttpRequest, HttpResponse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
DATE_MS = 1_700_000_000_000
# No deadline passes by itself during a test; `tick` moves time.
SLOW = Limits(keep_alive_s=4000, header_timeout_s=2000, body_timeout_s=2000, write_timeout_s=2000, linger_s=1000)


class Front:
    """Servers on one loop, and what a test asks of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.servers: list[Server] = []
        self.seen: list[HttpRequest] = []
        self.bodies: list[bytes] = []
        self.events: list[str] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def start(
        self, handler: Handler | None = None, limits: Limits = SLOW, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        sock = socket.create_server(("127.0.0.1", 0))
        server = self.run(serve(sock, handler or self.answer, limits=limits, tls=tls, date_ms=lambda: DATE_MS))
        self.servers.append(server)
        return sock.getsockname()[:2]

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answers with what it saw: the path, then the body."""
        self.seen.append(request)
        try:
            body = await request.read(1 << 30)
        except BodyIncomplete:
            self.events.append("incomplete")
            raise
        self.bodies.append(body)
        return HttpResponse(200, [], request.path.encode() + b" " + body)

    def tick(self, seconds: float) -> None:
        """Let the servers' coarse time pass."""

        async def move() -> None:
            for server in self.servers:
                for _ in range(round(seconds / server.tick_s) + 2):
                    server.tick()

        self.run(move())

    def settle(self, until: Callable[[], bool]) -> None:
        """Wait until the loop's side has come to a state, at most 5 s."""

        async def wait() -> None:
            async with asyncio.timeout(5):
                while not until():
                    await asyncio.sleep(0.001)

        self.run(wait())

    def take_in(self) -> None:
        """Let the loop read what was sent so far, so that pieces do not arrive as one."""
        for _ in range(2):
            self.run(asyncio.sleep(0))

    def connection_count(self) -> int:
        return sum(server.connection_count() for server in self.servers)


def connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def send_until_blocked(sock: socket.socket, data: bytes, limit: int) -> int:
    """How many of `limit` bytes (repetitions of `data`) the other side takes before it stops for a fifth of a second."""
    sock.settimeout(0.2)
    sent = 0
    try:
        while sent < limit:
            sent += sock.send(data[: limit - sent])
    except TimeoutError:
        pass
    sock.settimeout(5)
    return sent


def read_to_end(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    out = b""
    while piece := sock.recv(65536):
        out += piece
    return out


def read_response(sock: socket.socket, is_head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """One response by its Content-Length or chunks; what follows is left in the socket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    if is_head or status in (100, 204, 304):
        return status, headers, b""
    if headers.get("transfer-encoding") == "chunked":
        return status, headers, _read_chunks(sock)
    return status, headers, _read_exactly(sock, int(headers["content-length"]))


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    out = b""
    while len(out) < size:
        piece = sock.recv(size - len(out))
        assert piece, "the response is cut"
        out += piece
    return out


def _read_chunks(sock: socket.socket) -> bytes:
    out = b""
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += _read_exactly(sock, 1)
        size = int(line, 16)
        out += _read_exactly(sock, size)
        assert _read_exactly(sock, 2) == b"\r\n"
        if size == 0:
            return out
