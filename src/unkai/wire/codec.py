"""Chooses the protocol of a request. Several services speak more than one: SQS json and query, CloudWatch cbor, json and query,
Kinesis json and its older CBOR.

https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.wire import aws_json, query, rest_json, rest_xml, rpc_v2_cbor
from unkai.wire.protocol import Codec

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import ServiceModel

__all__ = ["CODECS", "Codec", "codec_for"]

CODECS = {
    codec.protocol: codec
    for codec in (
        aws_json.CODEC,
        aws_json.CBOR_CODEC,
        query.CODEC,
        rest_json.CODEC,
        rest_xml.CODEC,
        rpc_v2_cbor.CODEC,
    )
}


def codec_for(model: ServiceModel, request: HttpRequest) -> Codec:
    """The protocol that `request` speaks, by its headers alone; the service's own where they do not say."""
    protocols = model.protocols
    headers = request.headers
    content_type = headers.get("content-type", "")
    if headers.get(rpc_v2_cbor.PROTOCOL_HEADER) == rpc_v2_cbor.PROTOCOL and rpc_v2_cbor.CODEC.protocol in protocols:
        return rpc_v2_cbor.CODEC
    if "json" in protocols and "x-amz-target" in headers:
        return aws_json.CBOR_CODEC if content_type.startswith(aws_json.CBOR_CONTENT_TYPE) else aws_json.CODEC
    is_form = content_type.startswith("application/x-www-form-urlencoded") or "Action=" in request.query
    if is_form and ("query" in protocols or "awsQueryCompatible" in model.metadata):
        return query.CODEC
    return CODECS[protocols[0]]
