"""Smithy RPC v2 CBOR: the operation in the path, one CBOR structure each way.

https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unkai.wire.formats import cbor
from unkai.wire.refusals import unknown_operation
from unkai.wire.rpc import Format, rpc_codec

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel

PROTOCOL_HEADER = "smithy-protocol"
PROTOCOL = "rpc-v2-cbor"

# The service's name is the router's concern; a prefix before it may be there (base paths).
_PATH = re.compile(r"(?:/.{0,512})?/service/[A-Za-z0-9._]{1,128}/operation/([A-Za-z0-9]{1,128})", re.DOTALL)


def operation_of(model: ServiceModel, request: HttpRequest, body: bytes) -> Operation:
    match = _PATH.fullmatch(request.path)
    operation = model.operations.get(match.group(1)) if match and request.method == "POST" else None
    if operation is None:
        raise unknown_operation()
    return operation


CODEC = rpc_codec(
    "smithy-rpc-v2-cbor",
    operation_of,
    Format(
        cbor.body_reader,
        cbor.body_writer,
        cbor.tree_writer,
        cbor.emit,
        lambda model: "application/cbor",
        ((PROTOCOL_HEADER, PROTOCOL),),
    ),
)
