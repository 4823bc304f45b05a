"""The runner that a node's processes share. A build without a function runtime says so; it never pretends to run anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unkai.kernel.functions import RuntimeUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.app.datadir import DataDir
    from unkai.kernel.functions import FunctionSpec, Invocation, Result, StreamedResult
    from unkai.kernel.ports import LogSink, Runner


class NoRunner:
    """kernel.ports.Runner of a node that cannot run functions."""

    def runtimes(self) -> Sequence[str]:
        return ()

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        raise RuntimeUnavailable("This node has no function runtime.")

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> StreamedResult:
        raise RuntimeUnavailable("This node has no function runtime.")

    async def drain(self, arn: str) -> None:
        pass

    async def follow_logs(self, sink: LogSink) -> None:
        await asyncio.Event().wait()


def make_runner(directory: DataDir) -> Runner:
    return NoRunner()
