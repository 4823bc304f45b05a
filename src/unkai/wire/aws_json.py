"""AWS JSON 1.0 and 1.1: the operation in X-Amz-Target, one JSON structure each way.

https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html, and for services that once spoke query (SQS):
https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.http import HttpResponse
from unkai.wire.compile import compiled
from unkai.wire.eventstream import CONTENT_TYPE as EVENT_STREAM
from unkai.wire.eventstream import Events, compile_events, event_stream_member, framed
from unkai.wire.faults import Fault, fault_of
from unkai.wire.formats import json
from unkai.wire.protocol import Codec
from unkai.wire.refusals import unknown_operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel, Shape


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    _, _, name = request.headers.get("x-amz-target", "").rpartition(".")
    operation = model.operations.get(name)
    if operation is None:
        raise unknown_operation()
    return operation


def decode(operation: Operation, request: HttpRequest, body: Any) -> dict[str, Any]:
    assert isinstance(body, bytes), "no AWS JSON operation has a streaming input"
    read: Callable[[bytes], dict[str, Any]] = compiled(operation, "json.in", _reader)
    return read(body)


def encode(operation: Operation, out: dict[str, Any], request_id: str) -> HttpResponse:
    write, version, events = compiled(operation, "json.out", _writer)
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", version)]
    if events is not None:
        headers[1] = ("Content-Type", EVENT_STREAM)
        rest = {name: value for name, value in out.items() if name != events.name}
        return HttpResponse(operation.status, headers, framed(events, out[events.name], write(rest)))
    return HttpResponse(operation.status, headers, write(out))


def encode_error(
    model: ServiceModel | None, operation: Operation | None, error: AwsError, request_id: str
) -> HttpResponse:
    fault = fault_of(model, error)
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", _content_type(model))]
    if model is not None and "awsQueryCompatible" in model.metadata:
        headers.append(("x-amzn-query-error", f"{fault.query_code};{'Sender' if fault.sender else 'Receiver'}"))
    headers.extend(error.headers.items())
    namespace = str(model.metadata.get("errorNamespace", "")) if model is not None and fault.shape is not None else ""
    return HttpResponse(fault.status, headers, json.emit({"__type": namespace + fault.code, **json_error(fault)}))


def json_error(fault: Fault) -> dict[str, Any]:
    """An error's members as JSON, the message spelled as the model spells it."""
    if fault.shape is None:
        return {"message": fault.message, **fault.members}
    members = json.tree_writer(_in_body(fault.shape))(fault.members)
    if not any(name in fault.members for name in ("message", "Message")):
        members["message"] = fault.message
    return dict(members)


def _in_body(shape: Shape) -> list[Any]:
    return [member for member in shape.members.values() if not member.location]


def _reader(operation: Operation) -> Callable[[bytes], dict[str, Any]]:
    return json.body_reader(list(operation.input.members.values()) if operation.input else [])


def _writer(operation: Operation) -> tuple[Callable[[Any], bytes], str, Events | None]:
    stream = event_stream_member(operation.output)
    members = (
        [member for member in operation.output.members.values() if member is not stream] if operation.output else []
    )
    content_type = _content_type(operation.service)
    events = compile_events(stream, lambda parts, _: json.body_writer(parts), content_type) if stream else None
    return json.body_writer(members), content_type, events


def _content_type(model: ServiceModel | None) -> str:
    return f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.0') if model is not None else '1.0'}"


CODEC = Codec("json", operation_of, decode, encode, encode_error)
