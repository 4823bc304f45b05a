"""What arrives: HTTP/1 requests whole and in pieces, and what is refused before a handler sees it."""

from __future__ import annotations

import asyncio

import pytest
from http_front import SLOW, Front, connect, read_response, read_to_end, send_until_blocked

from unkai.edge.http import Limits
from unkai.kernel.http import HttpRequest, HttpResponse

GET = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"


def test_request_is_seen_as_sent(front: Front) -> None:
    """Signatures cover path, query and headers byte by byte, so nothing is decoded or reordered."""
    with connect(front.start()) as sock:
        sock.sendall(
            b"PUT /a%2Fb/%20?x=%31&y HTTP/1.1\r\nHost: b.localhost:4566\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 3\r\n\r\nabc"
        )
        status, headers, body = read_response(sock)
    seen = front.seen[0]
    assert (status, body) == (200, b"/a%2Fb/%20 abc")
    assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert (seen.method, seen.path, seen.query, seen.body) == ("PUT", "/a%2Fb/%20", "x=%31&y", b"abc")
    assert seen.headers == {"host": "b.localhost:4566", "x-a": "1,2", "content-length": "3"}
    assert seen.raw_headers[1:3] == [(b"X-A", b"1"), (b"x-a", b"2")]
    assert (seen.scheme, seen.http_version, seen.source_ip) == ("http", "1.1", "127.0.0.1")


def test_keep_alive_and_pipelining_in_order(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i for i in range(300)))
        assert [read_response(sock)[2] for _ in range(300)] == [b"/%d " % i for i in range(300)]


def test_pipelined_bytes_are_bounded(front: Front) -> None:
    """A client that sends ahead while its first request is answered is not read for ever."""
    gate = front.run(_event())

    async def handler(request: HttpRequest) -> HttpResponse:
        await gate.wait()
        return await front.answer(request)

    address = front.start(handler)
    with connect(address) as sock:
        sock.sendall(GET)
        # What the kernel holds, and little more.
        assert send_until_blocked(sock, GET * 2000, 64 << 20) < 32 << 20
        front.loop.call_soon_threadsafe(gate.set)
        for _ in range(50):
            assert read_response(sock)[0] == 200


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_head_in_single_bytes(front: Front) -> None:
    with connect(front.start()) as sock:
        for i in range(len(GET)):
            sock.sendall(GET[i : i + 1])
            front.take_in()
        assert read_response(sock)[2] == b"/a "


def test_small_body_is_bytes_even_if_it_arrives_later(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n")
        for piece in (b"ab", b"cd", b"ef" + GET):
            front.take_in()
            sock.sendall(piece)
        assert read_response(sock)[2] == b"/a abcdef"
        assert read_response(sock)[2] == b"/a "
    assert front.seen[0].body == b"abcdef"


def test_large_body_streams_with_back_pressure(front: Front) -> None:
    """The handler starts at the end of the headers; what it does not read is not received."""
    gate = front.run(_event())
    held: list[int] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        await gate.wait()
        held.append(request.body.held_bytes)
        return await front.answer(request)

    size = 40 << 20
    with connect(front.start(handler)) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
        sent = send_until_blocked(sock, b"x" * 65536, size)
        assert sent < size
        front.loop.call_soon_threadsafe(gate.set)
        while sent < size:
            sent += sock.send(b"x" * min(65536, size - sent))
        assert len(read_response(sock)[2]) == size + 3
    assert held[0] <= SLOW.body_high_water_bytes + 256 * 1024


def test_chunked_body_and_trailers(front: Front) -> None:
    """RFC 9112 section 7.1: sizes in hex, extensions ignored, trailers after the last chunk."""
    trailers: list[dict[str, str]] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        body = request.body
        response = await front.answer(request)
        if not isinstance(body, bytes):
            trailers.append(body.trailers())
        return response

    with connect(front.start(handler)) as sock:
        sock.sendall(
            b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b'3;a="b"\r\nabc\r\n0B\r\n0123456789\n\r\n0\r\nX-Sum: 1 \r\nContent-Length: 9\r\n\r\n' + GET
        )
        assert read_response(sock)[2] == b"/a abc0123456789\n"
        assert read_response(sock)[2] == b"/a "
    assert trailers[0] == {"x-sum": "1"}


CHUNKED = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"\r\n",
        b"1111111111111111\r\n",
        b"3;" + b"x" * 5000,
        b"3;\x00\r\nabc\r\n0\r\n\r\n",
        b"0\r\nBad Name: x\r\n\r\n",
        b"0\r\nNoColon\r\n\r\n",
        b"0\r\nA: x\n\r\n",
    ],
)
def test_malformed_chunks_never_make_a_whole_body(front: Front, body: bytes) -> None:
    """Where a chunk's end is in doubt, what follows could be read as another request: the connection ends."""
    with connect(front.start()) as sock:
        sock.sendall(CHUNKED)
        front.settle(lambda: bool(front.seen))
        sock.sendall(body + GET)
        out = read_to_end(sock)
    assert out.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in out
    assert front.bodies == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\nabc", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 505),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 3\r\n\r\nabc", 417),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"x" * 20_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 66_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 66_000, 431),
    ],
)
def test_refused_before_any_handler(front: Front, request_bytes: bytes, status: int) -> None:
    """RFC 9112 section 11.2: what two servers could read differently is refused, and the connection ends there."""
    with connect(front.start()) as sock:
        sock.sendall(request_bytes)
        out = read_to_end(sock)
    assert int(out[9:12]) == status, out
    assert b"\r\nConnection: close\r\n" in out
    assert out.count(b"HTTP/1.1 ") == 1
    assert front.seen == []


def test_poison_of_one_client_does_not_reach_another(front: Front) -> None:
    """Headers that change a tokenizer's state (`Upgrade`, `Proxy-Connection: close`) stay within their request."""
    address = front.start()
    with connect(address) as sock, connect(address) as other:
        for line in (b"Proxy-Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c", b"Connection: close, x"):
            with connect(address) as poison:
                poison.sendall(b"PUT /u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + line + b"\r\n\r\nab")
                assert read_response(poison)[2] == b"/u ab"
            sock.sendall(GET)
            assert read_response(sock)[2] == b"/a "
        other.sendall(GET)
        assert read_response(other)[2] == b"/a "


def test_options_asterisk_and_empty_lines_before_a_request(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(b"\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n\r\n" + GET)
        assert read_response(sock)[2] == b"* "
        assert read_response(sock)[2] == b"/a "


def test_http10_closes_unless_asked(front: Front) -> None:
    address = front.start()
    with connect(address) as sock:
        sock.sendall(b"GET /a HTTP/1.0\r\n\r\n")
        assert b"Connection: close" in read_to_end(sock)
    with connect(address) as sock:
        sock.sendall(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert read_response(sock)[1]["connection"] == "keep-alive"
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET)
        out = read_to_end(sock)
    assert b"Connection: close" in out
    assert out.count(b"HTTP/1.1 ") == 1


EXPECT = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"


def test_continue_is_sent_when_the_handler_reads(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(EXPECT)
        assert read_response(sock)[0] == 100
        sock.sendall(b"abc")
        assert read_response(sock)[2] == b"/a abc"


def test_early_refusal_sends_no_continue_and_closes(front: Front) -> None:
    """RFC 9110 section 10.1.1: a final status instead of 100 tells the client to keep its body."""

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(403, [], b"no")

    with connect(front.start(handler)) as sock:
        sock.sendall(EXPECT)
        out = read_to_end(sock)
    assert out.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close" in out


def test_unread_body_is_swallowed_if_small_and_ends_the_connection_if_large(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(403, [], b"no")

    limits = Limits(inline_body_bytes_max=10, unread_body_bytes_max=100)
    address = front.start(handler, limits)
    with connect(address) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 90\r\n\r\n")
        assert "connection" not in read_response(sock)[1]
        sock.sendall(b"x" * 90 + GET)
        assert read_response(sock)[0] == 403
    with connect(address) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n")
        assert b"Connection: close" in read_to_end(sock)
