"""How connections end: timeouts of slow clients, too many of them, and the graceful end of the server."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from http_front import SLOW, Front, connect, read_response, read_to_end

from unkai.edge.http import Limits
from unkai.kernel.http import HttpRequest, HttpResponse

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def test_idle_connection_is_closed_after_its_keep_alive(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(GET)
        read_response(sock)
        front.tick(SLOW.keep_alive_s / 2)
        sock.sendall(GET)
        read_response(sock)
        front.tick(SLOW.keep_alive_s)
        assert sock.recv(1) == b""


def test_head_that_trickles_is_refused(front: Front) -> None:
    """Slow loris: a byte now and then does not buy more time."""
    with connect(front.start()) as sock:
        for byte in GET[:4]:
            sock.sendall(bytes([byte]))
            front.tick(SLOW.header_timeout_s / 4)
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


def test_client_that_says_nothing_is_closed(front: Front) -> None:
    with connect(front.start()) as sock:
        front.settle(lambda: front.connection_count() == 1)
        front.tick(SLOW.header_timeout_s)
        assert sock.recv(1) == b""


@pytest.mark.parametrize("length", [1000, 1_000_000])
def test_body_without_progress_is_refused(front: Front, length: int) -> None:
    """Small bodies are refused before the handler; the reader of a large one gets BodyIncomplete."""
    with connect(front.start()) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nab" % length)
        front.settle(lambda: bool(front.seen) or length == 1000)
        front.run(asyncio.sleep(0.01))
        front.tick(SLOW.body_timeout_s)
        status = read_to_end(sock)[9:12]
    assert status == (b"408" if length == 1000 else b"400")
    assert front.bodies == []


def test_slow_handler_is_not_the_clients_fault(front: Front) -> None:
    gate = front.run(_event())

    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        await gate.wait()
        return HttpResponse(200)

    with connect(front.start(handler)) as sock:
        sock.sendall(GET)
        front.settle(lambda: bool(front.events))
        front.tick(10_000)
        front.loop.call_soon_threadsafe(gate.set)
        assert read_response(sock)[0] == 200


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_client_that_does_not_read_is_cut(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], b"x" * (16 << 20))

    with connect(front.start(handler)) as sock:
        sock.sendall(GET)
        assert sock.recv(1)
        front.tick(SLOW.write_timeout_s * 3)
        front.settle(lambda: front.connection_count() == 0)


def test_too_many_connections_are_told_so(front: Front) -> None:
    address = front.start(limits=Limits(connections_max=2))
    with connect(address) as first, connect(address) as second:
        for sock in (first, second):
            sock.sendall(GET)
            assert read_response(sock)[0] == 200
        with connect(address) as third:
            assert read_to_end(third).startswith(b"HTTP/1.1 503 ")
        first.sendall(GET)
        assert read_response(first)[0] == 200


def test_many_idle_connections_do_not_slow_one_down(front: Front) -> None:
    address = front.start()
    idle = [connect(address) for _ in range(400)]
    try:
        front.settle(lambda: front.connection_count() == 400)
        with connect(address) as sock:
            sock.sendall(GET)
            assert read_response(sock)[0] == 200
        front.tick(SLOW.keep_alive_s)
        front.settle(lambda: front.connection_count() == 0)
    finally:
        for sock in idle:
            sock.close()


def test_server_drains(front: Front) -> None:
    """What runs is answered with `Connection: close`, idle connections end, new ones are not taken."""
    gate = front.run(_event())

    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        await gate.wait()
        return HttpResponse(200, [], b"done")

    address = front.start(handler)
    with connect(address) as busy, connect(address) as idle:
        front.settle(lambda: front.connection_count() == 2)
        busy.sendall(GET)
        front.settle(lambda: bool(front.events))
        closing = threading.Thread(target=lambda: front.run(front.servers[0].close(5)))
        closing.start()
        assert idle.recv(1) == b""
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset, by timing
            connect(address).recv(1) or (_ for _ in ()).throw(ConnectionResetError())
        front.loop.call_soon_threadsafe(gate.set)
        _, headers, body = read_response(busy)
        assert (headers["connection"], body) == ("close", b"done")
        assert busy.recv(1) == b""
    closing.join()
    front.servers.clear()


def test_server_cuts_what_outlives_the_grace(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    address = front.start(handler)
    with connect(address) as sock:
        sock.sendall(GET)
        front.settle(lambda: bool(front.events))
        front.run(front.servers.pop().close(0))
        assert sock.recv(1) == b""


def test_refusal_is_readable_while_the_client_still_sends(front: Front) -> None:
    """Closing with unread bytes would reset the connection and could destroy the answer."""
    with connect(front.start()) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999\r\n\r\n")
        for _ in range(40):
            sock.sendall(b"x" * 65536)
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock).startswith(b"HTTP/1.1 413 ")


def test_time_stands_where_there_is_no_connection(front: Front) -> None:
    """Idle costs no CPU: the timer runs only while there are connections."""
    with connect(front.start()) as sock:
        sock.sendall(GET)
        read_response(sock)
        assert front.servers[0]._timer is not None
    front.settle(lambda: front.connection_count() == 0)
    front.run(_tick(front))
    assert front.servers[0]._timer is None


async def _tick(front: Front) -> None:
    front.servers[0].tick()
