"""What a caller of code sees: a function's description, an invocation, a result, and the `Runner` that joins them.

The Lambda service decides *what* to run (versions, aliases, roles, retries); this package decides *where* and runs it. Limits:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from unkai.kernel.functions import (
    CONCURRENCY_DEFAULT,
    CodeRef,
    Credentials,
    FunctionSpec,
    InvalidCode,
    Invocation,
    LogBatch,
    LogLine,
    Report,
    Result,
    RuntimeUnavailable,
    StreamedResult,
    TooManyRequests,
    UnknownRuntime,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CONCURRENCY_DEFAULT",
    "CodeRef",
    "Credentials",
    "FunctionSpec",
    "InvalidCode",
    "Invocation",
    "LogBatch",
    "LogLine",
    "LogSink",
    "Report",
    "Result",
    "Runner",
    "RuntimeUnavailable",
    "Stats",
    "StreamedResult",
    "TooManyRequests",
    "UnknownRuntime",
]

PAYLOAD_SIZE_BYTES_MAX = 6 * 1024 * 1024 + 100
RESPONSE_SIZE_BYTES_MAX = 6_291_556
"""The number AWS names in Function.ResponseSizeTooLarge."""
STREAM_SIZE_BYTES_MAX = 200 * 1024 * 1024
LOG_TAIL_BYTES = 4096
INIT_TIMEOUT_S = 10.0


class LogSink(Protocol):
    async def __call__(self, batch: LogBatch) -> None: ...


class Stats(msgspec.Struct, frozen=True):
    environments: int
    busy: int
    frozen: int
    level: str


class Runner(Protocol):
    """Runs functions. Shared by all of a process's requests."""

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        """Raises TooManyRequests, RuntimeUnavailable, InvalidCode or UnknownRuntime; a failing function is a Result."""
        ...

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> StreamedResult: ...

    async def prepare(self, spec: FunctionSpec) -> None:
        """Unpack code and start what is shared (fork servers) ahead of the first event. Raises as `invoke`."""
        ...

    async def drain(self, arn: str) -> None:
        """Let every environment of a function go: at once where idle, else after its event."""
        ...

    async def keep_code(self, keys: Sequence[tuple[CodeRef, ...]]) -> int:
        """Remove unpacked code that is neither in `keys` (one per package or layer list) nor in use. Gives the number removed."""
        ...

    async def stats(self) -> Stats: ...
