"""HTTP requests and responses as plain values: what the front door receives and sends, and what data planes get.

Reading and writing sockets is `edge/http`; these values know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class BodyStream(Protocol):
    """A request body that has not arrived whole. Back-pressure: what is not read is not received."""

    length_bytes: int | None
    """Content-Length, or None where the body is chunked."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they arrive. Raises `BodyIncomplete` where the client goes away first."""
        ...

    def trailers(self) -> dict[str, str]:
        """HTTP trailers by lower-case name; complete once iteration ended."""
        ...


class BodyIncomplete(Exception):
    """The client closed the connection, or was too slow, before its body was whole."""


@dataclass(slots=True)
class HttpRequest:
    """One request. `path` and `query` are raw, as sent (latin-1), since signatures cover them byte by byte.

    `headers` has lower-case names; a header sent twice is joined with a comma. `raw_headers` keeps order and repetition.
    `body` is bytes where the body was small and arrived whole before the handler started, otherwise a stream.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes | BodyStream = b""
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    scheme: str = "http"
    http_version: str = "1.1"
    source_ip: str = ""

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body, refused where it is larger than `limit_bytes`."""
        if isinstance(self.body, bytes):
            if len(self.body) > limit_bytes:
                raise request_too_large(limit_bytes)
            return self.body
        if self.body.length_bytes is not None and self.body.length_bytes > limit_bytes:
            raise request_too_large(limit_bytes)
        pieces: list[bytes] = []
        size = 0
        async for piece in self.body:
            size += len(piece)
            if size > limit_bytes:
                raise request_too_large(limit_bytes)
            pieces.append(piece)
        self.body = b"".join(pieces)
        return self.body


def request_too_large(limit_bytes: int) -> AwsError:
    return AwsError("RequestEntityTooLarge", f"The request body is larger than {limit_bytes} bytes.", status=413)


@dataclass(frozen=True, slots=True)
class FileBody:
    """A piece of a file to send: `length_bytes` from `offset`. The sender owns `fd` and closes it."""

    fd: int
    offset: int
    length_bytes: int


@dataclass(slots=True)
class HttpResponse:
    """One response. The sender adds Date, Content-Length (or chunked framing) and Connection.

    An iterator body has `length_bytes` where it is known beforehand. `headers` keeps order and repetition.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] | FileBody = b""
    length_bytes: int | None = None
