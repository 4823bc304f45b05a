"""The Lambda Runtime API, as a state machine for one environment: what the runtime process asks, and what it is told.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Hostile input: the process on the other side runs anybody's code.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from unkai.runtime import telemetry
from unkai.runtime.api import RESPONSE_SIZE_BYTES_MAX, STREAM_SIZE_BYTES_MAX, Invocation
from unkai.runtime.extensions import PREFIX as EXTENSION_PREFIX
from unkai.runtime.extensions import Extensions, error
from unkai.runtime.loglines import response_too_large

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from unkai.runtime.httpd import Body, Request
    from unkai.runtime.telemetry import Telemetry

PREFIX = "/2018-06-01/runtime/"
_ACCEPTED = b'{"status":"OK"}\n'
_SMALL_BODY_MAX = 256 * 1024
_ERROR_TYPE_MAX = 256


class StreamTarget(Protocol):
    """Where a streamed response goes: towards the client."""

    def begin(self, content_type: str) -> None: ...

    def write(self, data: bytes, source: asyncio.Transport) -> None:
        """May pause `source` until the client has taken what is under way."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """How an init or an event ended badly: AWS's error type, and the document that the caller gets."""

    kind: str
    payload: bytes
    fatal: bool = True
    """The environment is of no more use."""
    timeout: bool = False


@dataclass(slots=True)
class Work:
    """One event under way. `done` gets None or a Failure once the runtime and all extensions are through with it."""

    invocation: Invocation
    deadline_ms: int
    target: StreamTarget | None
    done: asyncio.Future[Failure | None]
    started_ns: int = 0
    delivered: bool = False
    answered: bool = False
    payload: bytes = b""
    content_type: str = "application/json"
    failure: Failure | None = None
    produced_bytes: int = 0

    def finish(self, failure: Failure | None) -> None:
        if not self.done.done():
            self.done.set_result(failure)


@dataclass(slots=True)
class RuntimeSide:
    """`ready` gets None when the runtime asks for its first event, or the failure that its init ended with."""

    extensions: Extensions
    telemetry: Telemetry
    on_subscription: Callable[[dict[str, object]], None]
    on_answer: Callable[[], None]
    ready: asyncio.Future[Failure | None]
    waiting: Request | None = None
    work: Work | None = None
    _body: _StreamedBody | None = field(default=None)

    # --- from the keeper

    def begin(self, work: Work) -> None:
        assert self.work is None
        self.work = work
        self._deliver()

    def check_done(self) -> None:
        """The event is over when the runtime and every extension have asked for the next one."""
        work = self.work
        if work is not None and work.answered and self.waiting is not None and self.extensions.all_ready:
            work.finish(work.failure)

    def _deliver(self) -> None:
        work, request = self.work, self.waiting
        if work is None or work.delivered or request is None:
            return
        invocation = work.invocation
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(work.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", invocation.invoked_arn),
        ]
        for name, value in (
            ("Lambda-Runtime-Trace-Id", invocation.trace_header),
            ("Lambda-Runtime-Client-Context", _ascii_json(invocation.client_context)),
            ("Lambda-Runtime-Cognito-Identity", _ascii_json(invocation.cognito_identity)),
        ):
            if value and "\r" not in value and "\n" not in value:
                headers.append((name, value))
        work.delivered = True
        self.waiting = None
        request.respond(200, invocation.payload, tuple(headers))

    # --- from the function

    def body_limit(self, path: str) -> int:
        return RESPONSE_SIZE_BYTES_MAX if path.endswith("/response") else _SMALL_BODY_MAX

    def open_body(self, request: Request) -> Body | None:
        """A streamed response, where it is one and the caller wants it so; else the body is collected."""
        mode = request.headers.get("lambda-runtime-function-response-mode", "").lower()
        if mode != "streaming" or request.method != "POST" or not request.path.endswith("/response"):
            return None
        work = self._work_of(request)
        if work is None:
            return _Ignored(request)
        body = _StreamedBody(self, work, request)
        self._body = body
        return body

    def handle(self, request: Request) -> None:
        path = request.path
        if path.startswith(EXTENSION_PREFIX):
            self.extensions.route(request)
        elif path in telemetry.PATHS:
            self._subscribe(request)
        elif request.method == "GET" and path == PREFIX + "invocation/next":
            self._next(request)
        elif request.method == "POST" and path == PREFIX + "init/error":
            self._init_error(request)
        elif (
            request.method == "POST"
            and path.startswith(PREFIX + "invocation/")
            and path.endswith(("/response", "/error"))
        ):
            self._answer(request)
        else:
            request.respond(404, error("NotFound", "no such path"), ())

    def _subscribe(self, request: Request) -> None:
        extension = self.extensions.find(request) if request.method == "PUT" else None
        if extension is not None:
            record = self.telemetry.subscribe(request, extension)
            if record is not None:
                self.on_subscription(record)

    def _next(self, request: Request) -> None:
        if self.work is not None and self.work.delivered and not self.work.answered:
            request.respond(403, error("InvalidStateTransition", "the event under way has no response yet"), ())
            return
        self.waiting = request
        if not self.ready.done():
            self.ready.set_result(None)
        self._deliver()
        self.check_done()

    def _init_error(self, request: Request) -> None:
        kind = _error_type(request, "Runtime.Unknown")
        request.respond(202, _ACCEPTED, ())
        if not self.ready.done():
            self.ready.set_result(Failure(kind, request.body or error(kind, "")))

    def _work_of(self, request: Request) -> Work | None:
        """The event that a path names, if it is the one under way and still without an answer."""
        request_id = request.path.removeprefix(PREFIX + "invocation/").rpartition("/")[0]
        work = self.work
        if work is None or not work.delivered or work.answered or work.invocation.request_id != request_id:
            return None
        return work

    def _answer(self, request: Request) -> None:
        work = self._work_of(request)
        if work is None:
            request.respond(400, error("InvalidRequestID", "Invalid request ID"), ())
            return
        work.answered = True
        work.content_type = request.headers.get("content-type", "application/octet-stream")
        self.on_answer()
        if request.path.endswith("/error"):
            kind = _error_type(request, "Unhandled")
            work.failure = Failure(kind, request.body or error(kind, ""), fatal=False)
            request.respond(202, _ACCEPTED, ())
        elif request.too_large:
            work.failure = Failure("Function.ResponseSizeTooLarge", response_too_large(), fatal=False)
            request.respond(413, error("RequestEntityTooLarge", "Exceeded maximum allowed payload size"), ())
        else:
            work.payload, work.produced_bytes = request.body, len(request.body)
            request.respond(202, _ACCEPTED, ())
        self.check_done()


def _ascii_json(text: str) -> str:
    """JSON for a header: what is not ASCII can only stand inside strings, where an escape means the same."""
    return text if text.isascii() else "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)


def _error_type(request: Request, default: str) -> str:
    """The header's error type; AWS falls back to the document's."""
    kind = request.headers.get("lambda-runtime-function-error-type", "")
    if not kind:
        try:
            kind = str(json.loads(request.body).get("errorType") or default)
        except (ValueError, AttributeError):
            kind = default
    return kind[:_ERROR_TYPE_MAX]


@dataclass(slots=True)
class _StreamedBody:
    """A response that arrives in pieces. Trailers may turn it into an error at its very end."""

    side: RuntimeSide
    work: Work
    request: Request
    parts: list[bytes] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.work.content_type = self.request.headers.get("content-type", "application/octet-stream")
        if self.work.target is not None:
            self.work.target.begin(self.work.content_type)

    def feed(self, data: bytes) -> None:
        limit = STREAM_SIZE_BYTES_MAX if self.work.target is not None else RESPONSE_SIZE_BYTES_MAX
        self.work.produced_bytes += len(data)
        if self.work.produced_bytes > limit:
            self.over = True
        elif self.work.target is not None:
            self.work.target.write(data, self.request.transport)
        else:
            self.parts.append(data)

    def end(self, trailers: Mapping[str, str]) -> None:
        work = self.work
        work.answered = True
        self.side.on_answer()
        kind = trailers.get("lambda-runtime-function-error-type", "")[:_ERROR_TYPE_MAX]
        if kind:
            try:
                payload = base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""), validate=True)
            except (binascii.Error, ValueError):
                payload = b""
            work.failure = Failure(kind, payload or error(kind, ""), fatal=False)
        elif self.over:
            work.failure = Failure("Function.ResponseSizeTooLarge", response_too_large(), fatal=False)
        else:
            work.payload = b"".join(self.parts)
        self.request.respond(413 if self.over else 202, _ACCEPTED, ())
        self.side.check_done()

    def cut(self) -> None:
        """The runtime broke off; the end of its process, or the timeout, decides what the caller hears."""
        self.work.failure = Failure(
            "Runtime.TruncatedResponse", error("Runtime.TruncatedResponse", "the response broke off"), fatal=False
        )
        self.work.answered = True
        self.side.check_done()


@dataclass(slots=True)
class _Ignored:
    request: Request

    def feed(self, data: bytes) -> None:
        pass

    def end(self, trailers: Mapping[str, str]) -> None:
        self.request.respond(400, error("InvalidRequestID", "Invalid request ID"), ())

    def cut(self) -> None:
        pass
