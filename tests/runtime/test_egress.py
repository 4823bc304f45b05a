"""What functions may reach outside, and what not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from unkai.runtime import egress

if TYPE_CHECKING:
    from tests.runtime.conftest import Node


@pytest.mark.parametrize(
    ("address", "by_default", "with_private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True, True),
        ("10.1.2.3", False, True),
        ("192.168.1.1", False, True),
        ("fd00::1", False, True),
        ("127.0.0.1", False, False),
        ("127.9.9.9", False, False),
        ("::1", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::7f00:1", False, False),
        ("2002:7f00:1::", False, False),
    ],
)
def test_addresses(address: str, by_default: bool, with_private: bool) -> None:
    assert egress.is_allowed(address, private=False) is by_default
    assert egress.is_allowed(address, private=True) is with_private


def test_the_hosts_own_addresses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A service that listens on all of the host's addresses is reachable by its public one, too.
    monkeypatch.setattr(egress, "_is_own", lambda address: address == "93.184.216.34")
    assert not egress.is_allowed("93.184.216.34", private=True)


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://x/ HTTP/1.1\r\n\r\n",
        b"\xff\r\n\r\n",
        b"CONNECT x:99999 H\r\n\r\n",
    ],
)
def test_what_is_no_proxy_request(head: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- any of several causes
        egress._target(head)


FETCH = """
import urllib.request, urllib.error
def handler(url, c):
    try:
        return urllib.request.urlopen(url, timeout=3).read().decode()
    except urllib.error.HTTPError as e:
        return [e.code, e.read().decode()]
    except OSError as e:
        return str(e)
"""


def test_a_function_goes_out_through_the_proxy_only(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback and metadata by name or number: refused. (169.254.169.254 is in NO_PROXY, and there is no route.)
    spec = node.function(FETCH)
    for url in ("http://localtest.invalid/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]:22/", "http://0.0.0.0/"):
        answer = node.value(spec, url)
        assert answer[0] in (403, 502), (url, answer)
    assert "unreachable" in node.value(spec, "http://169.254.169.254/latest/meta-data/")
    # With the network set to none, there is no proxy either.
    assert "urlopen error" in node.value(node.function(FETCH, network="none"), "http://example.com/")
    assert "unreachable" in node.value(node.function(FETCH, network="none"), "http://93.184.216.34/")


def test_a_proxied_request_arrives(tmp_path_factory: pytest.TempPathFactory) -> None:
    # The way itself, with the policy opened for a server on loopback.
    async def run() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" + head.split(b" ")[1][:5])
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = egress.Egress(private=False)
        front = await asyncio.get_running_loop().create_server(proxy.accept, "127.0.0.1", 0)
        got = b""
        for request in (
            b"GET http://127.0.0.1:%d/path HTTP/1.1\r\nHost: x\r\nProxy-Authorization: secret\r\n\r\n" % port,
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\nGET /tunl HTTP/1.1\r\nHost: x\r\n\r\n" % port,
        ):
            reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname()[:2])
            writer.write(request)
            got += await reader.read()
            writer.close()
        proxy.close()
        for each in (server, front):
            each.close()
            await each.wait_closed()
        return got

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(egress, "is_allowed", lambda address, private: True)
        got = asyncio.run(run())
    assert got.count(b"200 OK") == 2
    assert b"200 Connection established" in got
    assert b"/path" in got
    assert got.endswith(b"/tunl")
