"""Compressed requests: SDKs gzip the bodies of operations with the request compression trait (PutMetricData over 10 KB).

The front door calls this before it asks which operation a request names, since query names it in the body. S3 objects are
never touched: there, Content-Encoding belongs to the object.
https://smithy.io/2.0/spec/behavior-traits.html#requestcompression-trait
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from unkai.kernel.http import request_too_large
from unkai.wire.refusals import serialization_error

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import ServiceModel

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def is_compressed(model: ServiceModel, request: HttpRequest) -> bool:
    """Whether the body of `request` is compressed for the way, not for storage."""
    encoding = request.headers.get("content-encoding")
    return encoding is not None and not model.protocol.startswith("rest-") and encoding.lower().endswith("gzip")


def inflate(body: bytes, limit_bytes: int) -> bytes:
    """The plain body, refused where it is larger than `limit_bytes`: a small body may hold gigabytes."""
    reader = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = reader.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise serialization_error("The request body is not valid gzip.") from None
    if len(plain) > limit_bytes:
        raise request_too_large(limit_bytes)
    if not reader.eof:
        raise serialization_error("The request body is not valid gzip.")
    return plain
