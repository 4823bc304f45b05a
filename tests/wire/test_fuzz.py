"""Hostile bytes into every codec: nothing but AwsError comes out, and soon.

Longer: `UNKAI_FUZZ_EXAMPLES=100000 pytest tests/wire/test_fuzz.py --timeout 0`.
"""

from __future__ import annotations

import os
import random
from functools import cache
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unkai.kernel.clock import monotonic_s
from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import load_service
from unkai.wire.codec import CODECS
from unkai.wire.formats import cbor
from unkai.wire.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = int(os.environ.get("UNKAI_FUZZ_EXAMPLES", "60"))
long_runs = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FORM = {"content-type": "application/x-www-form-urlencoded"}


def target(protocol: str, service: str, operation: str, request: HttpRequest) -> Callable[[bytes], None]:
    """Runs one body through a codec as the front door does."""
    codec, model = CODECS[protocol], load_service(service)

    def run(body: bytes) -> None:
        try:
            codec.operation_of(model, request, body)
            read = codec.decode(model.operations[operation], request, body)
            validate(model.operations[operation], read)
        except AwsError as error:
            response = codec.encode_error(model, model.operations[operation], error, "request-id")
            assert 400 <= response.status < 600

    return run


@cache
def targets() -> dict[str, tuple[Callable[[bytes], None], bytes]]:
    """Each codec with an operation of a rich, recursive shape, and a valid body to mutate."""
    item = b'{"TableName":"t","Item":{"a":{"M":{"b":{"L":[{"S":"x"},{"N":"1"},{"B":"AA=="},{"BOOL":true}]}}}}}'
    metric = {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.5, "Timestamp": cbor2.CBORTag(1, 1.5)}]}
    form = (
        b"Action=PutMetricData&Namespace=n&MetricData.member.1.MetricName=m"
        b"&MetricData.member.1.Dimensions.member.1.Name=a&MetricData.member.1.Dimensions.member.1.Value=b"
    )
    lifecycle = (
        b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>i</ID><Status>Enabled</Status>'
        b"<Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"
        b"<Expiration><Date>2026-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>"
    )
    function = (
        b'{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Code":{"ZipFile":"AAAA"},'
        b'"Environment":{"Variables":{"ab":"b"}},"Timeout":3}'
    )
    put = {"x-amz-target": "DynamoDB_20120810.PutItem"}
    kinesis = {"x-amz-target": "Kinesis_20131202.PutRecord"}
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    s3 = HttpRequest("PUT", "/b", "lifecycle", {"content-md5": "x"})
    return {
        "json": (target("json", "dynamodb", "PutItem", HttpRequest("POST", "/", "", put)), item),
        "cbor-1.1": (
            target("cbor-1.1", "kinesis", "PutRecord", HttpRequest("POST", "/", "", kinesis)),
            cbor2.dumps({"StreamName": "s", "Data": b"d", "PartitionKey": "k"}),
        ),
        "query": (target("query", "cloudwatch", "PutMetricData", HttpRequest("POST", "/", "", FORM)), form),
        "rest-xml": (target("rest-xml", "s3", "PutBucketLifecycleConfiguration", s3), lifecycle),
        "rest-json": (
            target("rest-json", "lambda", "CreateFunction", HttpRequest("POST", "/2015-03-31/functions", "", {})),
            function,
        ),
        "smithy-rpc-v2-cbor": (
            target("smithy-rpc-v2-cbor", "cloudwatch", "PutMetricData", HttpRequest("POST", path, "", {})),
            cbor2.dumps(metric),
        ),
    }


PROTOCOLS = tuple(CODECS)


# What is mutated below is valid itself; else the fuzzing would only scratch the surface.
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_seeds_are_valid(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, valid = targets()[protocol]
    refused: list[str] = []
    build = AwsError.__init__

    def recorded(self: AwsError, code: str, message: str, **rest: Any) -> None:
        refused.append(f"{code}: {message}")
        build(self, code, message, **rest)

    monkeypatch.setattr(AwsError, "__init__", recorded)
    run(valid)
    assert not refused


@pytest.mark.parametrize("protocol", PROTOCOLS)
@long_runs
@given(body=st.binary(max_size=300))
def test_random_bytes(protocol: str, body: bytes) -> None:
    targets()[protocol][0](body)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@long_runs
@given(seed=st.integers(0, 2**32))
def test_mutated_requests(protocol: str, seed: int) -> None:
    run, valid = targets()[protocol]
    chance, body = random.Random(seed), bytearray(valid)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(body) or 1)
        piece = bytes(chance.randrange(256) for _ in range(chance.randint(0, 3)))
        choice = chance.randrange(3)
        if choice == 0:
            body[at : at + 1] = piece
        elif choice == 1:
            body[at : at + chance.randint(1, 8)] = b""
        else:
            body[at:at] = valid[at : at + chance.randint(1, 40)]
    run(bytes(body))


@pytest.mark.parametrize(
    ("protocol", "service"), [("rest-xml", "s3"), ("rest-json", "lambda"), ("rest-json", "apigateway")]
)
@long_runs
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "BREW"]),
    path=st.binary(max_size=60),
    query=st.text(alphabet="acl=&%+2F;uploadId", max_size=40),
    headers=st.dictionaries(
        st.sampled_from(
            ["x-amz-copy-source", "range", "if-modified-since", "content-length", "x-amz-object-attributes"]
        ),
        st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")),
    ),
)
def test_random_targets(
    protocol: str, service: str, method: str, path: bytes, query: str, headers: dict[str, str]
) -> None:
    codec, model = CODECS[protocol], load_service(service)
    request = HttpRequest(method, f"/{path.decode('latin-1')}", query, headers)
    try:
        operation = codec.operation_of(model, request, b"")
        validate(operation, codec.decode(operation, request, b""))
    except AwsError as error:
        codec.encode_error(model, None, error, "request-id")


NESTED = 20_000
BOMBS = {
    "json": [
        b'{"Item":' + b"[" * 100_000,
        b'{"Item":{"a":' + b'{"L":[' * NESTED,
        b"[" * 10**6,
    ],
    "json-numbers": [b'{"TableName":' + b"9" * 1_000_000 + b"}", b'{"ReturnValues":1e999}'],
    "json-deep": [b'{"Item":{"a":' + b'{"L":[' * 400 + b"]}" * 400 + b"}}"],
    "cbor": [
        b"\x81" * 10**6,
        b"\xa1\x61a" * 10**5,
        b"\xbb" + b"\x7f" * 8,
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\x7f" * 8 + b"a",
    ],
    "cbor-tags": [
        b"\xc1" * 10**6,
        b"\xd8\x23\x64(a+)",
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\xc4\x82\x1a\x7f\xff\xff\xff\x01",
    ],
    "cbor-strings": [b"\x7f" * 10**6, b"\x7f" + b"\x61a" * 10**5, b"\x5f\x41a\x61b\xff"],
    "query": [b"Action=PutMetricData&" + b"&".join(b"MetricData.member.%d.Value=1" % i for i in range(99_000))],
    "query-many": [b"Action=PutMetricData" + b"&a=b" * 10**6, b"Action=PutMetricData&" + b"a." * 10**6 + b"=1"],
    "query-lists": [
        b"Action=PutMetricData&MetricData.member.%s.Value=1" % (b"9" * 10**6),
        b"Action=PutMetricData&MetricData=x",
    ],
    "xml": [
        b"<a>" * 10**5,
        b"<a " + b" ".join(b'a%d=""' % i for i in range(10**5)) + b"/>",
        b"<a>" + b"<b/>" * 10**6 + b"</a>",
    ],
    "xml-entities": [
        b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b"<a>&unknown;</a>",
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
    ],
}
BOMB_TARGETS = {"json": "json", "cbor": "smithy-rpc-v2-cbor", "query": "query", "xml": "rest-xml"}


# A megabyte of nesting, lengths that lie, a hundred thousand parameters, entities: refused (or read) at once.
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs(kind: str) -> None:
    run, _ = targets()[BOMB_TARGETS[kind.partition("-")[0]]]
    for body in BOMBS[kind]:
        start = monotonic_s()
        run(body)
        assert monotonic_s() - start < 3, body[:40]


# No entity is read, and none is asked for: a document type is refused, whatever it says.
@pytest.mark.parametrize("body", BOMBS["xml-entities"][:3])
def test_document_types_are_refused(body: bytes) -> None:
    model = load_service("s3")
    request = HttpRequest("PUT", "/b", "lifecycle", {})
    with pytest.raises(AwsError, match="MalformedXML"):
        CODECS["rest-xml"].decode(model.operations["PutBucketLifecycleConfiguration"], request, body)


JSON_LIKE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=15,
)


# Our CBOR reader against another implementation's writer.
@long_runs
@given(JSON_LIKE)
def test_cbor_is_read_as_it_was_written(value: object) -> None:
    assert cbor.parse(cbor2.dumps(value)) == value
