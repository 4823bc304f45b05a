"""What a protocol is to the front door: a frozen value of five functions. One module per protocol builds one.

Values that cross this boundary, both ways: a structure is a dict with AWS's member names, absent members absent; lists and maps
are lists and dicts; integer and long are int; float and double are float; a string is str; a blob is bytes; a *streaming* blob
is a `BodyStream` or bytes on the way in, and bytes, an async iterator of bytes or a `FileBody` on the way out;
a timestamp is an int, milliseconds since the epoch (UTC); a document is plain JSON values; an event stream on the way out is
an async iterator of dicts with one member each. A union is a dict with one member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest, HttpResponse
    from unkai.model.shapes import Operation, ServiceModel


@dataclass(frozen=True, slots=True)
class Codec:
    """One protocol.

    operation_of(model, request, body) names the operation, or raises AwsError (UnknownOperationException and its kin).
    decode(operation, request, body) gives the input, of the right types (not yet validated); raises AwsError
        (SerializationException and its kin). `body` is the whole body as bytes, or the request's stream for a streaming payload.
    encode(operation, out, request_id) and encode_error(model, operation or None, error, request_id) give the response.
    """

    protocol: str
    operation_of: Callable[[ServiceModel, HttpRequest, bytes], Operation]
    decode: Callable[[Operation, HttpRequest, Any], dict[str, Any]]
    encode: Callable[[Operation, dict[str, Any], str], HttpResponse]
    encode_error: Callable[[ServiceModel | None, Operation | None, AwsError, str], HttpResponse]
