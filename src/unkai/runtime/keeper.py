"""The keeper: an unprivileged process that owns all execution environments of the node.

It serves the Runtime, Extensions and Telemetry APIs on sockets inside environments, takes invocations from the node's other
processes over a Unix socket, and asks the spawner for everything that needs a right. It dies with the spawner, and the
spawner with it; its clients then get a retryable error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import uvloop

from unkai.kernel import clock
from unkai.runtime import codeserver, frames, languages
from unkai.runtime.api import FunctionSpec, Invocation, LogBatch, LogLine, Result, Stats
from unkai.runtime.environment import Code, Environment
from unkai.runtime.forkservers import ForkServers
from unkai.runtime.languages.language import Package
from unkai.runtime.pool import Demand, Pool, Throttled
from unkai.runtime.sandbox import messages
from unkai.runtime.sandbox.remote import Spawner, SpawnFailed
from unkai.runtime.unpack import UNZIPPED_SIZE_BYTES_MAX, CodeStore, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unkai.runtime.protocol import StreamTarget
    from unkai.runtime.settings import Settings

_log = logging.getLogger(__name__)

_LOG_FLUSH_S = 0.05
_LOG_BACKLOG_BYTES_MAX = 16 * 1024 * 1024
_LOG_SHARE_BYTES_MAX = 4 * 1024 * 1024
_LOG_BATCH_CHARACTERS_MAX = 1024 * 1024
_SPECS_MAX = 20_000
_HOUSEKEEPING_S = 1.0
_MEMORY_POLL_S = 0.1
_SHUTDOWN_S = 3.0


class Refusal(Exception):
    """What a client is told instead of a result; `kind` as in frames.Refused."""

    def __init__(self, kind: Any, text: str, *, started: bool = False) -> None:
        super().__init__(text)
        self.kind, self.text, self.started = kind, text, started


class Keeper:
    def __init__(self, settings: Settings, channel: socket.socket) -> None:
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.spawner = Spawner(channel, self._exited, self._end)
        self._pool = Pool(settings.environments_max, settings.idle_ms)
        self._environments: dict[int, Environment] = {}
        self._by_cell: dict[int, Environment] = {}
        self._last_cell = 0
        self._clock = clock.RealClock()
        self.code = CodeStore(settings.code_dir)
        self._forks = ForkServers(self.spawner, sdk=bool(settings.sdk_path))
        self._codes: dict[str, Code] = {}
        self._log_client: Client | None = None
        self._log_backlog: deque[tuple[Environment, bytes]] = deque()
        self._log_backlog_size = 0
        self._dirty: dict[int, Environment] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._housekeeping: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        self.code.open()
        codeserver.start(self.settings, self.code)
        path = self.settings.socket_path
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{path}.new")
        os.chmod(f"{path}.new", 0o666)  # who may connect is decided by SO_PEERCRED
        listener.listen(128)
        server = await self._loop.create_unix_server(lambda: Client(self), sock=listener)
        os.rename(f"{path}.new", path)
        watching = self._loop.create_task(self._watch_memory()) if self.settings.level != "full" else None
        self._loop.add_signal_handler(signal.SIGTERM, self._end)
        await self._ended
        if watching is not None:
            watching.cancel()
        server.close()
        stops = [self._loop.create_task(environment.stop("SPINDOWN")) for environment in self._environments.values()]
        if stops:
            await asyncio.wait(stops, timeout=_SHUTDOWN_S)
        self._flush_logs()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    # --- invocations

    async def invoke(self, spec: FunctionSpec, invocation: Invocation, target: StreamTarget | None) -> Result:
        code = self._code_of(spec)
        now_ms = self._clock.real_ms()
        demand = Demand(
            spec.account, spec.arn, spec.version, spec.revision, spec.timeout_s * 1000, spec.credentials.expires_ms,
            spec.reserved_concurrency, spec.unreserved_concurrency,
        )  # fmt: skip
        assigned = self._pool.acquire(demand, now_ms)
        if isinstance(assigned, Throttled):
            raise Refusal("throttled", assigned.reason)
        for number in assigned.stop:
            self._stop_soon(number, "SPINDOWN")
        number = assigned.environment
        if assigned.cold:
            self._environments[number] = Environment(self, number, spec, code)
            if self._housekeeping is None:
                self._housekeeping = self._loop.call_later(_HOUSEKEEPING_S, self._keep_house)
        environment, failure = self._environments[number], None
        try:
            if assigned.cold:
                failure = await environment.start()
                self._pool.started(number)
            else:
                environment.wake()
            result, usable = await environment.run(invocation, target, failure, assigned.cold)
        except (SpawnFailed, OSError) as error:
            self._stop_soon(number, "FAILURE")
            raise Refusal("unavailable", f"an environment could not be started: {error}") from error
        except BaseException:
            self._stop_soon(number, "FAILURE")
            raise
        if not usable or environment.broken:
            reason = "TIMEOUT" if result.report.status == "timeout" else "FAILURE"
            self._stop_soon(number, reason)
        elif self._pool.release(number, self._clock.real_ms()):
            environment.rest()
        else:
            self._stop_soon(number, "SPINDOWN")
        return result

    def _code_of(self, spec: FunctionSpec) -> Code:
        """How to start a function; cached by its revision. Raises Refusal."""
        cached = self._codes.get(f"{spec.arn}:{spec.version}:{spec.revision}")
        if cached is not None:
            return cached
        found = languages.find(spec.runtime)
        if found is None:
            have = ", ".join(sorted(languages.available()))
            raise Refusal("unknown_runtime", f"{spec.runtime} cannot run on this machine. It can run: {have}.")
        task_key = key_of([spec.code.sha256])
        opt_key = key_of([layer.sha256 for layer in spec.layers]) if len(spec.layers) > 1 else (
            bytes.fromhex(spec.layers[0].sha256) if spec.layers else messages.NO_CODE
        )  # fmt: skip
        task = self.code.find(task_key)
        opt = self.code.find(opt_key) if spec.layers else None
        if task is None or (spec.layers and opt is None):
            raise Refusal("need_code", "")
        if self.code.size(task_key) + (self.code.size(opt_key) if opt else 0) > UNZIPPED_SIZE_BYTES_MAX:
            raise Refusal(
                "invalid_code",
                f"Function code combined with layers exceeds the maximum allowed size of {UNZIPPED_SIZE_BYTES_MAX} bytes.",
            )
        language, interpreter = found
        package = Package(
            task, opt, {**spec.environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb)}, spec.handler
        )
        launch = language.launch(spec.runtime, interpreter, package)
        missing = ""
        if language.name == "provided" and not any((root / "bootstrap").exists() for root in (task, opt) if root):
            missing = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
        code = Code(package, launch, task_key, opt_key, missing)
        if len(self._codes) > 4096:
            self._codes.clear()
        self._codes[f"{spec.arn}:{spec.version}:{spec.revision}"] = code
        return code

    async def prepare(self, spec: FunctionSpec) -> None:
        code = self._code_of(spec)
        if code.launch.minor and self.settings.level != "none":
            await self._forks.get(code.launch.minor, code.package)

    async def fork_server(self, minor: int, package: Package) -> int:
        return await self._forks.get(minor, package)

    def drain(self, arn: str) -> None:
        for number in self._pool.drain(arn):
            self._stop_soon(number, "SPINDOWN")
        self._codes = {key: code for key, code in self._codes.items() if not key.startswith(f"{arn}:")}

    def keep_code(self, keys: list[bytes]) -> int:
        used = {key for code in self._codes.values() for key in (code.task_key, code.opt_key)}
        return self.code.remove_others([*keys, *used])

    def stats(self) -> Stats:
        frozen = sum(environment.frozen for environment in self._environments.values())
        return Stats(self._pool.size, self._pool.busy, frozen, self.settings.level)

    # --- environments

    def new_cell(self, environment: Environment) -> int:
        self._last_cell += 1
        self._by_cell[self._last_cell] = environment
        return self._last_cell

    def _stop_soon(self, number: int, reason: str) -> None:
        """The pool forgets it now; its cell goes in the background."""
        self._pool.lost(number)
        environment = self._environments.pop(number, None)
        if environment is not None:
            task = self._loop.create_task(environment.stop(reason))
            task.add_done_callback(lambda _: self._forget(environment))

    def _forget(self, environment: Environment) -> None:
        self._by_cell = {cell: other for cell, other in self._by_cell.items() if other is not environment}

    def _exited(self, message: messages.Exited | messages.ServerExited) -> None:
        if isinstance(message, messages.ServerExited):
            self._forks.ended(message.server)
            return
        environment = self._by_cell.get(message.cell)
        if environment is not None:
            environment.exited(message)
            if environment.broken and self._pool.is_idle(environment.number):
                self._stop_soon(environment.number, "FAILURE")

    def _keep_house(self) -> None:
        """Once a second while there are environments, and not at all without."""
        self._housekeeping = None
        for number in self._pool.reap(self._clock.real_ms()):
            self._stop_soon(number, "SPINDOWN")
        if self._pool.size:
            self._housekeeping = self._loop.call_later(_HOUSEKEEPING_S, self._keep_house)

    async def _watch_memory(self) -> None:
        """Where no cgroup limits memory."""
        while True:
            await asyncio.sleep(_MEMORY_POLL_S)
            for cell, environment in list(self._by_cell.items()):
                with contextlib.suppress(SpawnFailed):
                    environment.saw_memory((await self.spawner.measure(cell)).now_bytes)

    # --- logs

    def logged(self, environment: Environment) -> None:
        self._dirty[id(environment)] = environment
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(_LOG_FLUSH_S, self._flush_logs)

    def _flush_logs(self) -> None:
        self._flush_timer = None
        for environment in self._dirty.values():
            spec, lines, environment.lines = environment.spec, environment.lines, []
            group = spec.log_group or f"/aws/lambda/{spec.name}"
            for some in _portions(lines):
                batch = LogBatch(spec.arn, spec.account, spec.region, group, environment.log_stream, some)
                self._put_log(environment, frames.encode(frames.Logs(batch)), len(some))
        self._dirty.clear()
        self._send_logs()

    def _put_log(self, environment: Environment, data: bytes, lines: int) -> None:
        """Bounded, in all and for each environment: a flood, or a reader that is away, costs the newest lines of whoever
        writes most; functions are not held up, and the loss is told in the log."""
        size = environment.log_backlog + len(data)
        if size > _LOG_SHARE_BYTES_MAX or self._log_backlog_size + len(data) > _LOG_BACKLOG_BYTES_MAX:
            environment.log_dropped += lines
            return
        environment.log_backlog = size
        self._log_backlog.append((environment, data))
        self._log_backlog_size += len(data)

    def _send_logs(self) -> None:
        client = self._log_client
        while client is not None and not client.paused and self._log_backlog:
            environment, data = self._log_backlog.popleft()
            self._log_backlog_size -= len(data)
            environment.log_backlog -= len(data)
            client.write(data)
            if environment.log_dropped and environment.log_backlog < _LOG_SHARE_BYTES_MAX // 2:
                environment.tell_dropped()

    def subscribe(self, client: Client) -> None:
        self._log_client = client
        self._send_logs()

    def unsubscribe(self, client: Client) -> None:
        if self._log_client is client:
            self._log_client = None

    def writable(self, client: Client) -> None:
        if self._log_client is client:
            self._send_logs()


class Client(asyncio.Protocol):
    """One connection of another process of the node."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._splitter = frames.Splitter()
        self._transport: asyncio.Transport | None = None
        self._specs: dict[int, FunctionSpec] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Transport] = set()
        self.paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not allowed_peer(transport.get_extra_info("socket"), self._keeper.settings):
            transport.abort()
            return
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The functions run on; nobody hears of their results."""
        self._transport = None
        self._keeper.unsubscribe(self)
        self._release()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            self._splitter.feed(data, self._handle)
        except ValueError:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def hold(self, source: asyncio.Transport) -> None:
        """Let `source` wait until this client has read what is under way."""
        if self.paused and source not in self._held:
            self._held.add(source)
            source.pause_reading()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._release()
        self._keeper.writable(self)

    def _release(self) -> None:
        for source in self._held:
            if not source.is_closing():
                source.resume_reading()
        self._held.clear()

    def _handle(self, data: Any) -> None:
        request = frames.decode_request(data)
        match request:
            case frames.Define(number, spec):
                self._specs[number] = spec
                if len(self._specs) > _SPECS_MAX:  # the client forgets earlier, and then gives new numbers
                    del self._specs[next(iter(self._specs))]
            case frames.Invoke():
                self._spawn(self._invoke(request))
            case frames.Prepare():
                self._spawn(self._prepare(request))
            case frames.Drain(call, arn):
                self._keeper.drain(arn)
                self.write(frames.encode(frames.Answered(call)))
            case frames.KeepCode(call, keys):
                self.write(frames.encode(frames.Answered(call, self._keeper.keep_code(keys))))
            case frames.AskStats(call):
                self.write(frames.encode(frames.Answered(call, 0, self._keeper.stats())))
            case frames.Subscribe():
                self._keeper.subscribe(self)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _invoke(self, request: frames.Invoke) -> None:
        invocation = request.invocation
        target = Target(self, request.call) if invocation.streaming else None
        try:
            result = await self._keeper.invoke(self._specs[request.spec], invocation, target)
        except Refusal as refusal:
            self.write(frames.encode(frames.Refused(request.call, refusal.kind, refusal.text, refusal.started)))
            return
        except Exception:
            _log.exception("an invocation failed inside the keeper")
            self.write(frames.encode(frames.Refused(request.call, "unavailable", "internal failure", True)))
            return
        if target is not None and not result.function_error and not target.begun:
            target.begin(result.content_type)
            self.write(frames.encode(frames.Chunk(request.call, result.payload)))
            result = Result(b"", "", result.log_tail, result.report, result.content_type)
        self.write(frames.encode(frames.Done(request.call, result)))

    async def _prepare(self, request: frames.Prepare) -> None:
        try:
            await self._keeper.prepare(self._specs[request.spec])
        except Refusal as refusal:
            self.write(frames.encode(frames.Refused(request.call, refusal.kind, refusal.text)))
        except SpawnFailed as error:
            self.write(frames.encode(frames.Refused(request.call, "unavailable", str(error))))
        else:
            self.write(frames.encode(frames.Answered(request.call)))


def _portions(lines: list[LogLine]) -> Iterator[list[LogLine]]:
    """Lines in order, cut so that a batch fits into a frame whatever the lines' lengths."""
    some: list[LogLine] = []
    size = 0
    for line in lines:
        if some and size + len(line.text) > _LOG_BATCH_CHARACTERS_MAX:
            yield some
            some, size = [], 0
        some.append(line)
        size += len(line.text)
    if some:
        yield some


class Target:
    """A streamed response on its way to a client."""

    def __init__(self, client: Client, call: int) -> None:
        self._client, self._call = client, call
        self.begun = False

    def begin(self, content_type: str) -> None:
        self.begun = True
        self._client.write(frames.encode(frames.StreamBegun(self._call, content_type)))

    def write(self, data: bytes, source: asyncio.Transport) -> None:
        self._client.write(frames.encode(frames.Chunk(self._call, data)))
        self._client.hold(source)


def allowed_peer(connection: Any, settings: Settings) -> bool:
    """Only the node's own users may ask: the kernel says who is on the other side. unix(7)"""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # no sandbox there either; the folder's mode guards the socket
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.geteuid(), *settings.client_uids)


def run(settings: Settings, channel: socket.socket) -> None:
    async def main() -> None:
        await Keeper(settings, channel).run()

    uvloop.run(main())
