"""The head of a response as bytes, and nothing that a handler says can split it in two.

The sender owns framing and connection headers: what a handler sets of them is dropped, so that a function behind a gateway
cannot desynchronise the connection.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from unkai.kernel import clock
from unkai.kernel.http import FileBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.http import HttpResponse

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}

OWN_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class BadResponse(Exception):
    """A handler's response cannot be sent. A defect above: the client gets a bare 500."""


class DateText:
    """The Date header's value (RFC 9110 section 5.6.7), made once a second."""

    __slots__ = ("_date_ms", "_second", "_text")

    def __init__(self, date_ms: Callable[[], int]) -> None:
        self._date_ms = date_ms
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        now_ms = self._date_ms()
        if now_ms // 1000 != self._second:
            self._second = now_ms // 1000
            self._text = clock.format_utc(now_ms, "%a, %d %b %Y %H:%M:%S GMT")
        return self._text


def has_body(method: str, status: int) -> bool:
    """RFC 9110 section 6.4.1."""
    return method != "HEAD" and status not in (204, 304)


def body_length(response: HttpResponse) -> int | None:
    """The Content-Length to announce; None where nobody knows it beforehand."""
    body = response.body
    if isinstance(body, bytes):
        # An answer to HEAD has no body but tells the length that GET would have.
        return len(body) if body or response.length_bytes is None else response.length_bytes
    return body.length_bytes if isinstance(body, FileBody) else response.length_bytes


def response_head(response: HttpResponse, date: str, length_bytes: int | None, is_chunked: bool, closing: str) -> bytes:
    """`closing` is the Connection header's value, empty for none. Raises BadResponse."""
    status = response.status
    if not 200 <= status <= 999:
        raise BadResponse("a handler answers with a final status")
    text = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    lines = 2
    for name, value in response.headers:
        if name.lower() not in OWN_HEADERS:
            text += f"{name}: {value}\r\n"
            lines += 1
    text += f"Date: {date}\r\n"
    if status != 204:
        if is_chunked:
            text += "Transfer-Encoding: chunked\r\n"
            lines += 1
        elif length_bytes is not None:
            text += f"Content-Length: {length_bytes}\r\n"
            lines += 1
    if closing:
        text += f"Connection: {closing}\r\n"
        lines += 1
    # Counting whole is several times cheaper than looking into each value.
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise BadResponse("a header stays on its line")
    try:
        return (text + "\r\n").encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadResponse("a header is latin-1") from error


def refusal(status: int, reason: str, date: str) -> bytes:
    """A whole response to a request that no handler saw; the connection ends after it."""
    line = _STATUS_LINES[status]
    return (
        f"{line}Date: {date}\r\nContent-Type: text/plain\r\nContent-Length: {len(reason) + 1}\r\n"
        f"Connection: close\r\n\r\n{reason}\n"
    ).encode("latin-1")
