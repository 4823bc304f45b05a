"""From a function to the outside: an HTTP proxy on an inner socket, which HTTP clients find by HTTP_PROXY and HTTPS_PROXY.

It refuses, after resolution and on the very address it then connects to, what a stranger's code must not reach from this host:
loopback, link-local (cloud metadata), private and other special ranges, and the host's own addresses. A network namespace has
no other way out. What does not speak through a proxy has none: a difference from AWS, where any TCP goes. RFC 9110, section 9.3.6
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from urllib.parse import urlsplit

from unkai.runtime.relay import Side

_HEAD_SIZE_BYTES_MAX = 64 * 1024
_CONNECTIONS_MAX = 256
_CONNECT_TIMEOUT_S = 10.0


def is_allowed(address: str, *, private: bool) -> bool:
    """May a function connect there? `private`: the operator has allowed the private ranges (never loopback or link-local)."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        else:
            ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
    if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or _is_own(str(ip)):
        return False
    return ip.is_global or (private and ip.is_private and not ip.is_reserved)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _is_own(address: str) -> bool:
    """Does the address belong to this host? Only such a one can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class Egress:
    """One environment's proxy."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.pairs: set[Side] = set()
        self.open: set[_Proxied] = set()

    def accept(self) -> _Proxied:
        return _Proxied(self)

    def close(self) -> None:
        for connection in list(self.open):
            connection.end()
        for side in list(self.pairs):
            side.end()


class _Proxied(Side):
    """One connection: a request head, then bytes both ways."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(egress.pairs, None)
        self._egress = egress
        self._head = bytearray()
        self._begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._egress.open.add(self)
        if len(self._egress.open) > _CONNECTIONS_MAX:
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._egress.open.discard(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._begun:
            super().data_received(data)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end >= 0:
            self._begun = True
            head, rest = bytes(self._head[: end + 4]), bytes(self._head[end + 4 :])
            assert self._transport is not None
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._begin(head, rest))
        elif len(self._head) > _HEAD_SIZE_BYTES_MAX:
            self.end()

    async def _begin(self, head: bytes, rest: bytes) -> None:
        try:
            host, port, first = _target(head)
        except ValueError:
            self._refuse("400 Bad Request", "not a proxy request")
            return
        other = Side(self._pairs, None)
        other.other = self
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._connect_to(host, port, other)
        except PermissionError:
            self._refuse("403 Forbidden", "unkai does not let functions reach this address")
            return
        except (OSError, TimeoutError, UnicodeError):
            self._refuse("502 Bad Gateway", "the target cannot be reached")
            return
        self.other = other
        if self._transport is None or self._transport.is_closing():
            other.end()
            return
        if not first:
            self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        other.data_from([first + rest] if first + rest else [])
        self._transport.resume_reading()

    async def _connect_to(self, host: str, port: int, other: Side) -> None:
        """Connect to the first address that is allowed; the name is not resolved again in between."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        allowed = [str(entry[4][0]) for entry in found if is_allowed(str(entry[4][0]), private=self._egress.private)]
        if not allowed:
            raise PermissionError
        problem: OSError = OSError("no address")
        for address in allowed:
            try:
                await loop.create_connection(lambda: other, address, port)
            except OSError as error:
                problem = error
            else:
                return
        raise problem

    def _refuse(self, status: str, text: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            body = text.encode()
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            with contextlib.suppress(OSError):
                self._transport.write(head.encode() + body)
            self._transport.close()


def _target(head: bytes) -> tuple[str, int, bytes]:
    """Host, port, and the head to send on (empty for CONNECT). Raises ValueError."""
    line, _, fields = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if method == "CONNECT":
        url = urlsplit(f"//{target}")
        if not url.hostname or not url.port:
            raise ValueError("CONNECT without host and port")
        return url.hostname, url.port, b""
    url = urlsplit(target)
    if url.scheme != "http" or not url.hostname or url.username:
        raise ValueError("not an absolute http target")
    kept = [
        field for field in fields.split(b"\r\n") if field and not field.lower().startswith((b"proxy-", b"connection:"))
    ]
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # One request for each connection: what follows on it would be meant for this target alone.
    lines = [f"{method} {path} {version}".encode("ascii"), *kept, b"Connection: close", b"", b""]
    return url.hostname, url.port or 80, b"\r\n".join(lines)
