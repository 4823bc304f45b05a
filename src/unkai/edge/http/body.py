"""Request bodies that arrive in pieces: taking them out of their framing, and handing them to a handler with back-pressure.

The decoders are sans-IO: bytes in, pieces out. `IncomingBody` is the queue between a connection, which puts pieces in,
and one handler, which iterates; both HTTP versions use it. Framing: RFC 9112 sections 6 and 7.1.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING

from unkai.edge.http.head import BadRequest
from unkai.kernel.http import BodyIncomplete

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CHUNK_LINE_BYTES_MAX = 256
_SMALL_PIECE_BYTES = 1024
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")

# Trailers that would change how the message was understood are dropped (RFC 9110 section 6.5.1).
_NOT_AS_TRAILER = frozenset({"content-length", "transfer-encoding", "host", "authorization", "connection", "trailer"})


class LengthDecoder:
    """A body of a known number of bytes."""

    __slots__ = ("is_done", "remaining_bytes")

    def __init__(self, length_bytes: int) -> None:
        self.remaining_bytes = length_bytes
        self.is_done = length_bytes == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """(pieces of the body, what comes after it)."""
        if len(data) < self.remaining_bytes:
            self.remaining_bytes -= len(data)
            return [data], b""
        piece, rest = data[: self.remaining_bytes], data[self.remaining_bytes :]
        self.remaining_bytes = 0
        self.is_done = True
        return [piece] if piece else [], rest

    def trailers(self) -> dict[str, str]:
        return {}


class ChunkedDecoder:
    """`Transfer-Encoding: chunked`. Chunk extensions are ignored, as RFC 9112 section 7.1.1 asks."""

    __slots__ = ("_held", "_left", "_state", "_trailer_bytes_max", "_trailers", "is_done", "remaining_bytes")

    def __init__(self, trailer_bytes_max: int) -> None:
        self._state = "size"  # size -> data -> data_end -> size ... -> trailers -> done
        self._left = 0
        self._held = b""  # a line that has not ended yet
        self._trailer_bytes_max = trailer_bytes_max
        self._trailers: dict[str, str] = {}
        self.remaining_bytes: int | None = None
        self.is_done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """(pieces of the body, what comes after it). Raises BadRequest."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_done:
            if self._state == "data":
                piece = data[at : at + self._left] if at or len(data) > self._left else data
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = "data_end"
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                return pieces, b""
            if end == at or data[end - 1] != 0x0D:
                raise BadRequest(400, "A line of the chunked body does not end with CR LF.")
            self._read_line(data[at : end - 1])
            at = end + 1
        return pieces, data[at:] if at < len(data) else b""

    def trailers(self) -> dict[str, str]:
        return self._trailers

    def _hold(self, part: bytes) -> None:
        limit = self._trailer_bytes_max if self._state == "trailers" else _CHUNK_LINE_BYTES_MAX
        if len(part) > limit:
            raise BadRequest(400, "A line of the chunked body is too long.")
        self._held = part

    def _read_line(self, line: bytes) -> None:
        if self._state == "data_end":
            if line:
                raise BadRequest(400, "A chunk is longer than it says.")
            self._state = "size"
        elif self._state == "size":
            match = _CHUNK_SIZE.fullmatch(line) if len(line) <= _CHUNK_LINE_BYTES_MAX else None
            if match is None:
                raise BadRequest(400, "A chunk size is not well-formed.")
            self._left = int(match[1], 16)
            self._state = "data" if self._left else "trailers"
        elif not line:
            self.is_done = True
        else:
            self._trailer_bytes_max -= len(line)
            match = _TRAILER.fullmatch(line)
            if match is None or self._trailer_bytes_max < 0:
                raise BadRequest(400, "A trailer is not well-formed.")
            name, value = match[1].decode("latin-1").lower(), match[2].decode("latin-1").rstrip(" \t")
            if name not in _NOT_AS_TRAILER:
                self._trailers[name] = f"{self._trailers[name]},{value}" if name in self._trailers else value


class IncomingBody:
    """One request's body on its way to one handler: a `kernel.http.BodyStream`.

    `on_start` runs when the handler first asks for bytes (it sends `100 Continue`); `on_taken(size)` whenever the handler
    has taken a piece (it lets the client send more).
    """

    __slots__ = ("_error", "_on_start", "_on_taken", "_pieces", "_trailers", "_waiter", "held_bytes", "is_complete",
                 "is_started", "length_bytes")  # fmt: skip

    def __init__(self, length_bytes: int | None, on_start: Callable[[], None], on_taken: Callable[[int], None]) -> None:
        self.length_bytes = length_bytes
        self.held_bytes = 0
        self.is_complete = False
        self.is_started = False
        self._on_start = on_start
        self._on_taken = on_taken
        self._pieces: deque[bytes] = deque()
        self._trailers: dict[str, str] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._error: str | None = None

    # The handler's side.

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.is_started:
            self.is_started = True
            self._on_start()
        while not self._pieces:
            if self._error is not None:
                raise BodyIncomplete(self._error)
            if self.is_complete:
                raise StopAsyncIteration
            assert self._waiter is None, "a body has one reader"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self.held_bytes -= len(piece)
        self._on_taken(len(piece))
        return piece

    def trailers(self) -> dict[str, str]:
        return self._trailers

    # The connection's side.

    def put(self, piece: bytes) -> None:
        self.held_bytes += len(piece)
        if self._pieces and len(piece) + len(self._pieces[-1]) <= _SMALL_PIECE_BYTES:
            # A body sent byte by byte must not cost a hundred times its size.
            self._pieces[-1] += piece
        else:
            self._pieces.append(piece)
        self._wake()

    def complete(self, trailers: dict[str, str]) -> None:
        self._trailers = trailers
        self.is_complete = True
        self._wake()

    def fail(self, reason: str) -> None:
        """What arrived can still be read; then the reader gets BodyIncomplete."""
        if not self.is_complete and self._error is None:
            self._error = reason
            self._wake()

    def discard(self) -> int:
        """Throw away what was not read: how many bytes. The body cannot be read after that."""
        self.fail("The request was answered.")
        held_bytes, self.held_bytes = self.held_bytes, 0
        self._pieces.clear()
        return held_bytes

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
