"""The queue between a connection and a handler, and the decoders, without a socket."""

from __future__ import annotations

import asyncio

import pytest

from unkai.edge.http.body import ChunkedDecoder, IncomingBody, LengthDecoder
from unkai.kernel.http import BodyIncomplete


def test_reader_gets_what_arrived_before_it_learns_of_the_break() -> None:
    async def read() -> list[bytes]:
        taken: list[int] = []
        body = IncomingBody(10, lambda: None, taken.append)
        body.put(b"x" * 2000)
        body.put(b"y" * 2000)
        body.fail("gone")
        got = [await anext(body), await anext(body)]
        with pytest.raises(BodyIncomplete, match="gone"):
            await anext(body)
        assert taken == [2000, 2000]
        return got

    assert asyncio.run(read()) == [b"x" * 2000, b"y" * 2000]


def test_body_sent_byte_by_byte_is_kept_in_few_pieces() -> None:
    body = IncomingBody(None, lambda: None, lambda size: None)
    for _ in range(100_000):
        body.put(b"ab")
    assert body.held_bytes == 200_000
    assert len(body._pieces) < 400


def test_cancelled_reader_leaves_the_body_readable() -> None:
    async def read() -> bytes:
        body = IncomingBody(None, lambda: None, lambda size: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(body)
        body.put(b"a")
        body.complete({"x": "y"})
        assert body.trailers() == {"x": "y"}
        return b"".join([piece async for piece in body])

    assert asyncio.run(read()) == b"a"


def test_decoders_leave_what_is_not_theirs() -> None:
    length = LengthDecoder(3)
    assert length.feed(b"ab") == ([b"ab"], b"")
    assert length.feed(b"cde") == ([b"c"], b"de")
    chunked = ChunkedDecoder(100)
    assert chunked.feed(b"2\r\nab\r\n0\r\n\r\nGET") == ([b"ab"], b"GET")
    assert chunked.is_done
