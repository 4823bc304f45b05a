"""AWS JSON 1.0 and 1.1: the operation in X-Amz-Target, one JSON structure each way; and the same in CBOR, as older SDKs for
Java send it to Kinesis (`application/x-amz-cbor-1.1`, timestamps in milliseconds).

https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from unkai.wire.formats import cbor, json
from unkai.wire.refusals import unknown_operation
from unkai.wire.rpc import Format, rpc_codec

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel

CBOR_CONTENT_TYPE = "application/x-amz-cbor-1.1"


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    _, _, name = request.headers.get("x-amz-target", "").rpartition(".")
    operation = model.operations.get(name)
    if operation is None:
        raise unknown_operation()
    return operation


def _content_type(model: ServiceModel | None) -> str:
    return f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.0') if model is not None else '1.0'}"


CODEC = rpc_codec(
    "json",
    operation_of,
    Format(json.body_reader, json.body_writer, json.tree_writer, json.emit, _content_type),
)

CBOR_CODEC = rpc_codec(
    "cbor-1.1",
    operation_of,
    Format(
        partial(cbor.body_reader, milliseconds=True),
        partial(cbor.body_writer, milliseconds=True),
        partial(cbor.tree_writer, milliseconds=True),
        cbor.emit,
        lambda model: CBOR_CONTENT_TYPE,
    ),
)
