"""Hostile bytes: however they are made and split, the server neither crashes nor goes deaf, and answers what is valid once."""

from __future__ import annotations

import itertools
import logging
import socket
from typing import TYPE_CHECKING

from http_front import Front, connect, read_response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unkai.edge.http.body import ChunkedDecoder
from unkai.edge.http.head import BadRequest, HeadParser
from unkai.edge.http.limits import Limits

if TYPE_CHECKING:
    import pytest

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GET = b"GET /end HTTP/1.1\r\nHost: h\r\n\r\n"


EDITS = [b"", b"\r", b"\n", b" ", b":", b"\0", b"\xff", b"0", b"\r\n"]


def _length_request(path: str, body: bytes) -> bytes:
    return b"PUT /%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


def _chunked_request(path: str, chunks: list[bytes]) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    return b"PUT /%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (path.encode(), framed)


paths = st.text("abc%20", max_size=5)
requests = st.one_of(
    st.builds(lambda p: (b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % p.encode(), p, b""), paths),
    st.builds(lambda p, b: (_length_request(p, b), p, b), paths, st.binary(max_size=300)),
    st.builds(
        lambda p, c: (_chunked_request(p, c), p, b"".join(c)), paths, st.lists(st.binary(max_size=60), max_size=4)
    ),
)


def send_split(front: Front, sock: socket.socket, data: bytes, cuts: list[int]) -> None:
    edges = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in itertools.pairwise(edges):
        sock.sendall(data[start:end])
        front.take_in()


@FUZZ
@given(sent=st.lists(requests, min_size=1, max_size=6), cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_every_pipelined_request_gets_one_answer(front: Front, sent: list, cuts: list[int]) -> None:
    address = _address(front, Limits(inline_body_bytes_max=100))
    with connect(address) as sock:
        send_split(front, sock, b"".join(data for data, _, _ in sent) + GET, cuts)
        for _, path, body in sent:
            assert read_response(sock)[2] == b"/" + path.encode() + b" " + body
        assert read_response(sock)[2] == b"/end "


@FUZZ
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_random_bytes(front: Front, data: bytes, cuts: list[int], caplog: pytest.LogCaptureFixture) -> None:
    _attack(front, data, cuts, caplog)


@FUZZ
@given(
    sent=st.lists(requests, min_size=1, max_size=3),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(EDITS)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=5),
)
def test_mutated_requests(front: Front, sent: list, edits: list, cuts: list[int], caplog) -> None:
    data = b"".join(data for data, _, _ in sent)
    for at, replacement in edits:
        at %= len(data)
        data = data[:at] + replacement + data[at + 1 :]
        if not data:
            data = b"x"
    _attack(front, data, cuts, caplog)


@FUZZ
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_random_http2(front: Front, data: bytes, cuts: list[int], caplog: pytest.LogCaptureFixture) -> None:
    _attack(front, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + data, cuts, caplog)


def _attack(front: Front, data: bytes, cuts: list[int], caplog: pytest.LogCaptureFixture) -> None:
    address = _address(front, Limits(inline_body_bytes_max=100))
    with connect(address) as sock:
        try:
            send_split(front, sock, data, cuts)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    with connect(address) as sock:
        sock.sendall(GET)
        assert read_response(sock)[2] == b"/end "
    front.settle(lambda: front.connection_count() == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def _address(front: Front, limits: Limits) -> tuple[str, int]:
    """One server for all examples of a test."""
    if not front.servers:
        front.start(limits=limits)
    return front.servers[0]._listener.sockets[0].getsockname()[:2]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_head_parser_refuses_or_parses(data: bytes) -> None:
    try:
        request = HeadParser(Limits()).parse(data + b"\r\n\r\n")
    except BadRequest as error:
        status = error.status
    else:
        status = 200
        assert request.path[:1] in ("/", "*")
    assert status in (200, 400, 414, 417, 431, 505)


@settings(max_examples=300, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    cuts=st.lists(st.integers(0, 400)),
    after=st.binary(max_size=9),
)
def test_chunks_are_the_same_however_they_are_split(chunks: list[bytes], cuts: list[int], after: bytes) -> None:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nA: b\r\n\r\n" + after
    edges = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    decoder = ChunkedDecoder(1000)
    out, rest = b"", b""
    for start, end in itertools.pairwise(edges):
        if decoder.is_done:
            rest += data[start:end]
            continue
        pieces, tail = decoder.feed(data[start:end])
        out += b"".join(pieces)
        rest += tail
    assert (out, rest, decoder.is_done, decoder.trailers()) == (b"".join(chunks), after, True, {"a": "b"})
