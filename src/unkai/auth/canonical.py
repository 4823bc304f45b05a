"""The canonical request: one spelling for all the ways in which a client may have written the same request.

Two schemes. S3 takes the path as it is and encodes it once; all other services remove dot segments and double slashes and
encode the encoded path again. Header values are bytes as sent (latin-1 text here), so non-ASCII bytes pass unchanged.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.http import HttpRequest

_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*\Z").match
_PLAIN_PART = re.compile(r"[A-Za-z0-9\-._~]*\Z").match


def encode(text: str) -> str:
    """Percent-encode a part that may be encoded already: what means the same is spelled the same."""
    if _PLAIN_PART(text):
        return text
    return quote(unquote_to_bytes(text.encode("latin-1")), safe="-._~")


def path_once(path: str) -> str:
    """S3: each segment encoded once, nothing normalised. An encoded slash stays encoded, as it is part of a key."""
    if _PLAIN_PATH(path):
        return path or "/"
    return "/".join(map(encode, path.split("/")))


def path_twice(path: str) -> str:
    """All other services: RFC 3986 5.2.4 and no empty segments, then the path as sent is encoded once more."""
    if path == "/" or not path:
        return "/"
    if "//" in path or "/." in path:
        path = _without_dots(path)
    if _PLAIN_PATH(path):
        return path
    return quote(path.encode("latin-1"), safe="/-._~")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment and segment != ".":
            kept.append(segment)
    # RFC 3986 would end "/a/." with a slash; signers do not.
    slash = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + slash


def query(raw: str, *, without: str = "") -> str:
    """Parameters encoded and sorted by name, then value. `without` names the one that carries the signature."""
    if not raw:
        return ""
    pairs: list[tuple[str, str]] = []
    for part in raw.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        # A plus means a space in a query; signers write both as %20.
        name = encode(name.replace("+", " "))
        if name != without:
            pairs.append((name, encode(value.replace("+", " "))))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def headers(request: HttpRequest, names: Sequence[str]) -> str | None:
    """One line per signed header, or None where one of them was not sent."""
    sent = request.headers
    lines = []
    for name in names:
        value = sent.get(name)
        if value is None:
            return None
        if "," in value and request.raw_headers:
            value = _joined(request.raw_headers, name.encode("latin-1")) or value
        if "  " in value or "\t" in value or "\n" in value:
            value = " ".join(value.split())
        lines.append(f"{name}:{value.strip()}\n")
    return "".join(lines)


def _joined(raw: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """A header that was sent more than once, joined as signers do: with a bare comma."""
    values = [value.decode("latin-1").strip() for sent, value in raw if sent.lower() == name]
    return ",".join(values) if len(values) > 1 else ""


@lru_cache(maxsize=512)
def signed_names(text: str) -> tuple[str, ...] | None:
    """The SignedHeaders list, or None where it is not lower-case and sorted, as the algorithm demands."""
    names = tuple(text.split(";"))
    if list(names) != sorted(set(names)) or text != text.lower() or "" in names:
        return None
    return names
