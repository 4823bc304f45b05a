"""REST-JSON: HTTP bindings, bodies in JSON. https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.http import HttpResponse
from unkai.wire.bindings import BadBinding, input_body_members, output_body_members, payload_member, response_parts
from unkai.wire.compile import compiled
from unkai.wire.eventstream import compile_events
from unkai.wire.faults import fault_of
from unkai.wire.formats import json
from unkai.wire.formats.form import BadForm
from unkai.wire.protocol import Codec
from unkai.wire.refusals import serialization_error, unknown_operation
from unkai.wire.rest import (
    BodyReader,
    BodyWriter,
    Input,
    Output,
    compile_input,
    compile_output,
    read_input,
    write_output,
)
from unkai.wire.routing import route
from unkai.wire.rpc import error_members

if TYPE_CHECKING:
    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel

CONTENT_TYPE = "application/json"


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    operation = route(model, request)
    if operation is None:
        raise unknown_operation()
    return operation


def decode(operation: Operation, request: HttpRequest, body: Any) -> dict[str, Any]:
    try:
        return read_input(compiled(operation, "rest-json.in", _input), request, body, _not_text)
    except BadBinding as error:
        raise serialization_error(
            f"Value '{error.value[:128]}' at '{error.name}' is not of the member's type."
        ) from None
    except BadForm:
        raise serialization_error("The query string could not be read.") from None


def _not_text() -> AwsError:
    return serialization_error("The request body is not UTF-8.")


def encode(operation: Operation, out: dict[str, Any], request_id: str) -> HttpResponse:
    headers = [("x-amzn-RequestId", request_id)]
    return write_output(compiled(operation, "rest-json.out", _output), operation, out, headers)


def encode_error(
    model: ServiceModel | None, operation: Operation | None, error: AwsError, request_id: str
) -> HttpResponse:
    fault = fault_of(model, error)
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", CONTENT_TYPE), ("x-amzn-ErrorType", fault.code)]
    if fault.shape is not None:
        response_parts(fault.shape).headers(fault.members, headers)
    headers.extend(error.headers.items())
    return HttpResponse(fault.status, headers, json.emit(error_members(fault, json.tree_writer)))


def _input(operation: Operation) -> Input:
    return compile_input(operation, _body_reader)


def _body_reader(operation: Operation) -> BodyReader | None:
    payload = payload_member(operation.input)
    if payload is None:
        members = input_body_members(operation.input)
        return json.body_reader(members) if members else None
    read = json.value_reader(payload)
    return lambda body: {payload.name: read(body)}


def _output(operation: Operation) -> Output:
    return compile_output(
        operation,
        _body_writer,
        lambda stream: compile_events(stream, lambda members, _: json.body_writer(members), CONTENT_TYPE),
        CONTENT_TYPE,
    )


def _body_writer(operation: Operation) -> BodyWriter | None:
    payload = payload_member(operation.output)
    if payload is None:
        members = output_body_members(operation.output)
        if not members:
            return None
        write, names = json.body_writer(members), {member.name for member in members}
        if operation.output is not None and len(names) == len(operation.output.members):
            return write
        return lambda out: write({name: value for name, value in out.items() if name in names})
    write_value = json.value_writer(payload)
    return lambda out: write_value(out[payload.name]) if out.get(payload.name) is not None else b""


CODEC = Codec("rest-json", operation_of, decode, encode, encode_error)
