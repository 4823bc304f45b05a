"""The query protocol: Action and parameters as a form, answers in XML.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from unkai.kernel.http import HttpResponse
from unkai.wire.bindings import query_pairs
from unkai.wire.compile import compiled
from unkai.wire.faults import fault_of
from unkai.wire.formats import form, xml
from unkai.wire.protocol import Codec
from unkai.wire.refusals import invalid_action, malformed_input, missing_action

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel

CONTENT_TYPE = "text/xml"

_ACTION = re.compile(r"(?:^|&)Action=([A-Za-z0-9]{1,128})(?=&|$)")
_ACTION_BYTES = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]{1,128})(?=&|$)")


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    # Found without taking the form apart: that is done once, in decode.
    in_body = _ACTION_BYTES.search(body) if request.method != "GET" else None
    in_query = _ACTION.search(request.query) if in_body is None else None
    action = in_body.group(1).decode("ascii") if in_body else in_query.group(1) if in_query else ""
    if not action:
        raise missing_action()
    operation = model.operations.get(action)
    if operation is None:
        raise invalid_action(action, str(model.metadata.get("apiVersion", "")))
    return operation


def decode(operation: Operation, request: HttpRequest, body: Any) -> dict[str, Any]:
    assert isinstance(body, bytes), "no query operation has a streaming input"
    read: Callable[[Any], dict[str, Any]] = compiled(operation, "query.in", _reader)
    try:
        parameters = query_pairs(request) if request.query else []
        if body and request.method != "GET":
            parameters += form.pairs(body.decode("utf-8"))
        return read(form.tree(parameters))
    except (ValueError, RecursionError) as error:
        # Which value it was is not said: AWS does not either.
        raise malformed_input(f"The request could not be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a parameter is not of its type"


def encode(operation: Operation, out: dict[str, Any], request_id: str) -> HttpResponse:
    start, write, end = compiled(operation, "query.out", _writer)
    parts = [start]
    if write is not None:
        write(parts, out)
    parts.append(
        f"{end}<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation.name}Response>\n"
    )
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", CONTENT_TYPE)]
    return HttpResponse(operation.status, headers, "".join(parts).encode())


def encode_error(
    model: ServiceModel | None, operation: Operation | None, error: AwsError, request_id: str
) -> HttpResponse:
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", CONTENT_TYPE), *error.headers.items()]
    fault = fault_of(model, error)
    return HttpResponse(fault.status, headers, error_envelope(model, fault, request_id).encode())


def error_envelope(model: ServiceModel | None, fault: Any, request_id: str) -> str:
    """The error document of query, and of REST-XML services other than S3."""
    parts = [
        f"<ErrorResponse{_namespace(model)}><Error><Type>{'Sender' if fault.sender else 'Receiver'}</Type>"
        f"<Code>{xml.escape(fault.query_code)}</Code><Message>{xml.escape(fault.message)}</Message>"
    ]
    if fault.shape is not None:
        rest = [
            m for m in fault.shape.members.values() if not m.location and m.name not in ("message", "Message", "Type")
        ]
        names = {member.name for member in rest}
        given = {name: value for name, value in fault.members.items() if name in names}
        xml.structure_writer(rest, xml.Style(), {})(parts, given)
    parts.append(f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>\n")
    return "".join(parts)


def _namespace(model: ServiceModel | None) -> str:
    uri = str(model.metadata.get("xmlNamespace", "")) if model is not None else ""
    return f' xmlns="{xml.escape(uri)}"' if uri else ""


def _reader(operation: Operation) -> Callable[[Any], dict[str, Any]]:
    return form.structure_reader(list(operation.input.members.values()) if operation.input else [], {})


def _writer(operation: Operation) -> tuple[str, xml.ElementWriter | None, str]:
    start = f"<{operation.name}Response{_namespace(operation.service)}>"
    if operation.output is None:
        return start, None, ""
    wrapper = operation.output.traits.get("resultWrapper", f"{operation.name}Result")
    write = xml.structure_writer(list(operation.output.members.values()), xml.Style(), {})
    return f"{start}<{wrapper}>", write, f"</{wrapper}>"


CODEC = Codec("query", operation_of, decode, encode, encode_error)
