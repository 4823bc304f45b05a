"""Chooses the protocol of a request. Several services speak more than one: SQS json and query, CloudWatch cbor, json and query.

https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.wire import aws_json, query
from unkai.wire.protocol import Codec

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import ServiceModel

__all__ = ["CODECS", "Codec", "codec_for"]

CODECS = {codec.protocol: codec for codec in (aws_json.CODEC, query.CODEC)}


def codec_for(model: ServiceModel, request: HttpRequest) -> Codec:
    """The protocol that `request` speaks, by its headers alone; the service's own where they do not say."""
    protocols = model.protocols
    first = protocols[0]
    headers = request.headers
    content_type = headers.get("content-type", "")
    if "x-amz-target" in headers and "json" in protocols:
        return CODECS["json"]
    speaks_query = "query" in protocols or "awsQueryCompatible" in model.metadata
    if speaks_query and (content_type.startswith("application/x-www-form-urlencoded") or "Action=" in request.query):
        return CODECS["query"]
    return CODECS[first]
