"""The `Runner` of every process but the keeper: a connection to it, made on first use and again after it has died."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from unkai.runtime import codeserver, frames
from unkai.runtime.api import (
    CodeRef,
    FunctionSpec,
    InvalidCode,
    Invocation,
    LogSink,
    Result,
    RuntimeUnavailable,
    Stats,
    TooManyRequests,
    UnknownRuntime,
)
from unkai.runtime.unpack import key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from unkai.runtime.settings import Settings

_RECONNECT_S = 0.1
_SPECS_MAX = 10_000
_STREAM_HIGH_WATER = 64


class RuntimeClient:
    """Implements `api.Runner`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: _Connection | None = None
        self._connecting: asyncio.Lock = asyncio.Lock()

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        answer = await self._call(spec, lambda call, number: frames.Invoke(call, number, invocation))
        assert isinstance(answer, frames.Done)
        return answer.result

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> Streamed:
        assert invocation.streaming
        connection = await self._connected()
        stream = Streamed(connection)
        await self._call(spec, lambda call, number: frames.Invoke(call, number, invocation), stream)
        return stream

    async def prepare(self, spec: FunctionSpec) -> None:
        await self._call(spec, frames.Prepare)

    async def drain(self, arn: str) -> None:
        await self._simple(lambda call: frames.Drain(call, arn))

    async def keep_code(self, keys: Sequence[tuple[CodeRef, ...]]) -> int:
        digests = [key_of([ref.sha256 for ref in refs]) for refs in keys if refs]
        return (await self._simple(lambda call: frames.KeepCode(call, digests))).number

    async def stats(self) -> Stats:
        answer = await self._simple(frames.AskStats)
        assert answer.stats is not None
        return answer.stats

    async def follow_logs(self, sink: LogSink) -> None:
        """Give every log batch to `sink`, one after the other, until cancelled; over restarts of the keeper too."""
        while True:
            try:
                connection = await self._open()
            except RuntimeUnavailable:
                await asyncio.sleep(_RECONNECT_S)
                continue
            try:
                connection.logs = asyncio.Queue()
                connection.send(frames.Subscribe())
                while (batch := await connection.next_log()) is not None:
                    await sink(batch)
            finally:
                connection.close()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    # --- calls

    async def _call(self, spec: FunctionSpec, make: Any, stream: Streamed | None = None) -> frames.Answer:
        """One call about a function; hands its code over where the keeper lacks it, and asks again."""
        for _ in range(2):
            connection = await self._connected() if stream is None else stream.connection
            answer = await connection.call(
                lambda call, connection=connection: make(call, connection.number_of(spec)), stream
            )
            if not isinstance(answer, frames.Refused):
                return answer
            if answer.kind != "need_code":
                _raise(answer)
            for code in filter(None, ((spec.code,), spec.layers)):
                await asyncio.to_thread(codeserver.upload, str(self._settings.code_socket_path), code)
        raise RuntimeUnavailable("the code was handed over, and is gone again")

    async def _simple(self, make: Any) -> frames.Answered:
        connection = await self._connected()
        answer = await connection.call(make, None)
        if isinstance(answer, frames.Refused):
            _raise(answer)
        assert isinstance(answer, frames.Answered)
        return answer

    async def _connected(self) -> _Connection:
        if self._connection is not None and self._connection.open:
            return self._connection
        async with self._connecting:
            if self._connection is None or not self._connection.open:
                self._connection = await self._open()
            return self._connection

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(_Connection, str(self._settings.socket_path))
        except OSError as error:
            raise RuntimeUnavailable("the function runtime is not running") from error
        return connection


def _raise(refused: frames.Refused) -> None:
    match refused.kind:
        case "throttled":
            raise TooManyRequests(refused.text)
        case "invalid_code":
            raise InvalidCode(refused.text)
        case "unknown_runtime":
            raise UnknownRuntime(refused.text)
    raise RuntimeUnavailable(refused.text, started=refused.started)


class Streamed:
    """A response being made; see `api.StreamedResult`."""

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.content_type = "application/octet-stream"
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._end: asyncio.Future[frames.Answer] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes) -> None:
        self._chunks.put_nowait(data)
        if self._chunks.qsize() >= _STREAM_HIGH_WATER:
            self.connection.pause(self)

    def end(self, answer: frames.Answer | Exception) -> None:
        self._chunks.put_nowait(None)
        if not self._end.done():
            if isinstance(answer, Exception):
                self._end.set_exception(answer)
            else:
                self._end.set_result(answer)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self._chunks.get()) is not None:
            if self._chunks.qsize() < _STREAM_HIGH_WATER // 2:
                self.connection.resume(self)
            yield data

    async def finish(self) -> Result:
        self.connection.resume(self)
        answer = await self._end
        assert isinstance(answer, frames.Done)
        return answer.result


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._splitter = frames.Splitter()
        self._last_call = 0
        self._waiting: dict[int, asyncio.Future[frames.Answer]] = {}
        self._streams: dict[int, Streamed] = {}
        self._numbers: dict[tuple[str, str, str, str], int] = {}
        self._paused: set[Streamed] = set()
        self.logs: asyncio.Queue[Any] | None = None

    def number_of(self, spec: FunctionSpec) -> int:
        """The function's number on this connection; sent along the first time, and when its credentials are new."""
        key = (
            spec.arn,
            spec.version,
            spec.revision,
            f"{spec.credentials.access_key_id}:{spec.reserved_concurrency}:{spec.unreserved_concurrency}",
        )
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= _SPECS_MAX:
                self._numbers.clear()
            number = self._numbers[key] = self._last_call = self._last_call + 1
            self.send(frames.Define(number, spec))
        return number

    async def call(self, make: Any, stream: Streamed | None) -> frames.Answer:
        """Send a request and wait for its answer; for a stream, until it begins (or ends without beginning)."""
        if not self.open:
            raise RuntimeUnavailable("the function runtime went away")
        self._last_call += 1
        call = self._last_call
        future: asyncio.Future[frames.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[call] = future
        if stream is not None:
            self._streams[call] = stream
        self.send(make(call))
        try:
            return await future
        finally:
            self._waiting.pop(call, None)

    def send(self, request: frames.Request) -> None:
        if self._transport is not None:
            self._transport.write(frames.encode(request))

    async def next_log(self) -> Any:
        assert self.logs is not None
        return await self.logs.get()

    def pause(self, stream: Streamed) -> None:
        self._paused.add(stream)
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self, stream: Streamed) -> None:
        if stream in self._paused:
            self._paused.discard(stream)
            if not self._paused and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport, self.open = transport, True

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits may ask again; whether their function ran is unknown."""
        self.open, self._transport = False, None
        lost = RuntimeUnavailable("the function runtime went away", started=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(lost)
        for stream in self._streams.values():
            stream.end(lost)
        self._streams.clear()
        if self.logs is not None:
            self.logs.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        self._splitter.feed(data, self._handle)

    def _handle(self, data: Any) -> None:
        answer = frames.decode_answer(data)
        if isinstance(answer, frames.Logs):
            if self.logs is not None:
                self.logs.put_nowait(answer.batch)
            return
        stream = self._streams.get(answer.call)
        if isinstance(answer, frames.Chunk):
            if stream is not None:
                stream.take(answer.data)
            return
        if stream is not None:
            if isinstance(answer, frames.StreamBegun):
                stream.content_type = answer.content_type
            else:
                del self._streams[answer.call]
                if isinstance(answer, frames.Done):
                    stream.end(answer)
        future = self._waiting.get(answer.call)
        if future is not None and not future.done():
            future.set_result(answer)
