"""The head of an HTTP/2 request: a header list -> `HttpRequest`, as strict as its HTTP/1 counterpart.

h2 refuses what RFC 9113 section 8.2 and 8.3 forbid (upper-case names, connection headers, pseudo-headers missing or out of
place). What it lets pass and HTTP/1 could not even write is refused here, so that a handler sees the same values whatever the
client spoke.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unkai.edge.http.head import HOST, BadRequest
from unkai.edge.http.writer import OWN_HEADERS, BadResponse, body_length
from unkai.kernel.http import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unkai.edge.http.limits import Limits
    from unkai.kernel.http import HttpResponse

_METHOD = re.compile(r"[A-Z]{1,20}")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_DIGITS = re.compile(r"[0-9]{1,18}")


def request_of(fields: Iterable[tuple[bytes, bytes]], limits: Limits) -> HttpRequest:
    """Raises BadRequest."""
    pseudo: dict[bytes, str] = {}
    raw: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if name[:1] == b":":
            pseudo[bytes(name)] = value.decode("latin-1")
        else:
            raw.append((bytes(name), bytes(value)))
    if len(raw) > limits.headers_max:
        raise BadRequest(431, "The request has too many headers.")
    target = pseudo.get(b":path", "")
    method = pseudo.get(b":method", "")
    if len(target) > limits.request_line_bytes_max:
        raise BadRequest(414, "The request target is too long.")
    if _METHOD.fullmatch(method) is None or _TARGET.fullmatch(target) is None:
        raise BadRequest(400, "The request is not well-formed.")
    if target[0] != "/" and not (target == "*" and method == "OPTIONS"):
        raise BadRequest(400, "The request target must be a path.")
    headers = headers_of(raw)
    host = pseudo.get(b":authority") or headers.get("host")
    if host is None or HOST.fullmatch(host) is None or headers.get("host", host) != host:
        raise BadRequest(400, "The authority is missing or not well-formed.")
    if "host" not in headers:
        headers["host"] = host
        raw.insert(0, (b"host", host.encode("latin-1")))
    length = headers.get("content-length")
    if length is not None and _DIGITS.fullmatch(length) is None:
        raise BadRequest(400, "The Content-Length header is not well-formed.")
    path, _, query = target.partition("?")
    return HttpRequest(method, path, query, headers, b"", raw, "http", "2")


def headers_of(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers or trailers by name. Raises BadRequest."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        if _NAME.fullmatch(raw_name) is None or _VALUE.fullmatch(raw_value) is None:
            raise BadRequest(400, "A header is not well-formed.")
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name in ("host", "content-length"):
            raise BadRequest(400, "A header that must be single was sent twice.")
        else:
            # Cookies may be split for better compression (RFC 9113 section 8.2.3).
            headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ','}{value}"
    return headers


def response_fields(response: HttpResponse, date: str) -> list[tuple[str, str]]:
    """The header list of a response. Raises BadResponse."""
    if not 200 <= response.status <= 999:
        raise BadResponse("a handler answers with a final status")
    fields = [(":status", str(response.status))]
    for name, value in response.headers:
        lower = name.lower()
        if lower in OWN_HEADERS:
            continue
        try:
            is_good = _NAME.fullmatch(lower.encode("latin-1")) and _VALUE.fullmatch(value.encode("latin-1"))
        except UnicodeEncodeError as error:
            raise BadResponse("a header is latin-1") from error
        if not is_good:
            raise BadResponse("a header stays on its line")
        fields.append((lower, value.strip(" \t")))
    fields.append(("date", date))
    length_bytes = body_length(response)
    if length_bytes is not None and response.status != 204:
        fields.append(("content-length", str(length_bytes)))
    return fields
