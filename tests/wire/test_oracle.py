"""botocore as the oracle, both ways, for every operation and every error of every service that the project names.

Its serializers make our requests, its parsers read our answers. What differs is our mistake, or a line with its reason here.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import botocore
import pytest
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.eventstream import EventStream
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from samples import SERVICES, Sampler, to_milliseconds

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest, HttpResponse
from unkai.model.load import _merged, _patches, load_service
from unkai.wire.codec import CODECS, codec_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENDPOINT = "http://127.0.0.1:4566"

NOT_ROUTED = {
    ("s3", "GetBucketLifecycle"): "deprecated: GetBucketLifecycleConfiguration has the same method and URI",
    ("s3", "PutBucketLifecycle"): "deprecated: PutBucketLifecycleConfiguration has the same method and URI",
    ("s3", "GetBucketNotification"): "deprecated: GetBucketNotificationConfiguration has the same method and URI",
    ("s3", "PutBucketNotification"): "deprecated: PutBucketNotificationConfiguration has the same method and URI",
    ("s3", "ListDirectoryBuckets"): "another endpoint (s3express-control) has this one at GET /",
}
"""Operations that cannot be told from another one by the request. They are decoded all the same."""


AMBIGUOUS = {
    ("s3", "PutBucketNotification"): "deprecated: two members, Event and Events, are both the element Event",
    ("s3", "GetBucketNotification"): "deprecated: likewise",
}
"""Operations whose model cannot be read back by anybody, botocore included."""


@cache
def oracle(service: str, protocol: str) -> ServiceModel:
    paths = sorted((Path(botocore.__file__).parent / "data" / service).glob("*/service-2.json.gz"))
    text = json.loads(gzip.decompress(paths[-1].read_bytes()))
    if (service, protocol) == ("sqs", "query"):
        text = _sqs_in_query(text)
    return ServiceModel(text, service)


def _sqs_in_query(text: dict) -> dict:
    """The model no longer has SQS's query names; ours come from patches.json, so that this checks their use, not them."""
    for patch in _patches():
        if patch["service"] == "sqs":
            text = _merged(text, json.loads(json.dumps(patch["merge"]).replace("queryName", "locationName")))
    return text


def protocols(service: str) -> list[str]:
    model = load_service(service)
    return [*model.protocols, *(["query"] if service == "sqs" else [])]


CASES = [(service, protocol) for service in SERVICES for protocol in protocols(service)]


def sent(operation: OperationModel, protocol: str, params: dict) -> HttpRequest:
    serialized = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    serialized.pop("host_prefix", None)  # the router's business
    prepare_request_dict(serialized, ENDPOINT)
    prepared = create_request_object(serialized).prepare()
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    headers = {name.lower(): _text(value) for name, value in prepared.headers.items()}
    raw = body.encode() if isinstance(body, str) else bytes(body)
    return HttpRequest(prepared.method, url.path, url.query, headers, raw)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(("service", "protocol"), CASES)
def test_every_input_is_read_as_botocore_wrote_it(service: str, protocol: str) -> None:
    model, theirs = load_service(service), oracle(service, protocol)
    for name in theirs.operation_names:
        operation = theirs.operation_model(name)
        shape = operation.input_shape
        params = Sampler(f"{service}.{name}.in").value(shape) if shape is not None else {}
        request = sent(operation, protocol, params)

        codec = codec_for(model, request)
        assert codec.protocol == protocol, name
        if (service, name) not in NOT_ROUTED:
            assert codec.operation_of(model, request, request.body).name == name
        read = codec.decode(model.operations[name], request, request.body)

        if (service, name) in AMBIGUOUS:
            continue
        wanted = to_milliseconds(params)
        assert read == (_without_empty(wanted) if protocol == "query" else wanted), name


def _without_empty(value: Any) -> Any:
    """A form has no way to say that a structure is there and empty."""
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item != {}}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


class _Raw(io.BytesIO):
    """As much of urllib3's response as botocore's event stream asks for."""

    def stream(self) -> object:
        yield self.read()


async def _gathered(response: HttpResponse) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([piece async for piece in response.body])


def parsed(response: HttpResponse, protocol: str, shape: Any, name: str) -> dict[str, Any]:
    """What botocore makes of `response`."""
    payload = shape.members.get(shape.serialization.get("payload")) if shape is not None else None
    is_stream = shape is not None and any(m.serialization.get("eventstream") for m in shape.members.values())
    is_blob = payload is not None and payload.type_name == "blob"
    body = asyncio.run(_gathered(response)) if is_stream else response.body
    assert isinstance(body, bytes)
    headers = HeadersDict(response.headers)
    if response.length_bytes is not None:
        headers["Content-Length"] = str(response.length_bytes)  # as the sender does
    received = {
        "status_code": response.status,
        "headers": headers,
        "body": _Raw(body) if is_stream or is_blob else body,
        "context": {"operation_name": name},
    }
    out = create_parser(protocol).parse(received, shape)
    if is_blob:
        out[shape.serialization["payload"]] = body
    return {key: list(value) if isinstance(value, EventStream) else value for key, value in out.items()}


def answered(shape: Any, out: dict[str, Any], sampler: Sampler) -> dict[str, Any]:
    """`out` with one event of each kind where it has an event stream."""
    for member_name, member in shape.members.items() if shape is not None else ():
        if member.serialization.get("eventstream"):
            events = [
                {name: sampler.value(event)}
                for name, event in member.members.items()
                if not event.metadata.get("exception")
            ]
            return {**out, member_name: events}
    return out


async def _each(events: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for event in events:
        yield event


@pytest.mark.parametrize(("service", "protocol"), CASES)
def test_botocore_reads_every_output_as_it_was_given(service: str, protocol: str) -> None:
    model, theirs = load_service(service), oracle(service, protocol)
    for name in theirs.operation_names:
        operation = theirs.operation_model(name)
        shape = operation.output_shape
        sampler = Sampler(f"{service}.{name}.out")
        out: Any = answered(shape, sampler.value(shape) if shape is not None else {}, sampler)
        if protocol == "query" and shape is not None and service in ("sqs", "cloudwatch"):
            # Their models have lost the wrapper's name, since JSON and CBOR have none.
            shape.serialization["resultWrapper"] = f"{name}Result"

        given: Any = to_milliseconds(out)
        streams = {key for key in given if shape.members[key].serialization.get("eventstream")}
        returned = {key: _each(value) if key in streams else value for key, value in given.items()}
        response = CODECS[protocol].encode(model.operations[name], returned, "request-id")
        if (service, name) == ("s3", "GetBucketLocation"):
            # botocore reads this answer in a handler of its own: the root element is the value.
            assert ElementTree.fromstring(response.body).text == out["LocationConstraint"]
            continue
        read = parsed(response, protocol, shape, name)

        # Without an output shape the RPC parsers look at nothing.
        assert read.pop("ResponseMetadata")["HTTPHeaders"], name
        if (service, name) not in AMBIGUOUS:
            assert to_milliseconds(read) == (_infinite_as_text(given) if protocol == "json" else given), name


def _infinite_as_text(value: Any) -> Any:
    """JSON has no word for infinity; it is sent as a string, which botocore hands on as it is."""
    if isinstance(value, dict):
        return {key: _infinite_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_infinite_as_text(item) for item in value]
    return "Infinity" if value == float("inf") else value


def _is_legacy(shape: Any) -> bool:
    return str(shape.traits.get("error", {}).get("code", "")).startswith(
        ("AWS.SimpleQueueService.", "KMS.", "QueueAlready")
    )


@pytest.mark.parametrize(("service", "protocol"), CASES)
def test_botocore_reads_every_error_as_it_was_raised(service: str, protocol: str) -> None:
    model, theirs = load_service(service), oracle(service, protocol)
    for name in theirs.shape_names:
        shape = theirs.shape_for(name)
        if shape.type_name != "structure" or not shape.metadata.get("exception"):
            continue
        members: Any = to_milliseconds(Sampler(f"{service}.{name}.error").value(shape))
        error = AwsError(name, "What & <why>", members={k: v for k, v in members.items() if k.lower() != "message"})
        response = CODECS[protocol].encode_error(model, None, error, "request-id")
        received = {
            "status_code": response.status,
            "headers": HeadersDict(response.headers),
            "body": response.body,
            "context": {},
        }

        generic = create_parser(protocol).parse(received, None)
        # SQS's legacy codes are ours: its model has lost them.
        code = model.shapes[name].traits["error"]["code"] if _is_legacy(model.shapes[name]) else shape.error_code
        assert generic["Error"]["Code"] == code, name
        assert generic["Error"]["Message"] == "What & <why>", name
        assert response.status == shape.metadata.get("error", {}).get("httpStatusCode", response.status), name
        assert 400 <= response.status < 600, name

        modelled = create_parser(protocol).parse(received, shape)
        wanted = {k: "What & <why>" if k.lower() == "message" else v for k, v in members.items()}
        if protocol in ("query", "rest-xml"):
            wanted.pop("message", None)  # AWS writes Message, whatever the model says; SDKs read it from the envelope
        assert to_milliseconds(modelled) == wanted, name
