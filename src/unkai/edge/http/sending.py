"""From a request to its response, and the pieces of a response body that is not at hand as bytes. Both HTTP versions use it.

Files are read and written, not given to `sendfile`: with the page cache's pages handed over as they are, our CPU for 1 MB
falls from 175 to 85 us, but the client's rises more, and what arrives falls from 3.4 to 2.0 GB/s (measured, one core each).
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from unkai.kernel.http import BodyIncomplete, FileBody, HttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from unkai.kernel.http import HttpRequest

log = logging.getLogger(__name__)

PIECE_BYTES = 256 * 1024


class ClientGone(Exception):
    """There is nobody to send to any more."""


class BodyLengthWrong(Exception):
    """The body does not have the length that the headers announced: the connection must be cut, not ended."""


async def response_to(request: HttpRequest, handler: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> HttpResponse:
    """The handler's response; where it fails, a bare one without details. Raises only the caller's cancellation."""
    try:
        response = await handler(request)
        assert isinstance(response, HttpResponse), "a handler returns a response"
    except BodyIncomplete:
        return HttpResponse(400)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.exception("a handler awaited something that was cancelled")
    except Exception:
        log.exception("a handler raised")
    else:
        return response
    return HttpResponse(500)


async def pieces_of(body: AsyncIterator[bytes] | FileBody, length_bytes: int | None) -> AsyncIterator[bytes]:
    """The body's non-empty pieces. Raises BodyLengthWrong rather than letting a client take a short body for a whole one."""
    sent_bytes = 0
    if isinstance(body, FileBody):
        while sent_bytes < body.length_bytes:
            # Read on the loop: the page cache answers in some 30 us where a thread hop costs 60.
            piece = os.pread(body.fd, min(PIECE_BYTES, body.length_bytes - sent_bytes), body.offset + sent_bytes)
            if not piece:
                raise BodyLengthWrong("the file is shorter than announced")
            sent_bytes += len(piece)
            yield piece
        return
    async for piece in body:
        sent_bytes += len(piece)
        if length_bytes is not None and sent_bytes > length_bytes:
            raise BodyLengthWrong("the iterator yields more than announced")
        if piece:
            yield piece
    if length_bytes is not None and sent_bytes != length_bytes:
        raise BodyLengthWrong("the iterator yields less than announced")


async def release(response: HttpResponse) -> None:
    """Give back what a response holds, sent or not: a file's descriptor, an iterator's frame."""
    body = response.body
    if isinstance(body, FileBody):
        os.close(body.fd)
    elif not isinstance(body, bytes):
        aclose = getattr(body, "aclose", None)
        if aclose is not None:
            await aclose()
