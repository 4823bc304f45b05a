"""A running runtime for the tests of a session, and short ways to make functions and invoke them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
import os
import socket
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from unkai.runtime import launch
from unkai.runtime.api import CodeRef, Credentials, FunctionSpec, Invocation, LogBatch, Result
from unkai.runtime.client import RuntimeClient
from unkai.runtime.sandbox import levels

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)
FOREVER_MS = 2**50


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the sandbox need what the `full` level needs."""
    level = levels.detect()
    if level.name != "full":
        skip = pytest.mark.skip(reason=f"the sandbox is not complete here: {'; '.join(level.reasons)}")
        for item in items:
            if "node" in getattr(item, "fixturenames", ()) or "fresh_node" in getattr(item, "fixturenames", ()):
                item.add_marker(skip)


def zip_bytes(files: dict[str, str | bytes], mode: int = 0o755) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """A runtime with a client, driven without async: each call runs the test's one event loop until it is done."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        base = replace(launch.default_settings(folder / "state", "full"), unkai_port=_free_port())
        self.process = launch.RuntimeProcess(replace(base, **settings))
        self.client = RuntimeClient(self.process.settings)
        self.batches: list[LogBatch] = []
        self._logs: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.run(self.process.start())
        self._logs = self.loop.create_task(self.client.follow_logs(self._take))

    async def _take(self, batch: LogBatch) -> None:
        self.batches.append(batch)

    def stop(self) -> None:
        if self._logs is not None:
            self._logs.cancel()
            self.run(asyncio.wait([self._logs]))
        self.run(self.client.close())
        self.run(self.process.stop())
        self.run(asyncio.sleep(0))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def code(self, files: dict[str, str | bytes], mode: int = 0o755) -> CodeRef:
        data = zip_bytes(files, mode)
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{digest}.zip"
        path.write_bytes(data)
        return CodeRef(str(path), digest)

    def function(self, source: str | dict[str, str | bytes], **more: Any) -> FunctionSpec:
        """A new function: Python source with a `handler`, or the files of a package."""
        files = {"app.py": source} if isinstance(source, str) else source
        name = f"f{next(_numbers)}"
        values: dict[str, Any] = {
            "arn": f"arn:aws:lambda:eu-west-1:123456789012:function:{name}",
            "revision": "1",
            "account": "123456789012",
            "region": "eu-west-1",
            "name": name,
            "version": "$LATEST",
            "runtime": "python3.12",
            "handler": "app.handler",
            "code": self.code(files),
            "credentials": Credentials("AKIDEXAMPLE", "not-a-real-secret", "token", FOREVER_MS),
            "timeout_s": 10,
        }
        return FunctionSpec(**{**values, **more})

    async def invoke_async(self, spec: FunctionSpec, event: Any = None, **more: Any) -> Result:
        return await self.client.invoke(spec, self.invocation(spec, event, **more))

    def invocation(self, spec: FunctionSpec, event: Any = None, **more: Any) -> Invocation:
        number = next(_numbers)
        return Invocation(f"00000000-0000-4000-8000-{number:012d}", json.dumps(event).encode(), spec.arn, **more)

    def invoke(self, spec: FunctionSpec, event: Any = None, **more: Any) -> Result:
        return self.run(self.invoke_async(spec, event, **more))

    def value(self, spec: FunctionSpec, event: Any = None, **more: Any) -> Any:
        """What the function returned; a failure is a failure of the test."""
        result = self.invoke(spec, event, **more)
        assert result.function_error == "", result.payload
        return json.loads(result.payload)

    def logged(self, spec: FunctionSpec, text: str) -> list[str]:
        """All lines of a function so far, once `text` is among them."""

        async def wait() -> list[str]:
            async with asyncio.timeout(10):
                while True:
                    lines = [
                        line.text for batch in self.batches if batch.function_arn == spec.arn for line in batch.lines
                    ]
                    if any(text in line for line in lines):
                        return lines
                    await asyncio.sleep(0.01)

        found: list[str] = self.run(wait())
        return found


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = Node(tmp_path_factory.mktemp("runtime"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def fresh_node(tmp_path: Path) -> Iterator[Node]:
    """One that the test may break."""
    running = Node(tmp_path)
    running.start()
    yield running
    running.stop()


def processes_of(uid_low: int, uid_high: int) -> list[int]:
    """Pids of processes that run under function uids."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                uid = os.stat(entry).st_uid
            except FileNotFoundError:
                continue
            if uid_low <= uid < uid_high:
                found.append(int(entry.name))
    return found
