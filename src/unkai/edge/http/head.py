"""The head of an HTTP/1 request: bytes up to the empty line -> `HttpRequest` and how its body is framed.

llhttp (through httptools) is the tokenizer and is strict: no obs-fold, no bare CR or LF, no space before a colon, no control
characters. What two servers in a row could understand differently (request smuggling, RFC 9112 section 11.2) is
refused here on top of that: framing is decided by our own reading of the headers, never by the tokenizer's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from unkai.kernel.http import HttpRequest

if TYPE_CHECKING:
    from unkai.edge.http.limits import Limits


class BadRequest(Exception):
    """A request that is refused before any handler sees it. `reason` is static text: it goes to the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


HOST = re.compile(r"[A-Za-z0-9._~:\[\]%-]*")
_DIGITS = re.compile(r"[0-9]{1,18}")

_FREQUENT = """
    Host User-Agent Accept Accept-Encoding Authorization Connection Content-Length Content-Type Content-MD5 Expect
    Transfer-Encoding Content-Encoding Range X-Amz-Date X-Amz-Content-SHA256 X-Amz-Security-Token X-Amz-Target
    amz-sdk-invocation-id amz-sdk-request X-Amz-User-Agent X-Amzn-Trace-Id X-Amz-Trailer
    X-Amz-Decoded-Content-Length X-Amzn-Query-Mode X-Amz-Sdk-Checksum-Algorithm
"""
# Decoding and lowering the names that nearly every request carries is one dictionary look-up.
_NAMES = {
    spelling.encode(): name.lower() for name in _FREQUENT.split() for spelling in (name, name.lower(), name.title())
}


class HeadParser:
    """Parses one whole head at a time, so one parser serves all connections of a process.

    After `parse`, `length_bytes` is the body's Content-Length (0 without a body, None where it is chunked).
    """

    __slots__ = (
        "_headers_max",
        "_is_whole",
        "_line_bytes_max",
        "_raw",
        "_target",
        "expects_continue",
        "keep_alive",
        "length_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self._headers_max = limits.headers_max
        self._line_bytes_max = limits.request_line_bytes_max
        self._raw: list[tuple[bytes, bytes]] = []
        self._target = b""
        self.length_bytes: int | None = 0
        self.keep_alive = True
        self.expects_continue = False
        self._is_whole = False

    # The tokenizer's callbacks.

    def on_url(self, target: bytes) -> None:
        self._target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._is_whole = True

    def parse(self, head: bytes) -> HttpRequest:
        """`head` ends with the empty line. Raises BadRequest."""
        line_bytes = head.find(b"\r\n")
        if line_bytes > self._line_bytes_max:
            raise BadRequest(414, "The request line is too long.")
        raw = self._raw = []
        self._is_whole = False
        # A new tokenizer for each head: what one client sent must not linger for another, and it costs 0.2 us.
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # no protocol is switched to: the request is answered as if it had not asked (RFC 9110 section 7.8)
        except httptools.HttpParserError as error:
            raise BadRequest(400, "The request is not well-formed.") from error
        if not self._is_whole:
            raise BadRequest(400, "The request is not well-formed.")
        if len(raw) > self._headers_max:
            raise BadRequest(431, "The request has too many headers.")
        return self._request(head, line_bytes, parser.get_method(), self._target, raw)

    def _request(
        self, head: bytes, line_bytes: int, method: bytes, target: bytes, raw: list[tuple[bytes, bytes]]
    ) -> HttpRequest:
        if head.endswith(b" HTTP/1.1", 0, line_bytes):
            version = "1.1"
        elif head.endswith(b" HTTP/1.0", 0, line_bytes):
            version = "1.0"
        else:
            raise BadRequest(505, "Only HTTP/1.1, HTTP/1.0 and HTTP/2 are spoken here.")
        # Exactly one space between method, target and version: the tokenizer lets several pass.
        if len(method) + len(target) + 10 != line_bytes:
            raise BadRequest(400, "The request line is not well-formed.")
        if target[:1] != b"/" and not (target == b"*" and method == b"OPTIONS"):
            raise BadRequest(400, "The request target must be a path.")
        if b"#" in target:
            raise BadRequest(400, "The request target must not have a fragment.")
        headers: dict[str, str] = {}
        for name, value in raw:
            key = _NAMES.get(name) or name.decode("latin-1").lower()
            if key in headers:
                if key in ("host", "content-length", "transfer-encoding"):
                    raise BadRequest(400, "A header that must be single was sent twice.")
                headers[key] = f"{headers[key]},{value.decode('latin-1')}"
            else:
                headers[key] = value.decode("latin-1")
        host = headers.get("host")
        if host is None:
            if version == "1.1":
                raise BadRequest(400, "The Host header is missing.")
        elif HOST.fullmatch(host) is None:
            raise BadRequest(400, "The Host header is not well-formed.")
        self._read_framing(headers, version)
        path, _, query = target.decode("latin-1").partition("?")
        return HttpRequest(method.decode(), path, query, headers, b"", raw, "http", version)

    def _read_framing(self, headers: dict[str, str], version: str) -> None:
        length: int | None = 0
        given = headers.get("content-length")
        if given is not None:
            if _DIGITS.fullmatch(given) is None:
                raise BadRequest(400, "The Content-Length header is not well-formed.")
            length = int(given)
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if given is not None or version == "1.0" or coding.lower() != "chunked":
                raise BadRequest(400, "The Transfer-Encoding header is not acceptable.")
            length = None
        connection = headers.get("connection")
        if connection is None:
            self.keep_alive = version == "1.1"
        else:
            options = [option.strip() for option in connection.lower().split(",")]
            self.keep_alive = "close" not in options and (version == "1.1" or "keep-alive" in options)
        expect = headers.get("expect")
        self.expects_continue = False
        if expect is not None and version == "1.1":
            if expect.lower() != "100-continue":
                raise BadRequest(417, "Only 100-continue can be expected.")
            self.expects_continue = length != 0
        self.length_bytes = length
