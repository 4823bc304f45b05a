"""Calls out of the platform over HTTP: one request, one answer, bounded in time and size.

Users name the addresses, so this is the place where a server could be made to talk to itself or to its neighbours (SSRF). The host
is resolved here, every address is checked after resolution, and the connection goes to the checked address: a name that
changes its address between check and use (DNS rebinding) gains nothing. Loopback, private, link-local (cloud metadata),
multicast and reserved addresses are refused unless the node allows them. Redirects are answers, never followed. TLS is verified.

Message syntax: RFC 9112. Special addresses: RFC 6890 and https://www.iana.org/assignments/iana-ipv6-special-registry/
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import httptools

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Allowed = Callable[[Address], bool]

TIMEOUT_S = 15.0
ANSWER_SIZE_BYTES_MAX = 64 * 1024
HEAD_SIZE_BYTES_MAX = 32 * 1024
READ_SIZE_BYTES = 16 * 1024
ADDRESSES_MAX = 4
URL_CHARS_MAX = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class OutboundError(Exception):
    """There was no answer: no address, no connection, no valid HTTP, or too late. Trying again may help."""


class OutboundRefused(OutboundError):
    """This node does not call such an address. Trying again does not help."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` has lower-case names. `body` is the beginning of the body where `is_whole` is false."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet's, also where an IPv6 address carries an IPv4 one inside."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def allowing(networks: Sequence[str]) -> Allowed:
    """The open internet and these networks (`127.0.0.0/8`, `10.1.2.3`). Raises ValueError for what is no network."""
    parsed = tuple(ipaddress.ip_network(each) for each in networks)
    if not parsed:
        return is_public

    def allowed(address: Address) -> bool:
        plain = address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
        return is_public(address) or any(plain.version == each.version and plain in each for each in parsed)

    return allowed


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    authorization: str


def _target(url: str) -> _Target:
    """The parts of a URL. A name and password in it become Basic authentication. Raises OutboundRefused."""
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise OutboundRefused("the URL has characters that no URL has, or is too long")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise OutboundRefused("the URL cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS or not host or len(host) > 253:
        raise OutboundRefused("only http and https URLs with a host can be called")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return _Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path, authorization)


async def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allowed: Allowed = is_public,
    timeout_s: float = TIMEOUT_S,
    answer_bytes_max: int = ANSWER_SIZE_BYTES_MAX,
) -> Answer:
    """Send one request and read its answer within `timeout_s`. Raises OutboundError."""
    target = _target(url)
    head = _head(method, target, headers, len(body))
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _addresses(target, allowed)
            reader, writer = await _connect(target, addresses)
            try:
                writer.write(head + body)
                return await _read(reader, method, answer_bytes_max)
            finally:
                writer.close()
    except TimeoutError:
        raise OutboundError("no answer in time") from None
    except OSError as error:
        raise OutboundError(f"the connection failed: {error.strerror or type(error).__name__}") from None


async def post(
    url: str, headers: Mapping[str, str], body: bytes, *, allowed: Allowed = is_public, timeout_s: float = TIMEOUT_S
) -> Answer:
    return await request("POST", url, headers, body, allowed=allowed, timeout_s=timeout_s)


def _head(method: str, target: _Target, headers: Mapping[str, str], length: int) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.port != _DEFAULT_PORTS[target.scheme]:
        host += f":{target.port}"
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}", "Connection: close"]
    if target.authorization:
        lines.append(f"Authorization: {target.authorization}")
    for name, value in headers.items():
        assert name.isprintable(), "headers are named by us"
        if "\n" in value or "\r" in value or "\0" in value:
            raise OutboundRefused("a header has a line break")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


async def _addresses(target: _Target, allowed: Allowed) -> list[str]:
    """The host's addresses that may be called. Raises OutboundRefused where none is."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise OutboundError("the host has no address") from None
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    # A scope (fe80::1%eth0) is only ever of a link-local address.
    fit = [text for text in texts if "%" not in text and allowed(ipaddress.ip_address(text))]
    if not fit:
        raise OutboundRefused("this node does not call addresses of this kind")
    return fit[:ADDRESSES_MAX]


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _connect(target: _Target, addresses: Sequence[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first address that takes the connection: the checked one, not the name again."""
    tls = _tls() if target.scheme == "https" else None
    last: OSError | None = None
    for address in addresses:
        try:
            return await asyncio.open_connection(
                address, target.port, ssl=tls, server_hostname=target.host if tls is not None else None
            )
        except OSError as error:
            last = error
    assert last is not None, "there is at least one address"
    raise last


@dataclass(slots=True)
class _Parts:
    """What the parser calls; its method names are httptools'."""

    limit: int
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    has_head: bool = False
    is_done: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, piece: bytes) -> None:
        self.size += len(piece)
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.is_done = True


async def _read(reader: asyncio.StreamReader, method: str, limit: int) -> Answer:
    parts = _Parts(limit)
    parser = httptools.HttpResponseParser(parts)
    received = status = 0
    while True:
        data = await reader.read(READ_SIZE_BYTES)
        if not data:
            break
        received += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            raise OutboundError("the answer is not HTTP") from None
        if parts.is_done and 100 <= parser.get_status_code() < 200:
            # An interim answer: the real one follows on the same connection.
            parts = _Parts(limit)
        if not parts.has_head and received > HEAD_SIZE_BYTES_MAX:
            raise OutboundError("the head of the answer is too long")
        if parts.has_head:
            status = parser.get_status_code()
            if parts.is_done or parts.size >= limit or method == "HEAD":
                break
    if not status:
        raise OutboundError("the connection was closed without an answer")
    # Without a length, the end of the connection ends the body.
    ended = parts.is_done or ("content-length" not in parts.headers and "transfer-encoding" not in parts.headers)
    return Answer(status, parts.headers, b"".join(parts.pieces)[:limit], ended and parts.size <= limit)
