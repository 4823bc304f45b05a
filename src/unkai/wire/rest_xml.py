"""REST-XML: HTTP bindings, bodies in XML; S3's error document, and that of the others.

https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpResponse
from unkai.model.shapes import Member, Shape
from unkai.wire.bindings import BadBinding, input_body_members, output_body_members, payload_member, response_parts
from unkai.wire.compile import compiled
from unkai.wire.eventstream import compile_events
from unkai.wire.faults import Fault, extended_request_id, fault_of
from unkai.wire.formats import xml
from unkai.wire.formats.form import BadForm
from unkai.wire.protocol import Codec
from unkai.wire.query import error_envelope
from unkai.wire.refusals import invalid_argument, invalid_uri, malformed_xml, unknown_operation
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
from unkai.wire.routing import has_path, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel

CONTENT_TYPE = "application/xml"
_NOT_MODIFIED = 304


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    operation = route(model, request)
    if operation is None:
        if has_path(model, request):
            message = "The specified method is not allowed against this resource."
            raise AwsError("MethodNotAllowed", message, members={"Method": request.method}, status=405)
        raise unknown_operation()
    return operation


def decode(operation: Operation, request: HttpRequest, body: Any) -> dict[str, Any]:
    try:
        return read_input(compiled(operation, "rest-xml.in", _input), request, body, malformed_xml)
    except BadBinding as error:
        raise invalid_argument(f"Provided {error.name} not of its type: {error.value[:128]}") from None
    except BadForm:
        raise invalid_uri() from None


def encode(operation: Operation, out: dict[str, Any], request_id: str) -> HttpResponse:
    return write_output(
        compiled(operation, "rest-xml.out", _output), operation, out, request_ids(operation.service, request_id)
    )


def encode_error(
    model: ServiceModel | None, operation: Operation | None, error: AwsError, request_id: str
) -> HttpResponse:
    fault = fault_of(model, error)
    headers = request_ids(model, request_id)
    if fault.shape is not None:
        response_parts(fault.shape).headers(fault.members, headers)
    headers.extend(error.headers.items())
    if fault.status == _NOT_MODIFIED or (operation is not None and operation.method == "HEAD"):
        return HttpResponse(fault.status, headers)
    headers.append(("Content-Type", CONTENT_TYPE))
    text = _s3_error(fault, error, request_id) if is_s3(model) else error_envelope(model, fault, request_id)
    return HttpResponse(fault.status, headers, text.encode())


def is_s3(model: ServiceModel | None) -> bool:
    return model is not None and bool(model.metadata.get("s3Errors"))


def request_ids(model: ServiceModel | None, request_id: str) -> list[tuple[str, str]]:
    if is_s3(model):
        return [("x-amz-request-id", request_id), ("x-amz-id-2", extended_request_id(request_id))]
    return [("x-amzn-RequestId", request_id)]


def _s3_error(fault: Fault, error: AwsError, request_id: str) -> str:
    """S3 sends no namespace, and members that no model lists (BucketName, Key, ArgumentName): all that the error carries."""
    parts = [
        f"{xml.DECLARATION}<Error><Code>{xml.escape(fault.query_code)}</Code><Message>{xml.escape(fault.message)}</Message>"
    ]
    for name, value in error.members.items():
        parts.append(f"<{name}>{xml.escape(str(value))}</{name}>")
    host = extended_request_id(request_id)
    parts.append(f"<RequestId>{request_id}</RequestId><HostId>{host}</HostId></Error>")
    return "".join(parts)


def _input(operation: Operation) -> Input:
    return compile_input(operation, _body_reader)


def _body_reader(operation: Operation) -> BodyReader | None:
    payload = payload_member(operation.input)
    members = input_body_members(operation.input)
    if not members:
        return None
    read = xml.node_reader(payload, {}) if payload is not None else xml.structure_reader(members, {})

    def read_body(body: bytes) -> dict[str, Any]:
        try:
            value = read(xml.parse(body))
        except (ValueError, OverflowError, RecursionError):
            raise malformed_xml() from None
        return {payload.name: value} if payload is not None else dict(value)

    return read_body


def _output(operation: Operation) -> Output:
    style = style_of(operation.service)
    return compile_output(
        operation,
        _body_writer,
        lambda stream: compile_events(
            stream, lambda members, shape: _document_writer(members, shape.name, "", style), "text/xml"
        ),
        CONTENT_TYPE,
    )


def style_of(model: ServiceModel) -> xml.Style:
    return xml.Style(milliseconds=is_s3(model))


def _body_writer(operation: Operation) -> BodyWriter | None:
    output = operation.output
    members = output_body_members(output)
    if output is None or not members:
        return None
    style, uri = style_of(operation.service), str(operation.service.metadata.get("xmlNamespace", ""))
    payload = payload_member(output)
    if payload is not None:
        write = _element_document(payload, _root_of_payload(payload), uri, style)
        return lambda out: write(out[payload.name]) if out.get(payload.name) is not None else b""
    if operation.traits.get("unwrappedXml"):
        # GetBucketLocation: the only member is the root itself, also where it is empty.
        write = _element_document(members[0], members[0].wire_name, uri, style)
        return lambda out: write(out.get(members[0].name) or "")
    write_all, names = (
        _document_writer(members, _root_of_output(output), uri, style),
        {member.name for member in members},
    )
    return lambda out: write_all({name: value for name, value in out.items() if name in names})


def _root_of_payload(payload: Member) -> str:
    return str(payload.traits.get("locationName") or payload.shape.name)


def _root_of_output(output: Shape) -> str:
    return str(output.traits.get("locationName") or output.name)


def _element_document(member: Member, name: str, uri: str, style: xml.Style) -> Callable[[Any], bytes]:
    traits = {**member.traits, "xmlNamespace": {"uri": uri}} if uri else member.traits
    write = xml.element_writer(Member(member.name, member.shape, wire_name=name, traits=traits), name, style, {})
    return lambda value: _document(write, value)


def _document_writer(members: list[Member], name: str, uri: str, style: xml.Style) -> Callable[[Any], bytes]:
    """A document whose root holds `members`, which need not be all that their shape has."""
    shape = Shape(name, "structure", {member.name: member for member in members})
    return _element_document(Member(name, shape), name, uri, style)


def _document(write: xml.ElementWriter, value: Any) -> bytes:
    out = [xml.DECLARATION]
    write(out, value)
    return "".join(out).encode()


CODEC = Codec("rest-xml", operation_of, decode, encode, encode_error)
