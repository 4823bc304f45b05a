"""Calls out of the platform: which addresses are refused, bounds of time and size, and answers of many kinds."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from typing import Any

import pytest

from unkai.layers import outbound
from unkai.layers.outbound import Answer, OutboundError, OutboundRefused, allowing, is_public, request

LOOPBACK = allowing(["127.0.0.0/8"])


# Everything that is not the open internet, in each way of writing it (RFC 6890).
@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


# What the node allows is allowed also where it is written as an IPv6 address; nothing else is.
def test_allowed_networks() -> None:
    assert LOOPBACK(ipaddress.ip_address("127.0.0.1"))
    assert LOOPBACK(ipaddress.ip_address("::ffff:127.0.0.1"))
    assert LOOPBACK(ipaddress.ip_address("1.1.1.1"))
    assert not LOOPBACK(ipaddress.ip_address("10.0.0.1"))
    with pytest.raises(ValueError, match="nonsense"):
        allowing(["nonsense"])


@contextlib.asynccontextmanager
async def serving(answer: bytes, *, then_hang: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says `answer` to whatever it is asked; its port, and what it was asked."""
    asked: list[bytes] = []
    stop = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        with contextlib.suppress(OSError):
            await writer.drain()
        if then_hang:
            await stop.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        stop.set()
        server.close()
        await asyncio.sleep(0)


def ask(answer: bytes, path: str = "/", *, then_hang: bool = False, **more: Any) -> tuple[Answer, bytes]:
    async def main() -> tuple[Answer, bytes]:
        async with serving(answer, then_hang=then_hang) as (port, asked):
            url = f"http://user:p%40ss@127.0.0.1:{port}{path}"
            got = await request("POST", url, {"x-a": "b"}, b"body", allowed=LOOPBACK, **more)
            return got, asked[0]

    return asyncio.run(main())


def test_request_and_answer() -> None:
    answer, asked = ask(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-B: c\r\n\r\nok", "/p?q=1")
    assert answer == Answer(201, {"content-length": "2", "x-b": "c"}, b"ok", True)
    assert asked.startswith(b"POST /p?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nx-a: b\r\n" in asked
    assert b"\r\nAuthorization: Basic dXNlcjpwQHNz\r\n" in asked


# A redirect is an answer like any other: following it would lead past the check of the address.
def test_redirects_are_not_followed() -> None:
    answer, _ = ask(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    assert answer.status == 302


@pytest.mark.parametrize(
    ("raw", "body", "is_whole"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", True),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"short", False),
    ],
)
def test_kinds_of_answers(raw: bytes, body: bytes, is_whole: bool) -> None:
    answer, _ = ask(raw)
    assert (answer.status, answer.body, answer.is_whole) == (200, body, is_whole)


# An endless answer is read to the limit; an endless head and what is no HTTP are errors; a silent server costs the timeout.
def test_bounds() -> None:
    answer, _ = ask(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000, answer_bytes_max=1000, then_hang=True)
    assert (len(answer.body), answer.is_whole) == (1000, False)
    with pytest.raises(OutboundError, match=r"too long|not HTTP"):
        ask(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, then_hang=True)
    with pytest.raises(OutboundError, match="not HTTP"):
        ask(b"220 smtp.example.com ESMTP\r\n")
    with pytest.raises(OutboundError, match="without an answer"):
        ask(b"")
    with pytest.raises(OutboundError, match="no answer in time"):
        ask(b"", then_hang=True, timeout_s=0.05)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://",
        "http://a b/",
        "http://exämple.com/",
        "http://127.0.0.1:99999/",
        "http://h/\r\nX: y",
    ],
)
def test_refused_urls(url: str) -> None:
    with pytest.raises(OutboundRefused):
        asyncio.run(request("POST", url, {}, b""))


# The connection goes to the address that was checked, never to the name again: a name that changes gains nothing.
def test_rebinding(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    async def connect(host: str, port: int, **more: Any) -> Any:
        connected.append(host)
        raise OSError("far away")

    async def main() -> None:
        async def lookup(host: str, port: int, **more: Any) -> Any:
            return [(0, 0, 0, "", ("10.0.0.1", port)), (0, 0, 0, "", ("93.184.216.34", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        await request("POST", "http://rebind.example/", {}, b"")

    monkeypatch.setattr(outbound.asyncio, "open_connection", connect)
    with pytest.raises(OutboundError, match="connection failed"):
        asyncio.run(main())
    assert connected == ["93.184.216.34"]
