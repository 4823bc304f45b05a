"""A runner that calls Python handlers from their zip in this process. It keeps no limits and isolates nothing: for tests only.

Started as a program it is `unkai` with this runner, so that tests drive a whole node before, or without, a sandbox.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import io
import json
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from unkai.kernel.functions import (
    FunctionSpec,
    InvalidCode,
    Invocation,
    LogBatch,
    LogLine,
    Report,
    Result,
    TooManyRequests,
)

RUNTIMES = ("python3.10", "python3.11", "python3.12", "python3.13", "python3.14", "nodejs22.x", "provided.al2023")


_printed: contextvars.ContextVar[list[str]] = contextvars.ContextVar("what the running function has printed")


class Context:
    def __init__(self, spec: FunctionSpec, invocation: Invocation) -> None:
        self.aws_request_id = invocation.request_id
        self.function_name = spec.name
        self.function_version = spec.version
        self.invoked_function_arn = invocation.invoked_arn
        self.memory_limit_in_mb = str(spec.memory_mb)
        self.client_context = json.loads(invocation.client_context) if invocation.client_context else None
        self.environment = spec.environment
        self.credentials = spec.credentials


class FakeRunner:
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="unkai-fake-"))
        self._handlers: dict[tuple[str, str], Any] = {}
        self._running: dict[str, int] = {}
        self._logs: asyncio.Queue[LogBatch] = asyncio.Queue()

    def runtimes(self) -> Sequence[str]:
        return RUNTIMES

    async def drain(self, arn: str) -> None:
        pass

    async def follow_logs(self, sink: Any) -> None:
        while True:
            await sink(await self._logs.get())

    def _handler(self, spec: FunctionSpec) -> Any:
        key = (spec.code.sha256, spec.handler)
        if key not in self._handlers:
            folder = self._folder / spec.code.sha256
            if not folder.exists():
                try:
                    with zipfile.ZipFile(io.BytesIO(Path(spec.code.path).read_bytes())) as archive:
                        archive.extractall(folder)
                except zipfile.BadZipFile as error:
                    raise InvalidCode(str(error)) from error
            module, _, function = spec.handler.rpartition(".")
            loaded = importlib.util.spec_from_file_location(f"f{spec.code.sha256}", folder / f"{module}.py")
            assert loaded is not None
            assert loaded.loader is not None
            code = importlib.util.module_from_spec(loaded)
            loaded.loader.exec_module(code)
            code.__dict__["print"] = lambda *words: _printed.get().append(" ".join(map(str, words)))
            self._handlers[key] = getattr(code, function)
        return self._handlers[key]

    async def _call(self, spec: FunctionSpec, invocation: Invocation) -> tuple[Any, str]:
        limit = spec.reserved_concurrency
        running = self._running.get(spec.arn, 0)
        if limit is not None and running >= limit:
            raise TooManyRequests("ReservedFunctionConcurrentInvocationLimitExceeded")
        self._running[spec.arn] = running + 1
        try:
            handler = self._handler(spec)
            event, context = json.loads(invocation.payload), Context(spec, invocation)
            if inspect.isgeneratorfunction(handler):
                return list(handler(event, context)), ""
            return await asyncio.to_thread(handler, event, context), ""
        except (TooManyRequests, InvalidCode):
            raise
        except Exception as error:
            trace = [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
            return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}, "Unhandled"
        finally:
            self._running[spec.arn] -= 1

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        _printed.set(printed := [])
        answer, error = await self._call(spec, invocation)
        said = "".join(f"{line}\n" for line in printed)
        request_id = invocation.request_id
        tail = f"START RequestId: {request_id} Version: {spec.version}\n{said}END RequestId: {request_id}\n"
        day = time.strftime("%Y/%m/%d", time.gmtime())
        stream = f"{day}/[{spec.version}]{spec.code.sha256[:32]}"
        lines = [LogLine(int(time.time() * 1000), line) for line in tail.splitlines()]
        group = spec.log_group or f"/aws/lambda/{spec.name}"
        self._logs.put_nowait(LogBatch(spec.arn, spec.account, spec.region, group, stream, lines))
        return Result(
            json.dumps(answer).encode(), error, tail.encode(), Report(1.0, 1, spec.memory_mb, 30, error or "success")
        )

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> Any:
        answer, error = await self._call(spec, invocation)
        return Stream(answer if isinstance(answer, list) else [json.dumps(answer)], error, spec)


class Stream:
    content_type = "application/octet-stream"

    def __init__(self, pieces: list[str], error: str, spec: FunctionSpec) -> None:
        self._pieces = [] if error else [piece.encode() for piece in pieces]
        self._end = Result(pieces[0].encode() if error else b"", error, b"", Report(1.0, 1, spec.memory_mb, 30))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def finish(self) -> Result:
        return self._end


if __name__ == "__main__":
    from unkai.app import processes
    from unkai.cli import main

    processes.NodeRunner = lambda options, start=None: FakeRunner()  # type: ignore[assignment,misc]
    sys.exit(main())
