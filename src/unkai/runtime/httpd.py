"""HTTP/1.1 for the sockets inside environments: small, bounded, and hostile on the other side.

Only what the Runtime, Extensions and Telemetry APIs need: keep-alive, answers that come later, one streamed request body.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEAD_SIZE_BYTES_MAX = 64 * 1024
_PENALTY_S = 0.05
CONNECTIONS_MAX = 64
"""For each environment: a runtime needs one or two, an extension as many."""
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
            410: "Gone", 413: "Payload Too Large", 500: "Internal Server Error"}  # fmt: skip


class Body(Protocol):
    """Takes a streamed request body."""

    def feed(self, data: bytes) -> None: ...

    def end(self, trailers: Mapping[str, str]) -> None: ...

    def cut(self) -> None:
        """The connection ended before the body."""
        ...


@dataclass(slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    respond: Callable[[int, bytes, tuple[tuple[str, str], ...]], bool]
    """Answer now or later; False if the connection is gone."""
    transport: asyncio.Transport
    too_large: bool = False


@dataclass(slots=True)
class Api:
    """`handle` gets whole requests. `open_body` may take a body as a stream; `limit` bounds one that is not."""

    handle: Callable[[Request], None]
    open_body: Callable[[Request], Body | None]
    limit: Callable[[str], int]
    connections: set[Connection] = field(default_factory=set)


class Connection(asyncio.Protocol):
    def __init__(self, api: Api) -> None:
        self._api = api
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._unseen = 0
        """Bytes since the last that were body: a head, chunk lines or trailers, which the parser keeps until they end."""
        self._reset()

    def _reset(self) -> None:
        self._path = b""
        self._headers: dict[str, str] = {}
        self._trailers: dict[str, str] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._request: Request | None = None
        self._body: Body | None = None
        self._last = False

    # --- asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self._api.connections) >= CONNECTIONS_MAX:
            transport.abort()
            return
        self._transport = transport
        self._api.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._api.connections.discard(self)
        if self._body is not None:
            self._body.cut()
            self._body = None

    def data_received(self, data: bytes) -> None:
        self._unseen += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        if self._unseen > HEAD_SIZE_BYTES_MAX:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- httptools

    def on_message_begin(self) -> None:
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        target = self._headers if self._trailers is None else self._trailers
        if len(target) < 128:
            target[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._trailers = {}
        if self._transport is None:
            return
        method = self._parser.get_method().decode("latin-1")
        path = self._path.decode("latin-1").partition("?")[0]
        self._request = Request(method, path, self._headers, b"", self._respond, self._transport)
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._body = self._api.open_body(self._request)

    def on_body(self, data: bytes) -> None:
        self._unseen = 0
        if self._body is not None:
            self._body.feed(data)
            return
        self._size += len(data)
        assert self._request is not None
        if self._size > self._api.limit(self._request.path):
            self._request.too_large = True  # read on and forget: the answer comes after the body
            self._parts.clear()
        else:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        self._unseen = 0
        request, body = self._request, self._body
        if request is None:
            return
        self._last = not self._parser.should_keep_alive()
        if body is not None:
            self._body = None
            body.end(self._trailers or {})
            return
        request.body = b"".join(self._parts)
        self._parts = []
        self._api.handle(request)

    def _respond(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        length = len(body)
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n"]
        lines += [f"Content-Type: application/json\r\nContent-Length: {length}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        head = "".join(lines) + ("Connection: close\r\n\r\n" if self._last else "\r\n")
        self._transport.write(head.encode("latin-1", "replace") + body)
        if self._last:
            self._transport.close()
        elif status >= 400:
            # Who asks for nonsense waits: the keeper's time is every function's.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(_PENALTY_S, self._go_on)
        return True

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
