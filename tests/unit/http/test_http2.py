"""HTTP/2: the same handler over streams, flow control both ways, and the attacks that its framing invites."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from http_front import SLOW, Front, connect
from hyperframe.frame import ContinuationFrame, HeadersFrame

from unkai.kernel.http import BodyIncomplete, HttpRequest, HttpResponse

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator

FIELDS = [(":method", "GET"), (":path", "/a?x=1"), (":scheme", "http"), (":authority", "h")]
PUT = [(":method", "PUT"), *FIELDS[1:]]
Errors = h2.errors.ErrorCodes


class Client:
    """A blocking HTTP/2 client over one socket; it opens windows only when told to."""

    def __init__(self, sock: socket.socket, **config: Any) -> None:
        self.sock = sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", **config))
        self.h2.initiate_connection()
        self.unseen: deque[h2.events.Event] = deque()
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, fields: list[tuple[str, str]] = FIELDS, body: bytes | None = None, end: bool = True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, fields, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=end)
        self.flush()
        return stream_id

    def events(self) -> Iterator[h2.events.Event]:
        """Until the server closes."""
        while True:
            while self.unseen:
                yield self.unseen.popleft()
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self.unseen.extend(self.h2.receive_data(data))
            # The server may have closed already; what it said before is still to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.flush()

    def wait(self, kind: type[Any], where: Callable[[Any], bool] = lambda event: True) -> Any:
        for event in self.events():
            if isinstance(event, kind) and where(event):
                return event
        raise AssertionError(f"closed before {kind.__name__}")

    def responses(self, *stream_ids: int) -> dict[int, tuple[dict[str, str], bytes]]:
        headers: dict[int, dict[str, str]] = {}
        bodies = dict.fromkeys(stream_ids, b"")
        missing = set(stream_ids)
        for event in self.events():
            match event:
                case h2.events.ResponseReceived():
                    headers[event.stream_id] = dict(event.headers)
                case h2.events.DataReceived():
                    bodies[event.stream_id] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.flush()
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    missing.discard(event.stream_id)
                    if not missing:
                        break
        assert not missing, "closed before all were answered"
        return {stream_id: (headers[stream_id], bodies[stream_id]) for stream_id in stream_ids}


@contextmanager
def client(address: tuple[str, int], **config: Any) -> Iterator[Client]:
    with connect(address) as sock:
        yield Client(sock, **config)


def test_request_and_response(front: Front) -> None:
    with client(front.start()) as c:
        stream_id = c.ask([*PUT, ("x-a", "1"), ("x-a", "2"), ("cookie", "a=1"), ("cookie", "b=2")], b"abc")
        headers, body = c.responses(stream_id)[stream_id]
    assert (headers[":status"], headers["content-length"], body) == ("200", "6", b"/a abc")
    assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    seen = front.seen[0]
    assert (seen.method, seen.path, seen.query, seen.http_version) == ("PUT", "/a", "x=1", "2")
    assert seen.headers == {"host": "h", "x-a": "1,2", "cookie": "a=1; b=2"}


def test_streams_are_answered_as_they_are_ready(front: Front) -> None:
    with client(front.start()) as c:
        late = c.ask(PUT, b"ab", end=False)
        others = [c.ask() for _ in range(60)]
        assert all(body == b"/a " for _, body in c.responses(*others).values())
        c.h2.send_data(late, b"cd", end_stream=True)
        c.flush()
        assert c.responses(late)[late][1] == b"/a abcd"


def test_small_body_with_a_length_is_bytes_and_others_stream(front: Front) -> None:
    kinds: list[type] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        kinds.append(type(request.body))
        return await front.answer(request)

    with client(front.start(handler)) as c:
        sized = c.ask([*PUT, ("content-length", "2")], b"ab")
        unsized = c.ask(PUT, b"ab")
        c.responses(sized, unsized)
    assert sorted(kind.__name__ for kind in kinds) == ["IncomingBody", "bytes"]


def test_upload_waits_for_the_handler(front: Front) -> None:
    """The client's window opens only as the handler takes pieces."""
    gate = front.run(_event())

    async def handler(request: HttpRequest) -> HttpResponse:
        await gate.wait()
        return await front.answer(request)

    size = 3 << 20
    with client(front.start(handler)) as c:
        stream_id = c.ask(PUT, end=False)
        c.wait(h2.events.WindowUpdated)
        sent = 0
        while room := min(c.h2.local_flow_control_window(stream_id), 16384, size - sent):
            c.h2.send_data(stream_id, b"x" * room)
            sent += room
        c.flush()
        assert sent == SLOW.body_high_water_bytes
        c.h2.ping(b"12345678")
        c.flush()
        c.wait(h2.events.PingAckReceived)
        assert c.h2.local_flow_control_window(stream_id) == 0
        front.loop.call_soon_threadsafe(gate.set)
        while sent < size:
            c.wait(h2.events.WindowUpdated)
            while room := min(c.h2.local_flow_control_window(stream_id), 16384, size - sent):
                c.h2.send_data(stream_id, b"x" * room)
                sent += room
            c.flush()
        c.h2.end_stream(stream_id)
        c.flush()
        assert len(c.responses(stream_id)[stream_id][1]) == size + 3


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_download_waits_for_the_client(front: Front) -> None:
    taken: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            taken.append(1)
            yield b"x" * 65536

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], parts())

    with client(front.start(handler)) as c:
        stream_id = c.ask()
        received = 0
        while received < 65535:
            received += len(c.wait(h2.events.DataReceived).data)
        front.run(asyncio.sleep(0.02))
        assert len(taken) == 1  # its last byte waits for the window
        c.h2.acknowledge_received_data(received, stream_id)
        c.flush()
        for event in c.events():
            if isinstance(event, h2.events.DataReceived):
                received += len(event.data)
                c.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
                c.flush()
            if isinstance(event, h2.events.StreamEnded):
                break
    assert received == 64 * 65536


def test_trailers(front: Front) -> None:
    trailers: list[dict[str, str]] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        body = request.body
        response = await front.answer(request)
        trailers.append(body.trailers())
        return response

    with client(front.start(handler)) as c:
        stream_id = c.ask(PUT, b"ab", end=False)
        c.h2.send_headers(stream_id, [("x-sum", "1")], end_stream=True)
        c.flush()
        assert c.responses(stream_id)[stream_id][1] == b"/a ab"
    assert trailers == [{"x-sum": "1"}]


def test_expect_continue(front: Front) -> None:
    with client(front.start()) as c:
        stream_id = c.ask([*PUT, ("expect", "100-continue"), ("content-length", "2")], end=False)
        c.wait(h2.events.InformationalResponseReceived)
        c.h2.send_data(stream_id, b"ab", end_stream=True)
        c.flush()
        assert c.responses(stream_id)[stream_id][1] == b"/a ab"


def test_early_answer_stops_the_upload(front: Front) -> None:
    """RFC 9113 section 8.1: RST_STREAM(NO_ERROR) after a whole answer; the connection lives on."""

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(403 if request.method == "PUT" else 200)

    with client(front.start(handler)) as c:
        c.ask(PUT, b"x" * 10_000, end=False)
        assert c.wait(h2.events.StreamReset).error_code == Errors.NO_ERROR
        stream_id = c.ask()
        assert c.responses(stream_id)[stream_id][0][":status"] == "200"


def test_unread_bodies_do_not_use_up_the_connection(front: Front) -> None:
    """What a handler left unread is given back to the window that all streams share."""

    async def handler(request: HttpRequest) -> HttpResponse:
        while request.body.held_bytes < 400_000:
            await asyncio.sleep(0.001)
        return HttpResponse(403)

    with client(front.start(handler)) as c:
        c.wait(h2.events.WindowUpdated)
        for _ in range(14):
            stream_id = c.ask(PUT, end=False)
            for _ in range(25):
                assert c.h2.local_flow_control_window(stream_id) >= 16_000, "the shared window is used up"
                c.h2.send_data(stream_id, b"x" * 16_000)
                c.flush()
            assert c.wait(h2.events.StreamReset).stream_id == stream_id
            c.h2.ping(b"12345678")
            c.flush()
            c.wait(h2.events.PingAckReceived)


def test_cancelled_stream_cancels_its_handler(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        try:
            await request.read(100)
        except BodyIncomplete:
            front.events.append("incomplete")
        except asyncio.CancelledError:
            front.events.append("cancelled")
            raise
        return HttpResponse(200)

    with client(front.start(handler)) as c:
        stream_id = c.ask(PUT, end=False)
        front.settle(lambda: bool(front.events))
        c.h2.reset_stream(stream_id)
        c.flush()
        front.settle(lambda: len(front.events) == 2)
    assert front.events[1] in ("cancelled", "incomplete")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*FIELDS[:1], (":path", "a"), *FIELDS[2:]], "400"),
        ([*FIELDS[:1], (":path", "/ b"), *FIELDS[2:]], "400"),
        ([*FIELDS[:1], (":path", "/a#b"), *FIELDS[2:]], "400"),
        ([*FIELDS[:1], (":path", "/" + "x" * 20_000), *FIELDS[2:]], "414"),
        ([(":method", "G T"), *FIELDS[1:]], "400"),
        ([*FIELDS[:3], (":authority", "a/b")], "400"),
        ([*FIELDS[:3], (":authority", "")], "400"),
        ([*FIELDS, ("content-length", "+1")], None),
        ([*FIELDS, ("host", "other")], None),
        ([*FIELDS, *[(f"x-{i}", "") for i in range(201)]], "431"),
        ([*FIELDS, ("content-length", "99999999999999")], "413"),
        ([*FIELDS, ("X-Upper", "a")], None),
        ([*FIELDS, ("x-a", "a\r\nb: c")], None),
        ([*FIELDS, ("x a", "b")], None),
        ([*FIELDS, ("connection", "close")], None),
        ([*FIELDS, ("transfer-encoding", "chunked")], None),
        ([*FIELDS, (":path", "/b")], None),
        ([FIELDS[0], *FIELDS[2:]], None),
    ],
)
def test_malformed_requests_reach_no_handler(front: Front, fields: list[tuple[str, str]], status: str | None) -> None:
    """None: a 400 or the end of the stream or connection, as h2 sees fit."""
    address = front.start()
    unchecked = {"validate_outbound_headers": False, "normalize_outbound_headers": False}
    with client(address, **unchecked) as c:
        stream_id = c.ask(fields, end=False)
        seen = None
        for event in c.events():
            if isinstance(event, h2.events.ResponseReceived):
                seen = dict(event.headers)[":status"]
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                break
    assert stream_id == 1
    assert seen == status or (status is None and seen in (None, "400"))
    assert front.seen == []


def _is_calmed(c: Client) -> bool:
    """The server said ENHANCE_YOUR_CALM, or cut the connection under the flood."""
    try:
        for event in c.events():
            if isinstance(event, h2.events.ConnectionTerminated):
                return event.error_code == Errors.ENHANCE_YOUR_CALM
    except (ConnectionError, h2.exceptions.ProtocolError):
        pass
    return True


def _rapid_reset(c: Client) -> None:
    c.h2.reset_stream(c.ask())


def _empty_data(c: Client) -> None:
    if not c.h2.open_outbound_streams:
        c.ask(PUT, end=False)
    c.h2.send_data(1, b"")


FLOODS = {
    "reset": _rapid_reset,
    "ping": lambda c: c.h2.ping(b"12345678"),
    "settings": lambda c: c.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 4096}),
    "empty data": _empty_data,
    "priority": lambda c: c.h2.prioritize(1, weight=3),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_are_sent_away(front: Front, kind: str) -> None:
    """CVE-2023-44487 and the floods of 2019: cheap for the client, dear for the server."""

    async def handler(request: HttpRequest) -> HttpResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with client(front.start(handler)) as c:
        try:
            for _ in range(400):
                FLOODS[kind](c)
                c.flush()
        except ConnectionError:
            pass
        assert _is_calmed(c)
    front.settle(lambda: front.connection_count() == 0)


def test_continuation_flood_is_cut(front: Front) -> None:
    """A header block that never ends must not collect in memory (CVE-2024-27983 and kin)."""
    with client(front.start()) as c:
        c.wait(h2.events.RemoteSettingsChanged)
        try:
            c.sock.sendall(HeadersFrame(1, b"\x00\x01a\x01b").serialize())
            for _ in range(1000):
                c.sock.sendall(ContinuationFrame(1, b"\x00\x01a\x01b" * 100).serialize())
            while c.sock.recv(65536):
                pass
        except ConnectionError:
            pass
    front.settle(lambda: front.connection_count() == 0)
    assert front.seen == []


def test_header_bomb_is_refused(front: Front) -> None:
    """A small block that expands through the compression table is bounded by the header list size."""
    with client(front.start()) as c:
        c.ask([*FIELDS, ("x-a", "y" * 3000), *[("x-a", "y" * 3000)] * 150])
        event = c.wait(h2.events.ConnectionTerminated)
    assert event.error_code != Errors.NO_ERROR
    assert front.seen == []


def test_too_many_streams(front: Front) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with client(front.start(handler)) as c:
        c.h2.remote_settings = h2.settings.Settings(client=False)
        try:
            for _ in range(200):
                c.ask()
            c.wait(h2.events.ConnectionTerminated)
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
    assert len(front.events) <= SLOW.streams_max


def test_slow_clients_lose_their_streams(front: Front) -> None:
    """No body bytes, or no window for the answer: the stream is reset, the connection lives."""

    async def handler(request: HttpRequest) -> HttpResponse:
        if request.method == "PUT":
            return await front.answer(request)
        return HttpResponse(200, [], b"x" * 1_000_000)

    with client(front.start(handler)) as c:
        uploading = c.ask(PUT, b"ab", end=False)
        front.settle(lambda: bool(front.seen))
        front.tick(SLOW.body_timeout_s)
        assert c.wait(h2.events.StreamReset).stream_id == uploading
        downloading = c.ask()
        received = 0
        while received < 65535:
            received += len(c.wait(h2.events.DataReceived).data)
        front.tick(SLOW.write_timeout_s)
        assert c.wait(h2.events.StreamReset).stream_id == downloading


def test_idle_connection_is_told_and_closed(front: Front) -> None:
    with client(front.start()) as c:
        stream_id = c.ask()
        c.responses(stream_id)
        front.tick(SLOW.keep_alive_s)
        assert c.wait(h2.events.ConnectionTerminated).error_code == Errors.NO_ERROR
        assert c.sock.recv(1) == b""


def test_server_drains(front: Front) -> None:
    """GOAWAY first; what is open is answered, then the connection closes."""
    gate = front.run(_event())

    async def handler(request: HttpRequest) -> HttpResponse:
        front.events.append("started")
        await gate.wait()
        return HttpResponse(200, [], b"done")

    address = front.start(handler)
    with connect(address) as sock:
        c = Client(sock)
        stream_id = c.ask()
        front.settle(lambda: bool(front.events))
        closing = asyncio.run_coroutine_threadsafe(front.servers.pop().close(5), front.loop)
        # The h2 client would drop its streams at GOAWAY, so the frames are read as they are.
        data = b""
        while b"\x07\x00" not in data:
            data += sock.recv(65536)
        front.loop.call_soon_threadsafe(gate.set)
        while piece := sock.recv(65536):
            data += piece
        closing.result(5)
    assert data.endswith(b"done")
    assert stream_id == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(front: Front) -> None:
    host, port = front.start()
    out = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-d", "abc", f"http://{host}:{port}/a", "-w", " %{http_version}"],
        capture_output=True, check=True, timeout=10,
    )  # fmt: skip
    assert out.stdout == b"/a abc 2"


NODE = """
const client = require('http2').connect(process.argv[1]);
let missing = 20;
for (let i = 0; i < 20; i++) {
  const request = client.request({':path': '/a', ':method': 'POST'});
  let size = 0;
  request.on('data', (piece) => { size += piece.length; });
  request.on('end', () => { if (size !== 300003) process.exit(1); if (--missing === 0) client.close(); });
  request.end('x'.repeat(300000));
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_node(front: Front) -> None:
    """The AWS SDK for JavaScript speaks HTTP/2 through this client, to Kinesis even in clear text."""
    host, port = front.start()
    subprocess.run(["node", "-e", NODE, f"http://{host}:{port}"], check=True, timeout=20)
    assert len(front.bodies) == 20
