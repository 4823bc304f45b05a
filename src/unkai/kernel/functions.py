"""Functions as values: what is to run, an event for it, and what came of it.

The Lambda service decides what to run; `runtime` runs it.

Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONCURRENCY_DEFAULT = 1000


class CodeRef(msgspec.Struct, frozen=True):
    """A zip archive: where it lies for the caller of `invoke` (not for the runtime), and its SHA-256 in hex."""

    path: str
    sha256: str


class Credentials(msgspec.Struct, frozen=True):
    """The execution role's session. Environments do not outlive it."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_ms: int

    def __repr__(self) -> str:
        """Without what must not be logged."""
        return f"Credentials({self.access_key_id})"


class FunctionSpec(msgspec.Struct, frozen=True):
    """One version of a function, as it is to run.

    `arn` is the unqualified function ARN: reserved concurrency counts over all its versions. `revision` changes with code or
    configuration: environments of an older one finish their event and go. `unreserved_concurrency` is what is left of
    the account's limit after all reservations.
    """

    arn: str
    revision: str
    account: str
    region: str
    name: str
    version: str
    runtime: str
    handler: str
    code: CodeRef
    credentials: Credentials
    memory_mb: int = 128
    timeout_s: int = 3
    storage_mb: int = 512
    layers: tuple[CodeRef, ...] = ()
    environment: dict[str, str] = {}
    reserved_concurrency: int | None = None
    unreserved_concurrency: int = CONCURRENCY_DEFAULT
    network: Literal["full", "none"] = "full"
    log_group: str = ""
    log_format: Literal["Text", "JSON"] = "Text"
    application_log_level: str = ""
    tracing: Literal["PassThrough", "Active"] = "PassThrough"

    def __repr__(self) -> str:
        """Environment variables may hold secrets."""
        return f"FunctionSpec({self.arn}:{self.version}, revision {self.revision})"


class Invocation(msgspec.Struct, frozen=True):
    """One event. `streaming`: the caller wants the response as it is made."""

    request_id: str
    payload: bytes
    invoked_arn: str
    trace_header: str = ""
    client_context: str = ""
    cognito_identity: str = ""
    streaming: bool = False


class Report(msgspec.Struct, frozen=True):
    """What the REPORT line says, as numbers. `status`: success, error or timeout."""

    duration_ms: float
    billed_duration_ms: int
    memory_mb: int
    memory_used_mb: int
    status: str = "success"
    error_type: str = ""
    init_duration_ms: float | None = None
    log_stream: str = ""


class Result(msgspec.Struct, frozen=True):
    """`function_error` is what X-Amz-Function-Error says: empty or Unhandled. `content_type` is the response's own."""

    payload: bytes
    function_error: str
    log_tail: bytes
    report: Report
    content_type: str = "application/json"


class StreamedResult(Protocol):
    """A response being made. Iterate first, then `finish`."""

    content_type: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def finish(self) -> Result:
        """What is known at the end. `payload` holds the error document where `function_error` is set, else nothing."""
        ...


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    time_ms: int
    text: str


class LogBatch(msgspec.Struct, frozen=True):
    """Lines of one environment in order: the function's output and the platform's own (INIT_START, START, END, REPORT)."""

    function_arn: str
    account: str
    region: str
    log_group: str
    log_stream: str
    lines: list[LogLine]


class TooManyRequests(Exception):
    """A concurrency limit is reached. `reason` as in Lambda's TooManyRequestsException."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RuntimeUnavailable(Exception):
    """The runtime went away or cannot start environments now. `started`: the function may have run. Retryable."""

    def __init__(self, message: str, *, started: bool = False) -> None:
        super().__init__(message)
        self.started = started


class InvalidCode(Exception):
    """The archive cannot be used: its text says why, for the function's owner."""


class UnknownRuntime(Exception):
    """No interpreter for the function's runtime on this machine; the text names what to install."""
