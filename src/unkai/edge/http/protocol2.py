"""HTTP/2 on one connection (RFC 9113), framed by h2: each stream is a request to the same handler as HTTP/1's.

Back-pressure is flow control both ways: a body's bytes are acknowledged when the handler takes them, and a response waits for
the client's window. What costs the client little and us much (cancelled streams, pings, settings, empty frames: CVE-2023-44487,
CVE-2019-9512, -9515, -9518) draws on a budget that refills with time; who overdraws it is sent away. A header block is
bounded by h2: 64 CONTINUATION frames and the header list size.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from unkai.edge.http.body import IncomingBody
from unkai.edge.http.head import BadRequest
from unkai.edge.http.head2 import headers_of, request_of, response_fields
from unkai.edge.http.sending import ClientGone, pieces_of, release, response_to
from unkai.edge.http.writer import BadResponse, has_body

if TYPE_CHECKING:
    from unkai.edge.http.server import Server
    from unkai.kernel.http import HttpRequest, HttpResponse

log = logging.getLogger(__name__)

_CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024  # unread body bytes held for all streams of a connection together
_BUDGET_BURST_S = 4  # seconds' worth of cancelled streams that may come at once
Errors = h2.errors.ErrorCodes


@dataclass(slots=True, eq=False)
class Stream:
    """One request and its answer."""

    id: int
    request: HttpRequest
    task: asyncio.Task[None] | None = None
    body: IncomingBody | None = None  # a body that the handler reads while it arrives
    collected: bytearray | None = None  # a small body, collected before the handler starts
    received_bytes: int = 0
    trailers: dict[str, str] | None = None
    is_ended: bool = False  # the client has sent all
    window: asyncio.Future[None] | None = None  # while the response waits for the client's window
    deadline: int = 0


class Http2(asyncio.Protocol):
    """One connection, taken over from `Http1` by `Server.become_http2`."""

    def __init__(self, server: Server, transport: asyncio.Transport, source_ip: str) -> None:
        limits = server.limits
        self._server = server
        self._loop = server.loop
        self._transport = transport
        self._source_ip = source_ip
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # outlive their streams where a handler shields its commit
        self._writable: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._write_deadline = 0
        self._is_over = False  # h2 takes no further calls
        self._is_going = False  # no new streams
        self._budget = float(limits.resets_per_s_max * _BUDGET_BURST_S)
        self._budget_tick = server.ticks
        self.deadline = server.deadline(limits.keep_alive_s)
        h2_config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._h2 = h2.connection.H2Connection(h2_config)
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                codes.MAX_HEADER_LIST_SIZE: limits.header_size_bytes_max,
                codes.INITIAL_WINDOW_SIZE: limits.body_high_water_bytes,
                codes.ENABLE_PUSH: 0,
            },
        )
        self._h2.decoder.max_header_list_size = limits.header_size_bytes_max
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - 65_535)
        self._flush()

    # What the transport tells.

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
            for event in events:
                self._on_event(event)
                if self._is_over:
                    return
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 has put GOAWAY with the reason there
            self._end()
            return
        except Exception:
            log.exception("the HTTP/2 framing failed")
            self.abort()
            return
        self._flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._server.forget(self)
        for stream in list(self._streams.values()):
            self._drop(stream, "The client closed the connection.")
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._unsent_bytes = 0
        # Answers without a body wait for nobody: a client that asks and never reads must not pile them up.
        if not self._is_over:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        if not self._is_over:
            self._transport.resume_reading()

    # What the server tells.

    def drain(self) -> None:
        if self._is_going:
            return
        self._is_going = True
        self._flush()
        # Written past h2, which would refuse to finish the open streams after its own GOAWAY.
        self._transport.write(GoAwayFrame(0, self._h2.highest_inbound_stream_id, int(Errors.NO_ERROR)).serialize())
        self._end_if_done()

    def abort(self) -> None:
        self._transport.abort()

    def deadline_passed(self) -> None:
        unsent_bytes = self._transport.get_write_buffer_size()
        if not self._streams and unsent_bytes == 0:
            if self._is_over:
                self.abort()
            else:
                self.drain()
            return
        self.deadline = self._server.ticks + 1
        for stream in [s for s in self._streams.values() if s.deadline and s.deadline <= self._server.ticks]:
            self._reset(stream, Errors.CANCEL, "The client was too slow.")
        if unsent_bytes == 0 or self._unsent_bytes == 0 or unsent_bytes < self._unsent_bytes:
            self._write_deadline = self._server.deadline(self._server.limits.write_timeout_s)
        elif self._server.ticks >= self._write_deadline:
            self.abort()
        self._unsent_bytes = unsent_bytes
        if not self._is_over:
            self._flush()

    # Events.

    def _on_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._open(event)
            case h2.events.DataReceived():
                self._take(event)
            case h2.events.TrailersReceived():
                if event.stream_id in self._streams:
                    self._take_trailers(self._streams[event.stream_id], event)
            case h2.events.StreamEnded():
                if event.stream_id in self._streams:
                    self._end_body(self._streams[event.stream_id])
            case h2.events.StreamReset():
                self._spend()
                if event.stream_id in self._streams:
                    self._drop(self._streams[event.stream_id], "The client cancelled the request.")
            case h2.events.WindowUpdated():
                self._wake(event.stream_id)
            case h2.events.RemoteSettingsChanged():
                self._spend()
                self._wake(0)
            case h2.events.ConnectionTerminated():
                self._on_goaway(event)
            case h2.events.PingReceived() | h2.events.PriorityUpdated() | h2.events.UnknownFrameReceived():
                self._spend()
            case _:
                pass

    def _spend(self) -> None:
        """Draw on the budget for what costs us more than the client."""
        limits, ticks = self._server.limits, self._server.ticks
        earned = (ticks - self._budget_tick) * self._server.tick_s * limits.resets_per_s_max
        self._budget_tick = ticks
        self._budget = min(self._budget + earned, limits.resets_per_s_max * _BUDGET_BURST_S) - 1
        if self._budget < 0 and not self._is_over:
            self._h2.close_connection(Errors.ENHANCE_YOUR_CALM)
            self._flush()
            self._end()

    def _open(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        limits = self._server.limits
        if self._is_going or len(self._tasks) >= limits.streams_max:
            # Tasks are counted, not streams: a cancelled stream may leave a handler that still finishes its commit.
            self._h2.reset_stream(stream_id, Errors.REFUSED_STREAM)
            self._spend()
            return
        try:
            request = request_of(event.headers or [], limits)
            length = request.headers.get("content-length")
            length_bytes = None if length is None else int(length)
            if length_bytes is not None and length_bytes > limits.body_bytes_max:
                raise BadRequest(413, "The body is too large.")
        except BadRequest as error:
            self._refuse(stream_id, error, is_ended=event.stream_ended is not None)
            return
        request.source_ip = self._source_ip
        request.scheme = "https" if self._server.is_tls else "http"
        stream = self._streams[stream_id] = Stream(stream_id, request)
        self.deadline = self._server.ticks + 1
        if event.stream_ended is not None:
            stream.is_ended = True
            self._start(stream)
            return
        stream.deadline = self._server.deadline(limits.body_timeout_s)
        expects = "expect" in request.headers
        if length_bytes is not None and length_bytes <= limits.inline_body_bytes_max and not expects:
            stream.collected = bytearray()
            return
        on_start = partial(self._body_wanted, stream, expects)
        stream.body = request.body = IncomingBody(length_bytes, on_start, partial(self._body_taken, stream))
        self._start(stream)

    def _refuse(self, stream_id: int, error: BadRequest, is_ended: bool) -> None:
        text = f"{error.reason}\n".encode()
        fields = [(":status", str(error.status)), ("date", self._server.date()), ("content-type", "text/plain")]
        self._h2.send_headers(stream_id, fields)
        self._h2.send_data(stream_id, text, end_stream=True)
        if not is_ended:
            self._h2.reset_stream(stream_id, Errors.NO_ERROR)
        self._spend()

    def _take(self, event: h2.events.DataReceived) -> None:
        stream_id = event.stream_id
        data, size_bytes = event.data or b"", event.flow_controlled_length or 0
        if not data and event.stream_ended is None:
            self._spend()
        stream = self._streams.get(stream_id)
        if stream is None:
            self._h2.acknowledge_received_data(size_bytes, stream_id)
            return
        stream.received_bytes += len(data)
        if stream.received_bytes > self._server.limits.body_bytes_max:
            self._reset(stream, Errors.CANCEL, "The body is too large.")
            return
        stream.deadline = self._server.deadline(self._server.limits.body_timeout_s)
        if stream.body is not None:
            stream.body.put(data)
            size_bytes -= len(data)  # padding is acknowledged at once, the body when it is taken
        elif stream.collected is not None:
            stream.collected += data
        if stream.body is not None and self._h2.remote_flow_control_window(stream_id) <= 0:
            stream.deadline = 0  # it is the handler's turn
        if size_bytes:
            self._h2.acknowledge_received_data(size_bytes, stream_id)

    def _take_trailers(self, stream: Stream, event: h2.events.TrailersReceived) -> None:
        try:
            stream.trailers = headers_of((bytes(n), bytes(v)) for n, v in event.headers or [])
        except BadRequest as error:
            self._reset(stream, Errors.PROTOCOL_ERROR, error.reason)
            self._spend()

    def _end_body(self, stream: Stream) -> None:
        if stream.is_ended:
            return
        stream.is_ended = True
        stream.deadline = 0
        if stream.body is not None:
            stream.body.complete(stream.trailers or {})
        elif stream.collected is not None:
            stream.request.body = bytes(stream.collected)
            stream.collected = None
            self._start(stream)

    def _body_wanted(self, stream: Stream, expects: bool) -> None:
        if expects and not stream.is_ended and stream.id in self._streams:
            self._h2.send_headers(stream.id, [(":status", "100")])
            self._flush()

    def _body_taken(self, stream: Stream, size_bytes: int) -> None:
        if self._is_over or size_bytes == 0:
            return
        self._h2.acknowledge_received_data(size_bytes, stream.id)
        if not stream.is_ended and stream.id in self._streams:
            stream.deadline = self._server.deadline(self._server.limits.body_timeout_s)
        self._flush()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        self._is_going = True
        if event.error_code == Errors.NO_ERROR and self._streams:
            # The client opens no more streams but waits for those that are open; h2 would have us drop them.
            self._h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
        else:
            self._end()

    # Answering.

    def _start(self, stream: Stream) -> None:
        if stream.is_ended:
            stream.deadline = 0
        task = stream.task = self._loop.create_task(self._answer(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, stream: Stream) -> None:
        response = await response_to(stream.request, self._server.handler)
        try:
            if stream.id in self._streams:
                await self._respond(stream, response)
        except ClientGone:
            pass
        except Exception:
            log.exception("a response broke off")
            if stream.id in self._streams:
                self._reset(stream, Errors.INTERNAL_ERROR, "The response broke off.")
                self._flush()
        finally:
            await release(response)
        self._finish(stream)

    async def _respond(self, stream: Stream, response: HttpResponse) -> None:
        try:
            fields = response_fields(response, self._server.date())
        except BadResponse:
            log.exception("a response could not be sent")
            fields = [(":status", "500"), ("date", self._server.date()), ("content-length", "0")]
            self._h2.send_headers(stream.id, fields, end_stream=True)
            return
        sends_body = has_body(stream.request.method, response.status)
        is_empty = not sends_body or response.body == b""
        self._h2.send_headers(stream.id, fields, end_stream=is_empty)
        if is_empty:
            return
        if isinstance(response.body, bytes):
            await self._send(stream, response.body, end_stream=True)
            return
        async for piece in pieces_of(response.body, response.length_bytes):
            await self._send(stream, piece)
        self._h2.end_stream(stream.id)

    async def _send(self, stream: Stream, data: bytes, end_stream: bool = False) -> None:
        """Send within the client's window; returns when all of `data` is on its way."""
        at = 0
        while at < len(data):
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room > 0:
                piece = data[at : at + room]
                at += len(piece)
                self._h2.send_data(stream.id, piece, end_stream=end_stream and at == len(data))
            if room <= 0 or self._writable is not None or at == len(data):
                self._flush()
            if room <= 0:
                stream.deadline = self._server.deadline(self._server.limits.write_timeout_s)
                stream.window = self._loop.create_future()
                await stream.window
                stream.deadline = 0
            if self._writable is not None:
                await self._writable
            if stream.id not in self._streams or self._transport.is_closing():
                raise ClientGone

    def _wake(self, stream_id: int | None) -> None:
        """The client opened a window: one stream's, or (0) everybody's."""
        streams = self._streams.values() if not stream_id else filter(None, [self._streams.get(stream_id)])
        for stream in streams:
            if stream.window is not None and not stream.window.done():
                stream.window.set_result(None)

    def _finish(self, stream: Stream) -> None:
        """The answer is sent."""
        if self._streams.pop(stream.id, None) is None:
            return
        if stream.body is not None:
            self._release_held(stream)
        if not stream.is_ended:
            # The answer did not need the rest of the body (RFC 9113 section 8.1).
            self._h2.reset_stream(stream.id, Errors.NO_ERROR)
        self._flush()
        self._end_if_done()

    def _reset(self, stream: Stream, code: h2.errors.ErrorCodes, reason: str) -> None:
        self._drop(stream, reason)
        self._h2.reset_stream(stream.id, code)

    def _drop(self, stream: Stream, reason: str) -> None:
        """Nobody waits for this stream any more."""
        if self._streams.pop(stream.id, None) is None:
            return
        if stream.body is not None:
            stream.body.fail(reason)
            self._release_held(stream)
        if stream.task is not None and stream.task is not asyncio.current_task():
            stream.task.cancel()
        self._end_if_done()

    def _release_held(self, stream: Stream) -> None:
        """Bytes that nobody will read must not block the connection's window."""
        assert stream.body is not None
        held_bytes = stream.body.discard()
        if held_bytes and not self._is_over:
            self._h2.acknowledge_received_data(held_bytes, stream.id)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _end_if_done(self) -> None:
        if self._streams or self._is_over:
            return
        if self._is_going:
            self._end()
        else:
            self.deadline = self._server.deadline(self._server.limits.keep_alive_s)

    def _end(self) -> None:
        """Close once what was written is out; `deadline_passed` cuts a client that does not take it."""
        self._is_going = self._is_over = True
        for stream in list(self._streams.values()):
            self._drop(stream, "The connection ended.")
        self.deadline = self._server.deadline(self._server.limits.linger_s)
        self._transport.close()
