"""What REST-JSON and REST-XML share: the parts outside the body, and bodies that are a payload's bytes.

https://smithy.io/2.0/spec/http-bindings.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.http import HttpResponse
from unkai.wire.bindings import ResponseParts, is_raw, payload_member, request_reader, response_parts
from unkai.wire.eventstream import CONTENT_TYPE as EVENT_STREAM
from unkai.wire.eventstream import Events, event_stream_member, framed

if TYPE_CHECKING:
    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Member, Operation

BodyReader = Callable[[bytes], dict[str, Any]]
BodyWriter = Callable[[dict[str, Any]], bytes]

OK = 200
NO_CONTENT = 204
PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class Input:
    """A compiled input: `parts` reads what is outside the body, `raw` names a payload of bytes, `body` reads the rest."""

    parts: Callable[[HttpRequest, dict[str, Any]], None]
    raw: Member | None
    body: BodyReader | None


@dataclass(frozen=True, slots=True)
class Output:
    """A compiled output, likewise. `content_type` is that of a body that the protocol writes."""

    parts: ResponseParts
    raw: Member | None
    body: BodyWriter | None
    events: Events | None
    content_type: str
    names: frozenset[str]


def compile_input(operation: Operation, body: Callable[[Operation], BodyReader | None]) -> Input:
    payload = payload_member(operation.input)
    raw = payload if payload is not None and is_raw(payload) else None
    return Input(request_reader(operation), raw, None if raw else body(operation))


def compile_output(
    operation: Operation,
    body: Callable[[Operation], BodyWriter | None],
    events: Callable[[Member], Events],
    content_type: str,
) -> Output:
    payload = payload_member(operation.output)
    raw = payload if payload is not None and is_raw(payload) else None
    stream = event_stream_member(operation.output)
    return Output(
        response_parts(operation.output),
        raw,
        None if raw or stream else body(operation),
        events(stream) if stream else None,
        content_type,
        frozenset(operation.output.members) if operation.output else frozenset(),
    )


def read_input(compiled: Input, request: HttpRequest, body: Any, refuse_text: Callable[[], AwsError]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    compiled.parts(request, out)
    raw = compiled.raw
    if raw is not None:
        if raw.shape.type == "string" and isinstance(body, bytes):
            if body:
                try:
                    out[raw.name] = body.decode("utf-8")
                except UnicodeDecodeError:
                    raise refuse_text() from None
        elif body or raw.traits.get("streaming"):
            # An empty object is an object; an empty payload of another kind is none.
            out[raw.name] = body
    elif compiled.body is not None and body:
        assert isinstance(body, bytes), "only a streaming payload arrives as a stream"
        out.update(compiled.body(body))
    return out


def write_output(
    compiled: Output, operation: Operation, out: dict[str, Any], headers: list[tuple[str, str]]
) -> HttpResponse:
    assert compiled.names.issuperset(out), f"unknown members among {sorted(out)}"
    parts = compiled.parts
    parts.headers(out, headers)
    status = out.get(parts.status, operation.status) if parts.status else operation.status
    if status == OK and "ContentRange" in out:
        # A part of what was asked for says so. https://www.rfc-editor.org/rfc/rfc9110#name-206-partial-content
        status = PARTIAL_CONTENT
    length = out.get(parts.length) if parts.length else None
    body: Any = b""
    content_type = ""
    if compiled.raw is not None:
        body = out.get(compiled.raw.name, b"")
        if isinstance(body, str):
            body = body.encode()
        content_type = "application/octet-stream" if compiled.raw.shape.type == "blob" else compiled.content_type
    elif compiled.events is not None:
        body = framed(compiled.events, out[compiled.events.name])
        content_type = EVENT_STREAM
    elif compiled.body is not None and status != NO_CONTENT:
        body = compiled.body(out)
        content_type = compiled.content_type
    if body and content_type and out.get(parts.content_type) is None:
        headers.append(("Content-Type", content_type))
    return HttpResponse(status, headers, body, length)
