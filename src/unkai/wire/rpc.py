"""What the RPC protocols share (AWS JSON, Smithy RPC v2, the older CBOR): one structure each way, whatever its format.

Services that once spoke query name the old error code in a header:
https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.http import HttpResponse
from unkai.wire.compile import Closure, compiled
from unkai.wire.eventstream import CONTENT_TYPE as EVENT_STREAM
from unkai.wire.eventstream import Events, compile_events, event_stream_member, framed
from unkai.wire.faults import Fault, fault_of
from unkai.wire.protocol import Codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Member, Operation, ServiceModel


@dataclass(frozen=True, slots=True)
class Format:
    """How structures become bytes. `tree_writer` stops short of the bytes; `emit` goes the rest of the way."""

    body_reader: Callable[[list[Member]], Closure]
    body_writer: Callable[[list[Member]], Closure]
    tree_writer: Callable[[list[Member]], Closure]
    emit: Callable[[Any], bytes]
    content_type: Callable[[ServiceModel | None], str]
    headers: tuple[tuple[str, str], ...] = ()


def rpc_codec(
    protocol: str, operation_of: Callable[[ServiceModel, HttpRequest, bytes], Operation], form: Format
) -> Codec:
    reading, writing = f"{protocol}.in", f"{protocol}.out"

    def decode(operation: Operation, request: HttpRequest, body: Any) -> dict[str, Any]:
        assert isinstance(body, bytes), "no RPC operation has a streaming input"
        read: Closure = compiled(operation, reading, read_all)
        out: dict[str, Any] = read(body)
        return out

    def encode(operation: Operation, out: dict[str, Any], request_id: str) -> HttpResponse:
        write, content_type, events = compiled(operation, writing, write_all)
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", content_type), *form.headers]
        if events is None:
            return HttpResponse(operation.status, headers, write(out))
        headers[1] = ("Content-Type", EVENT_STREAM)
        rest = {name: value for name, value in out.items() if name != events.name}
        return HttpResponse(operation.status, headers, framed(events, out[events.name], write(rest)))

    def encode_error(
        model: ServiceModel | None, operation: Operation | None, error: AwsError, request_id: str
    ) -> HttpResponse:
        fault = fault_of(model, error)
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", form.content_type(model)), *form.headers]
        if model is not None and "awsQueryCompatible" in model.metadata:
            headers.append(("x-amzn-query-error", f"{fault.query_code};{'Sender' if fault.sender else 'Receiver'}"))
        headers.extend(error.headers.items())
        body = form.emit({"__type": error_type(model, fault), **error_members(fault, form.tree_writer)})
        return HttpResponse(fault.status, headers, body)

    def read_all(operation: Operation) -> Closure:
        return form.body_reader(list(operation.input.members.values()) if operation.input else [])

    def write_all(operation: Operation) -> tuple[Closure, str, Events | None]:
        stream = event_stream_member(operation.output)
        members = list(operation.output.members.values()) if operation.output else []
        content_type = form.content_type(operation.service)
        events = compile_events(stream, lambda parts, _: form.body_writer(parts), content_type) if stream else None
        return form.body_writer([member for member in members if member is not stream]), content_type, events

    return Codec(protocol, operation_of, decode, encode, encode_error)


def error_type(model: ServiceModel | None, fault: Fault) -> str:
    """The error's name, with the namespace that some services' clients look for."""
    namespace = model.metadata.get("errorNamespace", "") if model is not None and fault.shape is not None else ""
    return f"{namespace}{fault.code}"


def error_members(fault: Fault, tree_writer: Callable[[list[Member]], Closure]) -> dict[str, Any]:
    """An error's members, the message spelled as the model spells it."""
    if fault.shape is None:
        return {"message": fault.message, **fault.members}
    in_body = [member for member in fault.shape.members.values() if not member.location]
    names = {member.name for member in in_body}
    members: dict[str, Any] = tree_writer(in_body)({n: value for n, value in fault.members.items() if n in names})
    if "message" not in members and "Message" not in members:
        members["message"] = fault.message
    return members
