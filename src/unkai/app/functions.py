"""Running functions: the process that does it, and the runner through which the node's other processes ask for it.

The runtime is a program of its own (`python -m unkai.app.functions`), so that none of the node's sockets, locks or secrets is in
the processes that start untrusted code. Where this machine cannot isolate functions it refuses to run them, and says why.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unkai.kernel.clock import monotonic_s
from unkai.kernel.functions import RuntimeUnavailable
from unkai.runtime import languages
from unkai.runtime.client import RuntimeClient
from unkai.runtime.launch import default_settings, run
from unkai.runtime.sandbox.levels import detect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from unkai.kernel.functions import FunctionSpec, Invocation, Result
    from unkai.kernel.ports import LogSink
    from unkai.runtime.client import Streamed
    from unkai.runtime.settings import Settings

T = TypeVar("T")

START_TIMEOUT_S = 10.0
LOOK_S = 0.02
LEVEL_UNKNOWN = "full"
"""Clients need only the paths in the settings; what this machine can do is found out by the runtime's own process."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Where the runtime keeps its files, the port its functions reach the node on, and whether it may run without a sandbox."""

    folder: Path
    port: int
    unsandboxed: bool = False

    @property
    def refusal(self) -> Path:
        """Holds the reason where this machine cannot isolate functions."""
        return self.folder / "refused"

    def command(self) -> list[str]:
        words = [sys.executable, "-m", "unkai.app.functions", str(self.folder), str(self.port)]
        return [*words, "unsandboxed" if self.unsandboxed else "sandboxed"]

    def settings(self, level: str = LEVEL_UNKNOWN) -> Settings:
        return replace(default_settings(self.folder, level), unkai_port=self.port)


class NodeRunner:
    """kernel.ports.Runner over the runtime's process, which may be starting, or starting again.

    `start` starts the process where nobody else does (a node in one process); it is called when an invocation finds none.
    """

    def __init__(self, options: RuntimeOptions, start: Callable[[], None] | None = None) -> None:
        self._options = options
        self._client = RuntimeClient(options.settings())
        self._start = start

    def runtimes(self) -> Sequence[str]:
        return tuple(languages.available())

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        return await self._patiently(lambda: self._client.invoke(spec, invocation))

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> Streamed:
        return await self._patiently(lambda: self._client.invoke_streaming(spec, invocation))

    async def drain(self, arn: str) -> None:
        try:
            await self._client.drain(arn)
        except RuntimeUnavailable:
            return  # no process, no environments

    async def follow_logs(self, sink: LogSink) -> None:
        await self._client.follow_logs(sink)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Wait for a runtime that is not there yet; never ask again where the function may have run."""
        until_s = monotonic_s() + START_TIMEOUT_S
        while True:
            try:
                return await ask()
            except RuntimeUnavailable as error:
                if self._options.refusal.exists():
                    raise RuntimeUnavailable(self._options.refusal.read_text()) from None
                if error.started or monotonic_s() > until_s:
                    raise
            if self._start is not None:
                self._start()
            await asyncio.sleep(LOOK_S)


class OwnedRuntime:
    """The runtime's process as a child of this one: started when first needed, again when it has ended, ended with it."""

    def __init__(self, options: RuntimeOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._options.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def become_runtime(options: RuntimeOptions) -> None:
    """Replace this process by the runtime's. Does not return."""
    os.execv(sys.executable, options.command())


def main(folder: str, port: str, sandbox: str) -> None:
    options = RuntimeOptions(Path(folder), int(port), sandbox == "unsandboxed")
    options.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    options.refusal.unlink(missing_ok=True)
    level = detect()
    if level.name == "none" and not options.unsandboxed:
        reasons = "; ".join(level.reasons)
        text = (
            f"This machine cannot isolate functions ({reasons}), so unkai does not run them. "
            "Start it with --unsandboxed-functions to run them without any isolation."
        )
        options.refusal.write_text(text)
        print(f"unkai: {text}", file=sys.stderr)
        asyncio.run(asyncio.Event().wait())  # stay, so that nobody starts this again and again
    settings_path = options.folder / "settings.json"
    settings = options.settings(level.name)
    settings.write(settings_path)
    for stale in (settings.socket_path, settings.code_socket_path):
        stale.unlink(missing_ok=True)
    run(settings_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
