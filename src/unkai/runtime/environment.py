"""One execution environment: its cell, its processes, and the phases Init, Invoke and Shutdown.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. The pool decides when; this module does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unkai.kernel import clock, ids
from unkai.runtime import loglines, variables
from unkai.runtime.api import INIT_TIMEOUT_S, FunctionSpec, Invocation, LogLine, Report, Result
from unkai.runtime.egress import Egress
from unkai.runtime.extensions import EXTENSIONS_MAX, Extension, Extensions
from unkai.runtime.httpd import Api, Connection
from unkai.runtime.output import Output
from unkai.runtime.protocol import Failure, RuntimeSide, StreamTarget, Work
from unkai.runtime.relay import BACKLOG, Relay
from unkai.runtime.sandbox import messages, plain
from unkai.runtime.sandbox.remote import SpawnFailed
from unkai.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from unkai.runtime.languages.language import Launch, Package
    from unkai.runtime.sandbox.remote import Spawner
    from unkai.runtime.settings import Settings

RUNTIME = 1
"""The runtime's process number in its cell; extensions follow."""
_RUNTIME_SHUTDOWN_S = 0.3
_EXTENSIONS_SHUTDOWN_S = 1.7
_MB = 1 << 20


class Host(Protocol):
    """What an environment needs of the keeper."""

    spawner: Spawner
    settings: Settings

    def new_cell(self, environment: Environment) -> int: ...

    async def fork_server(self, minor: int, package: Package) -> int: ...

    def logged(self, environment: Environment) -> None:
        """There are lines to be taken from `environment.lines`."""
        ...


@dataclass(frozen=True, slots=True)
class Code:
    """What a cell mounts, and how its runtime starts."""

    package: Package
    launch: Launch
    task_key: bytes
    opt_key: bytes
    missing: str = ""
    """Why there is nothing to start (no bootstrap in the package)."""


class Environment:
    def __init__(self, host: Host, number: int, spec: FunctionSpec, code: Code) -> None:
        self.number, self.spec = number, spec
        self._host, self._code = host, code
        self._loop = asyncio.get_running_loop()
        self._clock = clock.RealClock()
        day = clock.format_utc(self._clock.real_ms(), "%Y/%m/%d")
        self.log_stream = f"{day}/[{spec.version}]{ids.random_bytes(16).hex()}"
        self.lines: list[LogLine] = []
        self.log_backlog = self.log_dropped = 0
        """Bytes of ours that no reader has taken yet, and lines that were lost over it: the keeper's accounts."""
        self._tail: loglines.Tail | None = None
        self._init_ms: float | None = None
        self._freeze_timer: asyncio.TimerHandle | None = None
        self.frozen = False
        self._stopping: asyncio.Task[None] | None = None
        self._peak_bytes = 0
        self._oom = False
        self.broken = False
        """A process has ended although nobody asked it to: no further event may come here."""
        self._fresh()

    def _fresh(self) -> None:
        """The state of a cell that is yet to be made."""
        self._cell = -1
        self._outputs: dict[int, Output] = {}
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._servers: list[asyncio.Server] = []
        self._relay: Relay | None = None
        self._egress: Egress | None = None
        self._peak_fd = -1
        self._telemetry = Telemetry(self._dial)
        names = {"functionName": self.spec.name, "functionVersion": self.spec.version, "handler": self.spec.handler}
        names["accountId"] = self.spec.account
        self._extensions = Extensions(
            names, self._extensions_changed, self._extension_fault, self._extension_registered
        )
        self._registered: asyncio.Future[None] = self._loop.create_future()
        ready: asyncio.Future[Failure | None] = self._loop.create_future()
        self._side = RuntimeSide(self._extensions, self._telemetry, self._subscribed, self._answered, ready)
        self._api = Api(self._side.handle, self._side.open_body, self._side.body_limit)

    # --- Init

    async def start(self) -> Failure | None:
        """The Init phase: at most ten seconds, then once more within the function's own timeout, as Lambda does."""
        failure = await self._init("init", INIT_TIMEOUT_S)
        if failure is not None and failure.timeout:
            await self._end_cell("TIMEOUT")
            self._fresh()
            failure = await self._init("invoke", float(self.spec.timeout_s))
            self._init_ms = None
        return failure

    async def _init(self, phase: str, timeout_s: float) -> Failure | None:
        began = clock.monotonic_ns()
        runtime = self.spec.runtime
        start = {"initializationType": "on-demand", "phase": phase, "runtimeVersion": loglines.runtime_version(runtime),
                 "runtimeVersionArn": loglines.runtime_arn(runtime, self.spec.region), "functionName": self.spec.name,
                 "functionVersion": self.spec.version}  # fmt: skip
        self._platform("platform.initStart", start)
        timer = self._loop.call_later(timeout_s, self._init_timed_out, timeout_s)
        try:
            await self._make_cell()
            await self._start_extensions()
            if not self._side.ready.done():
                await self._start_runtime()
            failure = await self._side.ready
        finally:
            timer.cancel()
        self._init_ms = (clock.monotonic_ns() - began) / 1e6
        status = "success" if failure is None else "timeout" if failure.timeout else "error"
        done: dict[str, Any] = {"initializationType": "on-demand", "phase": phase, "status": status}
        if failure is not None and not failure.timeout:
            done["errorType"] = failure.kind
        self._platform("platform.initRuntimeDone", done)
        self._platform("platform.initReport", done | {"metrics": {"durationMs": round(self._init_ms, 3)}})
        self._telemetry.close_init()
        self._extensions.closed = True
        return failure

    def _init_timed_out(self, timeout_s: float) -> None:
        if not self._side.ready.done():
            payload = loglines.failed("Sandbox.Timedout", "", f"Task timed out after {timeout_s:.2f} seconds")
            self._side.ready.set_result(Failure("Sandbox.Timedout", payload, timeout=True))
        if not self._registered.done():
            self._registered.set_result(None)

    async def _make_cell(self) -> None:
        self._cell = self._host.new_cell(self)
        spec, code = self.spec, self._code
        request = messages.Create(self._cell, spec.memory_mb, spec.storage_mb, code.task_key, code.opt_key)
        runtime_fd, unkai_fd, egress_fd, *rest = await self._host.spawner.create(request)
        self._peak_fd = rest[0] if rest else -1
        listener = socket.socket(fileno=runtime_fd)
        self._servers = [await self._loop.create_server(lambda: Connection(self._api), sock=listener, backlog=BACKLOG)]
        relay = socket.socket(fileno=unkai_fd)
        self._relay = Relay(relay, self._host.settings.unkai_host, self._host.settings.unkai_port)
        await self._relay.start()
        with socket.socket(fileno=egress_fd) as egress:
            proxy = await self._open_egress(egress) if spec.network == "full" else ""
        self._variables = variables.function_variables(
            spec, code.launch.environment, self.log_stream, _address(listener), f"http://{_address(relay)}", proxy
        )

    async def _open_egress(self, listener: socket.socket) -> str:
        """The proxy to the outside; its address inside."""
        self._egress = Egress(self._host.settings.allow_private_network)
        kept = listener.dup()
        self._servers.append(await self._loop.create_server(self._egress.accept, sock=kept, backlog=BACKLOG))
        return f"http://{_address(kept)}"

    async def _start_extensions(self) -> None:
        """External extensions: every executable in /opt/extensions. The runtime waits until all have registered."""
        opt = self._code.package.opt
        folder = opt / "extensions" if opt else None
        programs = sorted(entry for entry in folder.iterdir() if entry.is_file()) if folder and folder.is_dir() else []
        if not programs:
            return
        if len(programs) > EXTENSIONS_MAX:
            text = f"more than {EXTENSIONS_MAX} extensions"
            self._side.ready.set_result(Failure("Extension.TooMany", loglines.failed("Extension.TooMany", " ", text)))
            return
        self._extensions.expected = {program.name for program in programs}
        environment = variables.extension_variables(self._variables)
        for at, program in enumerate(programs):
            config = {"argv": [f"/opt/extensions/{program.name}"], "env": environment, "cwd": "/"}
            await self._start_process(RUNTIME + 1 + at, messages.EXEC, config, "extension")
        await self._registered

    async def _start_runtime(self) -> None:
        launch = self._code.launch
        if self._code.missing:
            failure = Failure(
                "Runtime.InvalidEntrypoint", loglines.failed("Runtime.InvalidEntrypoint", "", self._code.missing)
            )
            self._side.ready.set_result(failure)
            return
        forked = launch.minor and self._host.settings.level != "none"
        server = await self._host.fork_server(launch.minor, self._code.package) if forked else messages.EXEC
        wrapper = self.spec.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
        argv = [wrapper, *launch.argv] if wrapper else list(launch.argv)
        await self._start_process(
            RUNTIME, server, {"argv": argv, "env": self._variables, "cwd": "/var/task"}, "function"
        )

    async def _start_process(self, process: int, server: int, config: dict[str, Any], kind: str) -> None:
        output = Output(lambda text: self._logged(text, kind))
        self._outputs[process] = output
        self._exits[process] = self._loop.create_future()
        if self._host.settings.level == "none":
            package = self._code.package
            config = plain.relocate(config, package.task, package.opt, self._host.settings.sdk_path)
        try:
            await self._host.spawner.start(self._cell, process, server, config, output.write_fd)
        finally:
            output.started()

    # --- Invoke

    async def run(
        self, invocation: Invocation, target: StreamTarget | None, init_failure: Failure | None, cold: bool
    ) -> tuple[Result, bool]:
        """Work on one event. Gives the result, and whether the environment can take another."""
        self._tail = tail = loglines.Tail()
        timeout_s = float(self.spec.timeout_s)
        now_ms = self._clock.real_ms()
        work = Work(invocation, now_ms + self.spec.timeout_s * 1000, target, self._loop.create_future())
        work.started_ns = clock.monotonic_ns()
        tracing = loglines.tracing_of(invocation.trace_header)
        self._platform("platform.start", {"requestId": invocation.request_id, "version": self.spec.version} | tracing)
        if init_failure is not None:
            failure: Failure | None = self._named(init_failure, invocation.request_id)
        else:
            timer = self._loop.call_later(timeout_s, self._timed_out, work)
            self._side.begin(work)
            if self._extensions.by_id:
                self._extensions.tell_invoke(self._invoke_event(work))
            failure = await work.done
            timer.cancel()
            self._side.work = None
        for output in self._outputs.values():
            output.drain()
        result = self._report(work, failure, cold)
        if self._telemetry.subscriptions:
            await self._telemetry.flush()
        self._tail = None
        result = Result(result.payload, result.function_error, tail.bytes(), result.report, result.content_type)
        return result, failure is None or not failure.fatal

    def _invoke_event(self, work: Work) -> dict[str, Any]:
        invocation = work.invocation
        return {
            "eventType": "INVOKE",
            "deadlineMs": work.deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.invoked_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace_header},
        }

    def _named(self, failure: Failure, request_id: str) -> Failure:
        """An init's failure was made before the event's id was known."""
        if failure.kind == "Runtime.InvalidEntrypoint":
            return Failure(failure.kind, loglines.failed(failure.kind, request_id, self._code.missing))
        if failure.timeout:
            now_ms = self._clock.real_ms()
            self._logged(loglines.timed_out_line(request_id, self.spec.timeout_s, now_ms), "platform")
            return Failure(failure.kind, loglines.timed_out(request_id, self.spec.timeout_s), timeout=True)
        return Failure(failure.kind, failure.payload.replace(b"RequestId:  ", f"RequestId: {request_id} ".encode()))

    def _timed_out(self, work: Work) -> None:
        request_id = work.invocation.request_id
        for output in self._outputs.values():
            output.drain()
        line = loglines.timed_out_line(request_id, self.spec.timeout_s, self._clock.real_ms())
        self._logged(line, "platform")
        work.finish(Failure("Sandbox.Timedout", loglines.timed_out(request_id, self.spec.timeout_s), timeout=True))

    def _report(self, work: Work, failure: Failure | None, cold: bool) -> Result:
        """END and REPORT, and the result. An init is billed with the event that caused it."""
        request_id, trace = work.invocation.request_id, work.invocation.trace_header
        duration_ms = (clock.monotonic_ns() - work.started_ns) / 1e6
        timeout = failure is not None and failure.timeout
        if timeout:
            duration_ms = self.spec.timeout_s * 1000.0
        init_ms = self._init_ms if cold else None
        status = "success" if failure is None else "timeout" if timeout else "error" if failure.fatal else "success"
        error_type = failure.kind if failure is not None and failure.fatal and not timeout else ""
        report = Report(
            duration_ms=duration_ms,
            billed_duration_ms=math.ceil(duration_ms + (init_ms or 0)),
            memory_mb=self.spec.memory_mb,
            memory_used_mb=self._memory_used_mb(),
            status=status,
            error_type=error_type,
            init_duration_ms=init_ms,
            log_stream=self.log_stream,
        )
        done: dict[str, Any] = {
            "requestId": request_id,
            "status": "failure" if failure and not failure.fatal else status,
        }
        done["metrics"] = {"durationMs": round(duration_ms, 3), "producedBytes": work.produced_bytes}
        self._platform("platform.runtimeDone", done | loglines.tracing_of(trace))
        self._platform("platform.report", loglines.report_record(request_id, report, trace))
        if failure is not None:
            return Result(failure.payload, "Unhandled", b"", report)
        return Result(work.payload, "", b"", report, work.content_type)

    def _memory_used_mb(self) -> int:
        """The most since the environment began. Without cgroups: what polling has seen."""
        if self._peak_fd >= 0:
            with contextlib.suppress(OSError, ValueError):
                self._peak_bytes = int(os.pread(self._peak_fd, 32, 0))
        return min(self.spec.memory_mb, max(1, math.ceil(self._peak_bytes / _MB)))

    def saw_memory(self, used_bytes: int) -> None:
        """A poll's reading, at the level without cgroups: over the limit, the environment is killed as the kernel would."""
        self._peak_bytes = max(self._peak_bytes, used_bytes)
        if used_bytes > self.spec.memory_mb * _MB:
            self._oom = True
            self._host.spawner.signal(self._cell, RUNTIME, hard=True)

    # --- Rest and Shutdown

    def rest(self) -> None:
        """Idle: frozen after a moment, so that a busy function pays nothing."""
        delay = self._host.settings.freeze_after_ms / 1000
        self._freeze_timer = self._loop.call_later(delay, self._freeze)

    def _freeze(self) -> None:
        self._freeze_timer = None
        self.frozen = True
        self._host.spawner.freeze(self._cell)

    def wake(self) -> None:
        if self._freeze_timer is not None:
            self._freeze_timer.cancel()
            self._freeze_timer = None
        if self.frozen:
            self.frozen = False
            self._host.spawner.thaw(self._cell)

    async def stop(self, reason: str) -> None:
        """The Shutdown phase. May be called again; every caller waits for the one end."""
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._end_cell(reason))
        await asyncio.shield(self._stopping)

    async def _end_cell(self, reason: str) -> None:
        self.wake()
        try:
            if self._extensions.by_id and self._cell >= 0:
                await self._shut_down_extensions(reason)
            if self._cell >= 0:
                with contextlib.suppress(SpawnFailed):  # it may never have come to be
                    await self._host.spawner.destroy(self._cell)
        finally:
            self._telemetry.end()
            for output in self._outputs.values():
                output.close()
            for server in self._servers:
                server.close()
            for connection in list(self._api.connections):
                connection.close()
            if self._relay is not None:
                self._relay.close()
            if self._egress is not None:
                self._egress.close()
            if self._peak_fd >= 0:
                os.close(self._peak_fd)
                self._peak_fd = -1

    async def _shut_down_extensions(self, reason: str) -> None:
        """SIGTERM for the runtime, then the SHUTDOWN event, then two seconds in all."""
        spawner, runtime = self._host.spawner, self._exits.get(RUNTIME)
        if runtime is not None and not runtime.done():
            spawner.signal(self._cell, RUNTIME, hard=False)
            await asyncio.wait([runtime], timeout=_RUNTIME_SHUTDOWN_S)
            if not runtime.done():
                spawner.signal(self._cell, RUNTIME, hard=True)
        if self._extensions.wants_shutdown():
            await self._telemetry.flush()
            deadline_ms = self._clock.real_ms() + int(_EXTENSIONS_SHUTDOWN_S * 1000)
            self._extensions.tell_shutdown(reason, deadline_ms)
            others = [future for process, future in self._exits.items() if process != RUNTIME and not future.done()]
            if others:
                await asyncio.wait(others, timeout=_EXTENSIONS_SHUTDOWN_S)

    # --- what happens inside

    def exited(self, message: messages.Exited) -> None:
        """A process of the cell has ended."""
        output = self._outputs.get(message.process)
        if output is not None:
            output.close()
        future = self._exits.get(message.process)
        if future is not None and not future.done():
            future.set_result(message.status)
        if self._stopping is not None:
            return
        work = self._side.work
        request_id = work.invocation.request_id if work is not None else ""
        if message.process == RUNTIME:
            kind, payload = loglines.exited(request_id, message.status, bool(message.oom) or self._oom)
            text = loglines.exit_text(message.status)
        else:
            kind, text = "Extension.Crash", loglines.exit_text(message.status).replace("Runtime", "Extension", 1)
            payload = loglines.failed(kind, request_id or " ", text)
        failure = Failure(kind, payload)
        if not self._side.ready.done():
            self._side.ready.set_result(failure)
            if not self._registered.done():
                self._registered.set_result(None)
        elif work is not None and work.answered:
            work.finish(work.failure)  # it answered, and then went: the answer counts
        elif work is not None:
            self._logged(f"RequestId: {request_id} Error: {text}\n{kind}", "platform")
            work.finish(failure)
        self.broken = True

    def _extension_fault(self, kind: str, body: bytes) -> None:
        work = self._side.work
        failure = Failure(kind, loglines.failed(kind, work.invocation.request_id if work else " ", kind))
        self.broken = True
        if not self._side.ready.done():
            self._side.ready.set_result(failure)
        elif work is not None:
            work.finish(failure)

    def _extension_registered(self, extension: Extension) -> None:
        record = {"name": extension.name, "state": "Registered", "events": list(extension.events)}
        self._platform("platform.extension", record | {"state": "Ready"})

    def _extensions_changed(self) -> None:
        if self._extensions.all_registered and not self._registered.done():
            self._registered.set_result(None)
        self._side.check_done()

    def _subscribed(self, record: dict[str, Any]) -> None:
        self._platform("platform.telemetrySubscription", record)

    def _answered(self) -> None:
        """What the function wrote before it answered belongs to this event's log."""
        for output in self._outputs.values():
            output.drain()

    async def _dial(self) -> int:
        return await self._host.spawner.dial(self._cell)

    # --- logs

    def _logged(self, text: str, kind: str) -> None:
        now_ms = self._clock.real_ms()
        self._line(text, now_ms)
        if kind != "platform":
            self._telemetry.emit(kind, text, now_ms)

    def _platform(self, kind: str, record: dict[str, Any]) -> None:
        now_ms = self._clock.real_ms()
        json_format = self.spec.log_format == "JSON"
        text = loglines.json_of(kind, record, now_ms) if json_format else loglines.text_of(kind, record)
        if text:
            self._line(text, now_ms)
        self._telemetry.emit(kind, record, now_ms)

    def tell_dropped(self) -> None:
        lost, self.log_dropped = self.log_dropped, 0
        self._line(
            f"unkai: {lost} log lines were dropped, since they were written faster than they were read",
            self._clock.real_ms(),
        )

    def _line(self, text: str, now_ms: int) -> None:
        self.lines.append(LogLine(now_ms, text))
        if self._tail is not None:
            self._tail.add(text)
        self._host.logged(self)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"
