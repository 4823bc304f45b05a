"""HTTP/1.1 and 1.0 on one connection: one request at a time, in order, whatever the client sends ahead.

RFC 9110 and 9112. Bytes behind the request that is being answered wait unparsed; when too many wait, reading from the
socket stops. A client that closes its sending side counts as gone: whatever still runs for it is cancelled (a handler's
layers shield their commits), since a long poll that nobody reads must not take a message.

One deadline per connection, counted in the server's ticks, says what the client owes next: a head, a body's bytes, or
reading what it asked for. No timer is made per request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, cast

from unkai.edge.http.body import ChunkedDecoder, IncomingBody, LengthDecoder
from unkai.edge.http.head import BadRequest
from unkai.edge.http.sending import ClientGone, pieces_of, release, response_to
from unkai.edge.http.writer import BadResponse, body_length, has_body, refusal, response_head

if TYPE_CHECKING:
    from unkai.edge.http.server import Server
    from unkai.kernel.http import HttpRequest, HttpResponse

log = logging.getLogger(__name__)

HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\n"  # of the preface, RFC 9113 section 3.4; what follows is for h2 to check
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")


class Http1(asyncio.Protocol):
    """One connection."""

    # fmt: off
    __slots__ = (
        "_body", "_body_bytes", "_buffer", "_decoder", "_inline", "_inline_missing", "_inline_pieces", "_is_broken",
        "_is_closing", "_is_first", "_is_lost", "_is_reading_paused", "_is_swallowing", "_keep_alive", "_loop",
        "_owes_continue", "_request", "_scanned", "_server", "_source_ip", "_task", "_transport", "_unsent_bytes",
        "_writable", "deadline",
    )
    # fmt: on

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = server.loop
        self._buffer = b""
        self._scanned = 0
        self._request: HttpRequest | None = None  # the one being answered
        self._task: asyncio.Task[None] | None = None
        self._inline: HttpRequest | None = None  # waits for the rest of its small body
        self._inline_pieces: list[bytes] = []
        self._inline_missing = 0
        self._body: IncomingBody | None = None
        self._body_bytes = 0
        self._decoder: LengthDecoder | ChunkedDecoder | None = None  # while body bytes are still to come
        self._keep_alive = True
        self._owes_continue = False
        self._is_first = True
        self._is_broken = False  # framing is lost: no further request can be told from this connection
        self._is_closing = False  # the last answer was given
        self._is_lost = False
        self._is_reading_paused = False
        self._is_swallowing = False  # the handler is done; what is left of its body is thrown away
        self._writable: asyncio.Future[None] | None = None  # while the client does not read
        self._unsent_bytes = 0
        self.deadline = 0

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._source_ip = peer[0] if isinstance(peer, tuple) else ""
        if not self._server.admit(self):
            self._refuse(503, "Too many connections.")
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._server.become_http2(self, self._transport, self._source_ip, b"")
            return
        self._owe(self._server.limits.header_timeout_s)

    def data_received(self, data: bytes) -> None:
        if self._decoder is not None:
            data = self._take_body(data)
            if not data:
                return
        if self._is_closing:
            return
        if self._inline is not None:
            data = self._take_inline(data)
            if not data:
                return
        self._buffer = self._buffer + data if self._buffer else data
        if self._request is None and self._writable is None:
            self._serve_buffer()
        elif len(self._buffer) > self._server.limits.pipeline_bytes_max:
            self._pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = self._is_closing = True
        self._server.forget(self)
        self._buffer = b""
        self._inline = None
        if self._body is not None:
            self._body.fail("The client closed the connection.")
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._owe(self._server.limits.write_timeout_s)

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        self._unsent_bytes = 0
        if self._is_closing:
            self._owe(self._server.limits.linger_s)
        elif self._request is None and self._decoder is None and self._inline is None:
            self._next()
        else:
            self._owe(self._server.limits.body_timeout_s if self._request is None or self._decoder is not None else 0)

    # What the server tells.

    def drain(self) -> None:
        """End after the request that is under way; at once where there is none."""
        if self._request is None and self._inline is None and not self._buffer and not self._is_closing:
            self._is_closing = True
            self._owe(self._server.limits.linger_s)
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def deadline_passed(self) -> None:
        self.deadline = 0
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes and (unsent_bytes < self._unsent_bytes or self._unsent_bytes == 0):  # slow, but it reads
            self._unsent_bytes = unsent_bytes
            self._owe(self._server.limits.write_timeout_s)
        elif unsent_bytes or self._is_closing:
            self.abort()
        elif self._request is not None:
            self._break_body("The client was too slow to send its body.")
        elif self._inline is not None or self._buffer or self._decoder is not None:
            self._refuse(408, "The request took too long to arrive.")
        else:
            self._transport.close()

    def _owe(self, seconds: float) -> None:
        """What the client owes next is due in `seconds`; 0: it owes nothing."""
        self.deadline = self._server.deadline(seconds) if seconds else 0

    # Reading requests.

    def _serve_buffer(self) -> None:
        """Start the next request of the buffer, if it is its turn. Each runs in a turn of the loop of its own."""
        if not self._buffer or self._request is not None or self._inline is not None or self._is_closing:
            return
        if self._writable is not None or self._decoder is not None:
            return
        try:
            self._read_request()
        except BadRequest as error:
            self._refuse(error.status, error.reason)

    def _read_request(self) -> None:
        """Take one request off the buffer and start it, once its head is whole."""
        buffer = self._buffer
        if buffer[0] in b"\r\n":  # RFC 9112 section 2.2: empty lines before a request are ignored
            self._scanned = 0
            buffer = self._buffer = buffer.lstrip(b"\r\n")
            if not buffer:
                self._resume_reading()
                return
        end = buffer.find(b"\r\n\r\n", self._scanned) + 4
        if end == 3:
            self._await_head(buffer)
            return
        limits = self._server.limits
        if end > limits.header_size_bytes_max:
            raise BadRequest(431, "The headers are too large.")
        self._scanned = 0
        if self._is_first:
            self._is_first = False
            if end == len(HTTP2_OPENING) and buffer.startswith(HTTP2_OPENING):
                self._is_closing = True  # for this protocol
                self._server.become_http2(self, self._transport, self._source_ip, buffer)
                return
        parser = self._server.parser
        if end == len(buffer):
            request = parser.parse(buffer)
            rest = b""
        else:
            request = parser.parse(buffer[:end])
            rest = buffer[end:]
        request.source_ip = self._source_ip
        if self._server.is_tls:
            request.scheme = "https"
        self._keep_alive = parser.keep_alive
        length_bytes = parser.length_bytes
        if length_bytes == 0:
            self._buffer = rest
            self._start(request)
        elif length_bytes is not None and length_bytes <= len(rest) and length_bytes <= limits.inline_body_bytes_max:
            request.body = rest[:length_bytes]
            self._buffer = rest[length_bytes:]
            self._start(request)
        else:
            self._buffer = b""
            self._start_body(request, length_bytes, rest, parser.expects_continue)

    def _await_head(self, buffer: bytes) -> None:
        limits = self._server.limits
        if len(buffer) > limits.header_size_bytes_max:
            raise BadRequest(431, "The headers are too large.")
        if not buffer[:1].isalpha() or _BARE_LF.search(buffer, max(0, self._scanned - 1)):
            raise BadRequest(400, "The request is not well-formed.")
        line_max = limits.request_line_bytes_max
        if len(buffer) > line_max + 2 and buffer.find(b"\r\n", 0, line_max + 2) < 0:
            raise BadRequest(414, "The request line is too long.")
        if self._scanned == 0:
            self._owe(limits.header_timeout_s)
        self._scanned = max(1, len(buffer) - 3)
        self._resume_reading()

    def _start_body(self, request: HttpRequest, length_bytes: int | None, rest: bytes, expects: bool) -> None:
        limits = self._server.limits
        if length_bytes is not None and length_bytes > limits.body_bytes_max:
            raise BadRequest(413, "The body is too large.")
        is_owed = expects and not rest
        self._resume_reading()
        if length_bytes is not None and length_bytes <= limits.inline_body_bytes_max and not is_owed:
            self._inline = request
            self._inline_pieces = [rest]
            self._inline_missing = length_bytes - len(rest)
            self._owe(limits.body_timeout_s)
            return
        self._owes_continue = is_owed
        self._body = request.body = IncomingBody(length_bytes, self._body_wanted, self._body_taken)
        self._body_bytes = 0
        self._decoder = (
            ChunkedDecoder(limits.header_size_bytes_max) if length_bytes is None else LengthDecoder(length_bytes)
        )
        if rest:
            self._buffer = self._take_body(rest)
            if self._is_broken:
                raise BadRequest(400, "The body is not well-formed.")
        if self._decoder is not None:
            self._owe(0 if is_owed else limits.body_timeout_s)
        self._start(request)

    def _take_inline(self, data: bytes) -> bytes:
        """Bytes of a small body; what comes after it. Starts the request when the body is whole."""
        assert self._inline is not None
        missing = self._inline_missing
        if len(data) < missing:
            self._inline_pieces.append(data)
            self._inline_missing = missing - len(data)
            self._owe(self._server.limits.body_timeout_s)
            return b""
        rest = b""
        if len(data) > missing:
            data, rest = data[:missing], data[missing:]
        self._inline_pieces.append(data)
        request, self._inline = self._inline, None
        request.body = b"".join(self._inline_pieces)
        self._inline_pieces = []
        self._start(request)
        return rest

    def _take_body(self, data: bytes) -> bytes:
        """Bytes of a streamed body; what comes after it."""
        decoder, body, limits = self._decoder, self._body, self._server.limits
        assert decoder is not None
        assert body is not None
        try:
            pieces, rest = decoder.feed(data)
        except BadRequest as error:
            self._break_body(error.reason)
            return b""
        for piece in pieces:
            self._body_bytes += len(piece)
            if not self._is_swallowing:
                body.put(piece)
        if self._body_bytes > limits.body_bytes_max:
            self._break_body("The body is too large.")
            return b""
        if not decoder.is_done:
            if body.held_bytes > limits.body_high_water_bytes:
                self._pause_reading()
                self._owe(0)
            else:
                self._owe(limits.body_timeout_s)
            return b""
        self._decoder = None
        self._owe(0)
        body.complete(decoder.trailers())
        if self._is_swallowing:
            self._next()
        return rest

    def _body_wanted(self) -> None:
        """The handler starts to read the body."""
        if self._owes_continue and self._decoder is not None and not self._is_lost:
            self._owes_continue = False
            self._transport.write(_CONTINUE)
            self._owe(self._server.limits.body_timeout_s)

    def _body_taken(self, size_bytes: int) -> None:
        if not self._is_reading_paused or self._body is None or self._decoder is None:
            return
        if self._body.held_bytes <= self._server.limits.body_high_water_bytes // 2:
            self._resume_reading()
            self._owe(self._server.limits.body_timeout_s)

    def _break_body(self, reason: str) -> None:
        """The rest of this body cannot be had: its reader learns it, and the connection ends after the answer."""
        self._is_broken = True
        self._decoder = None
        self._owe(0)
        if self._body is not None:
            self._body.fail(reason)
        if self._is_swallowing:
            self._close()

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = False
            self._transport.resume_reading()

    # Answering.

    def _start(self, request: HttpRequest) -> None:
        self._request = request
        self._is_swallowing = False
        if self._decoder is None:
            self.deadline = 0
        # A task for each request, even one whose handler never waits: driving the first step by hand and keeping the task for
        # those that wait was tried, and saves 0.5 us of 11 (measured), which its subtlety is not worth.
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: HttpRequest) -> None:
        response = await response_to(request, self._server.handler)
        try:
            if isinstance(response.body, bytes):
                if not self._is_lost:
                    self._write_head(request, response, response.body)
            else:
                await self._stream(request, response)
        except ClientGone:
            pass
        except Exception:
            # Part of a response may be out. Only a cut tells the client that it is not whole.
            log.exception("a response broke off")
            self._is_closing = True
            self._transport.abort()
        self._finish()

    def _write_head(self, request: HttpRequest, response: HttpResponse, body: bytes) -> bool | None:
        """Write the head, and `body` where the response has one. True: pieces follow as chunks. None: nothing may follow."""
        is_http11 = request.http_version == "1.1"
        sends_body = has_body(request.method, response.status)
        length_bytes = body_length(response)
        is_chunked = length_bytes is None and is_http11
        if not self._may_keep_alive() or (length_bytes is None and sends_body and not is_http11):
            self._is_broken = True
        closing = "close" if self._is_broken else "" if is_http11 else "keep-alive"
        try:
            head = response_head(response, self._server.date(), length_bytes, is_chunked, closing)
        except BadResponse:
            log.exception("a response could not be sent")
            self._is_broken = True
            self._transport.write(refusal(500, "Internal Server Error", self._server.date()))
            return None
        self._transport.write(head + body if body and sends_body else head)
        return is_chunked if sends_body else None

    async def _stream(self, request: HttpRequest, response: HttpResponse) -> None:
        try:
            if self._is_lost:
                return
            is_chunked = self._write_head(request, response, b"")
            if is_chunked is not None:
                await self._send_pieces(response, is_chunked)
        finally:
            await release(response)

    async def _send_pieces(self, response: HttpResponse, is_chunked: bool) -> None:
        assert not isinstance(response.body, bytes)
        transport = self._transport
        async for piece in pieces_of(response.body, response.length_bytes):
            if is_chunked:
                transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            else:
                transport.write(piece)
            if self._writable is not None:
                await self._writable
            if transport.is_closing():  # it takes writes still, and drops them without ever pausing us
                raise ClientGone
        if is_chunked:
            transport.write(b"0\r\n\r\n")

    def _may_keep_alive(self) -> bool:
        if not self._keep_alive or self._is_broken or self._server.is_draining:
            return False
        if self._decoder is None:
            return True
        remaining_bytes = self._decoder.remaining_bytes
        if self._owes_continue or remaining_bytes is None:
            return False
        return remaining_bytes <= self._server.limits.unread_body_bytes_max

    def _finish(self) -> None:
        """The answer is written."""
        self._request = self._task = None
        if self._is_closing:
            return
        if self._is_broken or self._server.is_draining:
            self._close()
            return
        if self._decoder is not None:
            if not self._may_keep_alive():
                self._close()
                return
            assert self._body is not None
            self._body.discard()
            self._is_swallowing = True
            self._resume_reading()
            self._owe(self._server.limits.body_timeout_s)
            return
        self._body = None
        self._next()

    def _next(self) -> None:
        """Be ready for the next request."""
        self._is_swallowing = False
        if self._writable is None:
            self.deadline = self._server.ticks + self._server.keep_alive_ticks
        if self._is_reading_paused and len(self._buffer) <= self._server.limits.pipeline_bytes_max:
            self._resume_reading()
        self._serve_buffer()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer a request that no handler sees, and end."""
        self._transport.write(refusal(status, reason, self._server.date()))
        self._is_broken = True
        self._close()

    def _close(self) -> None:
        """End the connection once what was written is out.

        Where the client may still be sending, closing at once would reset the connection, and a reset can destroy the answer
        before the client reads it (RFC 9112 section 9.6). So our sending side is closed first, and what comes is thrown away.
        """
        if self._is_closing:
            return
        is_body_due = self._decoder is not None
        self._is_closing = True
        if self._body is not None:
            self._body.fail("The request was answered.")
        self._buffer = b""
        self._inline = None
        self._decoder = None
        self._resume_reading()
        if self._writable is None:
            self._owe(self._server.limits.linger_s)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        elif not is_body_due:  # TLS has no half-closed state
            self._transport.close()
