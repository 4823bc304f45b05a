"""What is sent: framing of every kind of body, what a handler cannot do to the connection, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from http_front import SLOW, Front, connect, read_response, read_to_end

from unkai.kernel.http import FileBody, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from pathlib import Path

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"


def answering(make: Callable[[], HttpResponse]) -> Handler:
    async def handler(request: HttpRequest) -> HttpResponse:
        return make()

    return handler


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


def test_iterator_is_chunked_unless_its_length_is_known(front: Front) -> None:
    with connect(front.start(answering(lambda: HttpResponse(200, [], pieces(b"ab", b"", b"c"))))) as sock:
        sock.sendall(GET + GET)
        for _ in range(2):
            _, headers, body = read_response(sock)
            assert (headers["transfer-encoding"], body) == ("chunked", b"abc")
            assert "content-length" not in headers
    with connect(front.start(answering(lambda: HttpResponse(200, [], pieces(b"ab", b"c"), 3)))) as sock:
        sock.sendall(GET)
        _, headers, body = read_response(sock)
        assert (headers["content-length"], body) == ("3", b"abc")


def test_http10_client_gets_an_unframed_body_and_the_end(front: Front) -> None:
    with connect(front.start(answering(lambda: HttpResponse(200, [], pieces(b"ab", b"c"))))) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = read_to_end(sock).partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"chunked" not in head


@pytest.mark.parametrize("parts", [(b"ab",), (b"ab", b"cde")])
def test_wrong_length_is_cut_not_ended(
    front: Front, parts: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A client must never take a short body for a whole one, nor extra bytes for the next response."""
    with connect(front.start(answering(lambda: HttpResponse(200, [], pieces(*parts), 3)))) as sock:
        sock.sendall(GET + GET)
        try:
            out = read_to_end(sock)
        except ConnectionResetError:
            out = b""
    assert out.count(b"HTTP/1.1") <= 1
    assert len(out.partition(b"\r\n\r\n")[2]) < 3
    assert "broke off" in caplog.text


def test_iterator_that_raises_never_ends_its_chunks(front: Front) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise RuntimeError("secret")

    with connect(front.start(answering(lambda: HttpResponse(200, [], broken())))) as sock:
        sock.sendall(GET)
        try:
            out = read_to_end(sock)
        except ConnectionResetError:
            out = b""
    assert not out.endswith(b"0\r\n\r\n")
    assert b"secret" not in out


def test_head_204_and_304_have_no_body(front: Front) -> None:
    """The answer to HEAD tells the length that GET would have; 204 tells none (RFC 9110 section 8.6)."""
    with connect(front.start(answering(lambda: HttpResponse(200, [], b"abc")))) as sock:
        sock.sendall(HEAD + GET)
        assert read_response(sock, is_head=True)[1]["content-length"] == "3"
        assert read_response(sock)[2] == b"abc"
    with connect(front.start(answering(lambda: HttpResponse(200, [], b"", 1 << 40)))) as sock:
        sock.sendall(HEAD)
        assert read_response(sock, is_head=True)[1]["content-length"] == str(1 << 40)
    for status in (204, 304):
        with connect(front.start(answering(lambda status=status: HttpResponse(status, [], b"abc")))) as sock:
            sock.sendall(GET + GET)
            assert [read_response(sock)[0] for _ in range(2)] == [status, status]


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "a\r\nSet-Cookie: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\rb"),
        ("X-A", "a\0b"),
        ("X\r\nY", "a"),
        ("X-A", "\u65e5"),
    ],
)
def test_response_cannot_be_split(front: Front, header: tuple[str, str]) -> None:
    with connect(front.start(answering(lambda: HttpResponse(200, [header], b"abc")))) as sock:
        sock.sendall(GET)
        out = read_to_end(sock)
    assert out.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in out
    assert b"abc" not in out


def test_framing_headers_are_the_senders(front: Front) -> None:
    """A function behind a gateway may set any header; it must not desynchronise the connection."""
    headers = [("Content-Length", "1"), ("transfer-encoding", "chunked"), ("Connection", "close"), ("X-A", "b")]
    with connect(front.start(answering(lambda: HttpResponse(200, headers, b"abc")))) as sock:
        sock.sendall(GET + GET)
        for _ in range(2):
            _, seen, body = read_response(sock)
            assert body == b"abc"
            assert set(seen) == {"x-a", "content-length", "date"}


def test_raising_handler_is_a_bare_500(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("secret")

    with connect(front.start(handler)) as sock:
        sock.sendall(GET + GET)
        for _ in range(2):
            status, _, body = read_response(sock)
            assert (status, body) == (500, b"")


@pytest.mark.parametrize("kind", ["cancelled inside", "no response", "header is no text"])
def test_defect_of_a_handler_does_not_leave_the_connection_deaf(front: Front, kind: str) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        if kind == "cancelled inside":
            inner = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner
        if kind == "header is no text":
            return HttpResponse(200, [(1, "a")])
        return None

    with connect(front.start(handler)) as sock:
        sock.sendall(GET)
        assert sock.recv(100)[:13] in (b"HTTP/1.1 500 ", b"")


def open_fds() -> set[str]:
    return {
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    }


def file_handler(path: Path, offset: int, length: int) -> Handler:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], FileBody(os.open(path, os.O_RDONLY), offset, length))

    return handler


def test_file_piece_is_sent_and_its_descriptor_closed(front: Front, tmp_path: Path) -> None:
    path = tmp_path / "object"
    data = os.urandom(3_000_000)
    path.write_bytes(data)
    with connect(front.start(file_handler(path, 1000, 2_000_000))) as sock:
        sock.sendall(GET + HEAD + GET)
        assert read_response(sock)[2] == data[1000:2_001_000]
        assert read_response(sock, is_head=True)[1]["content-length"] == "2000000"
        assert read_response(sock)[2] == data[1000:2_001_000]
    # The client may have the last byte a moment before the server has closed the file.
    front.settle(lambda: str(path) not in open_fds())


def test_descriptor_is_closed_when_the_client_goes(front: Front, tmp_path: Path) -> None:
    """Also memory: what the client does not read is not read from the file either."""
    path = tmp_path / "object"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with connect(front.start(file_handler(path, 0, 1 << 30))) as sock:
        sock.sendall(GET)
        assert sock.recv(10)
        assert str(path) in open_fds()
    front.settle(lambda: str(path) not in open_fds())


def test_short_file_is_cut(front: Front, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"abc")
    with connect(front.start(file_handler(path, 0, 5))) as sock:
        sock.sendall(GET)
        with contextlib.suppress(ConnectionResetError):
            read_to_end(sock)
    front.settle(lambda: "shorter than announced" in caplog.text)
    assert str(path) not in open_fds()


def test_iterator_waits_for_a_client_that_does_not_read(front: Front) -> None:
    taken: list[int] = []
    closed: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                taken.append(1)
                yield b"x" * 65536
        finally:
            closed.append(True)

    with connect(front.start(answering(lambda: HttpResponse(200, [], endless())))) as sock:
        sock.sendall(GET)
        assert sock.recv(10)
        front.settle(lambda: len(taken) > 3)
        before = -1
        while before != len(taken):  # until it stands still
            before = len(taken)
            front.run(asyncio.sleep(0.05))
        assert len(taken) * 65536 < 32 << 20
    front.settle(lambda: bool(closed))


def test_handler_is_cancelled_when_its_client_goes(front: Front) -> None:
    """A long poll that nobody reads must not take a message."""

    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("waiting")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            front.events.append("cancelled")
            raise
        raise AssertionError

    with connect(front.start(handler)) as sock:
        sock.sendall(GET)
        front.settle(lambda: front.events == ["waiting"])
    front.settle(lambda: front.events == ["waiting", "cancelled"])


def test_upload_that_breaks_off_is_seen_by_its_reader(front: Front) -> None:
    with connect(front.start()) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
        front.settle(lambda: bool(front.seen))
    front.settle(lambda: front.connection_count() == 0)
    assert front.bodies == []


def test_no_date_is_made_twice_and_nothing_is_logged(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with connect(front.start(limits=SLOW)) as sock:
        sock.sendall(GET)
        assert read_response(sock)[1]["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert caplog.text == ""
