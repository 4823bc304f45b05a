"""Values of the wrong type never reach a handler, and are refused as AWS refuses them."""

from __future__ import annotations

from typing import Any

import cbor2
import msgspec
import pytest

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import load_service
from unkai.wire.codec import CODECS
from unkai.wire.formats import cbor
from unkai.wire.timestamps import from_text, to_text


def by_json(service: str, operation: str, body: Any) -> Any:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return CODECS["json"].decode(load_service(service).operations[operation], HttpRequest("POST", "/", "", {}), raw)


# The wordings that DynamoDB's and Kinesis's users report.
@pytest.mark.parametrize(
    ("service", "operation", "body", "message"),
    [
        ("dynamodb", "GetItem", {"TableName": 3}, "NUMBER_VALUE cannot be converted to String"),
        ("dynamodb", "GetItem", {"TableName": 1.5}, "DECIMAL_VALUE cannot be converted to String"),
        ("dynamodb", "GetItem", {"TableName": True}, "TRUE_VALUE cannot be converted to String"),
        ("dynamodb", "GetItem", {"ConsistentRead": "x"}, "STRING_VALUE cannot be converted to Boolean"),
        ("dynamodb", "GetItem", {"TableName": {}}, "Start of structure or map found where not expected."),
        ("dynamodb", "GetItem", {"TableName": []}, "Start of list found where not expected"),
        ("dynamodb", "GetItem", {"Key": []}, "Start of list found where not expected"),
        ("dynamodb", "GetItem", {"Key": "x"}, "Unexpected field type"),
        ("dynamodb", "GetItem", {"AttributesToGet": "x"}, "Expected list or null"),
        ("dynamodb", "GetItem", {"AttributesToGet": {}}, "Start of structure or map found where not expected."),
        ("dynamodb", "GetItem", {"AttributesToGet": [None]}, "NULL_VALUE cannot be converted to String"),
        ("dynamodb", "Scan", {"Limit": "1"}, "STRING_VALUE cannot be converted to Integer"),
        ("dynamodb", "Scan", {"Limit": 1.5}, "DECIMAL_VALUE cannot be converted to Integer"),
        ("dynamodb", "Scan", {"Limit": 2**31}, "out of range of Integer"),
        ("dynamodb", "PutItem", {"Item": {"a": {"B": "?"}}}, "not valid base64"),
        ("dynamodb", "PutItem", {"Item": {"a": {"B": 1}}}, "NUMBER_VALUE cannot be converted to ByteBuffer"),
        (
            "kinesis",
            "GetShardIterator",
            {"Timestamp": "x"},
            "STRING_VALUE cannot be converted to milliseconds since epoch",
        ),
        ("kinesis", "GetShardIterator", {"Timestamp": 1e300}, "cannot be converted to milliseconds since epoch"),
        ("cloudwatch", "PutMetricData", {"MetricData": [{"Value": "1"}]}, "STRING_VALUE cannot be converted to Double"),
        ("cloudwatch", "PutMetricData", {"MetricData": [{"Value": 10**400}]}, ""),
        ("dynamodb", "GetItem", b"[]", "Start of list found where not expected"),
        ("dynamodb", "GetItem", b"{", "not valid JSON"),
        ("dynamodb", "GetItem", b'{"TableName":"\xff"}', "not valid JSON"),
    ],
)
def test_json_types(service: str, operation: str, body: Any, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        by_json(service, operation, body)
    assert caught.value.code == "SerializationException"
    assert message in caught.value.message


# What is no mistake: null is absent, unknown members are ignored, a whole number may be written as a decimal.
def test_json_is_lenient_where_aws_is() -> None:
    assert by_json("dynamodb", "Scan", {"TableName": "t", "IndexName": None, "Limit": 5.0, "Novelty": 1}) == {
        "TableName": "t",
        "Limit": 5,
    }
    assert by_json("dynamodb", "Scan", b"") == {}
    assert by_json("kinesis", "GetShardIterator", {"Timestamp": "2026-01-01T00:00:00Z"}) == {
        "Timestamp": 1_767_225_600_000
    }
    values = by_json(
        "cloudwatch", "PutMetricData", {"MetricData": [{"Value": "NaN"}, {"Value": "-Infinity"}, {"Value": 1}]}
    )
    assert repr(values["MetricData"]) == "[{'Value': nan}, {'Value': -inf}, {'Value': 1.0}]"


# Where nothing says which value it was, the refusal says what the protocol says.
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"Action=ListUsers&MaxItems=x", "MalformedInput"),
        (b"Action=ListUsers&MaxItems=99999999999", "MalformedInput"),
        (b"Action=ListUsers&MaxItems.a=1", "MalformedInput"),
        (b"Action=ListUsers&PathPrefix=%FF", "MalformedInput"),
        (b"Action=TagUser&Tags.member.x.Key=1", "MalformedInput"),
        (b"Action=TagUser&Tags.member.1=1", "MalformedInput"),
        (b"Version=1", "MissingAction"),
        (b"Action=NoSuch", "InvalidAction"),
    ],
)
def test_query_refusals(body: bytes, code: str) -> None:
    codec, model = CODECS["query"], load_service("iam")
    request = HttpRequest("POST", "/", "", {}, body)
    with pytest.raises(AwsError) as caught:
        codec.decode(codec.operation_of(model, request, body), request, body)
    assert caught.value.code == code


# Numbers of a list need not be without gaps, and their order is that of the numbers, not of the text.
def test_query_lists_are_in_the_order_of_their_numbers() -> None:
    codec, model = CODECS["query"], load_service("iam")
    body = b"Action=UntagUser&TagKeys.member.10=c&TagKeys.member.2=b&TagKeys.member.1=a&UserName=a+b%2B"
    request = HttpRequest("POST", "/", "", {}, body)
    read = codec.decode(codec.operation_of(model, request, body), request, body)
    assert read == {"TagKeys": ["a", "b", "c"], "UserName": "a b+"}


FUNCTIONS = "/2015-03-31/functions"
REST = [
    ("s3", "ListObjectsV2", HttpRequest("GET", "/b", "max-keys=x", {}), "InvalidArgument"),
    ("s3", "ListObjectsV2", HttpRequest("GET", "/b", "prefix=%FF", {}), "InvalidURI"),
    ("s3", "GetObject", HttpRequest("GET", "/b/k", "", {"if-modified-since": "x"}), "InvalidArgument"),
    ("s3", "PutBucketVersioning", HttpRequest("PUT", "/b", "versioning", {}, b"<a>"), "MalformedXML"),
    ("s3", "PutBucketPolicy", HttpRequest("PUT", "/b", "policy", {}, b"\xff"), "MalformedXML"),
    ("lambda", "ListFunctions", HttpRequest("GET", FUNCTIONS, "MaxItems=x", {}), "SerializationException"),
    ("lambda", "ListFunctions", HttpRequest("GET", FUNCTIONS, "Marker=%FF", {}), "SerializationException"),
    ("lambda", "CreateFunction", HttpRequest("POST", FUNCTIONS, "", {}, b"{"), "SerializationException"),
]


@pytest.mark.parametrize(("service", "operation", "sent", "code"), REST)
def test_rest_refusals(service: str, operation: str, sent: HttpRequest, code: str) -> None:
    model = load_service(service)
    with pytest.raises(AwsError) as caught:
        CODECS[model.protocol].decode(model.operations[operation], sent, sent.body)
    assert caught.value.code == code


BROKEN = [
    b"\xa1",
    b"\xa1\x01\x02",
    b"\xff",
    b"\x00\x00",
    b"\xa1\x61a\xff",
    b"\x82\x01\xff",
    b"\x7f\x7f",
    b"\xf8\x20",
    b"\xfb\x00",
]


@pytest.mark.parametrize("body", BROKEN)
def test_broken_cbor_is_refused(body: bytes) -> None:
    with pytest.raises(cbor.BadCbor):
        cbor.parse(body)


# Types in CBOR are checked as in JSON.
WRONG = [{"Namespace": 1}, {"MetricData": {}}, {"MetricData": [{"Value": b"x"}]}, {"MetricData": [{"Timestamp": "x"}]}]


@pytest.mark.parametrize("inp", WRONG)
def test_cbor_types(inp: Any) -> None:
    operation = load_service("cloudwatch").operations["PutMetricData"]
    with pytest.raises(AwsError, match="SerializationException"):
        CODECS["smithy-rpc-v2-cbor"].decode(operation, HttpRequest("POST", "/", "", {}), cbor2.dumps(inp))


# A handler that returns something else than the model says is a defect that shows at once.
@pytest.mark.parametrize("out", [{"Count": "1"}, {"Count": True}, {"Nothing": 1}, {"Items": [{"a": {"S": 1}}]}])
def test_outputs_are_checked(out: Any) -> None:
    with pytest.raises((AssertionError, KeyError)):
        CODECS["json"].encode(load_service("dynamodb").operations["Scan"], out, "r")


@pytest.mark.parametrize(
    "out", [{"KeyCount": "1"}, {"IsTruncated": 1}, {"Nothing": 1}, {"Contents": [{"LastModified": 1.5}]}]
)
def test_outputs_in_xml_are_checked(out: Any) -> None:
    with pytest.raises(AssertionError):
        CODECS["rest-xml"].encode(load_service("s3").operations["ListObjectsV2"], out, "r")


# HTTP dates of RFC 9110, and ISO times with offsets and fractions; what is none of these is refused.
@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777_000),
        ("Sunday, 06-Nov-1994 08:49:37 GMT", 784_111_777_000),
        ("1994-11-06T08:49:37Z", 784_111_777_000),
        ("1994-11-06T10:49:37.123456+02:00", 784_111_777_123),
        ("784111777.5", 784_111_777_500),
        ("19941106T084937Z", 784_111_777_000),
    ],
)
def test_timestamps_are_read(text: str, ms: int) -> None:
    assert from_text(text, "iso8601") == ms


@pytest.mark.parametrize(
    "text", ["", "x", "1994-13-01T00:00:00Z", "Sun, 06 Foo 1994 08:49:37 GMT", "9" * 80, "1e300", "0000-01-01"]
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        from_text(text, "iso8601")


def test_timestamps_are_written() -> None:
    assert to_text(784_111_777_000, "rfc822") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert to_text(784_111_777_120, "iso8601") == "1994-11-06T08:49:37.120Z"
    assert to_text(-1, "iso8601") == "1969-12-31T23:59:59.999Z"
    assert to_text(784_111_777_500, "unixtimestamp") == "784111777.5"
