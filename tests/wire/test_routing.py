"""REST routing: what S3 tells apart by query and headers, and keys that survive as they were sent."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import load_service
from unkai.wire.codec import CODECS

S3 = load_service("s3")
XML = CODECS["rest-xml"]


def named(method: str, target: str, **headers: str) -> str:
    path, _, query = target.partition("?")
    request = HttpRequest(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()})
    return XML.operation_of(S3, request, b"").name


@pytest.mark.parametrize(
    ("method", "target", "headers", "operation"),
    [
        ("GET", "/", {}, "ListBuckets"),
        ("GET", "/b", {}, "ListObjects"),
        ("GET", "/b/", {}, "ListObjects"),
        ("GET", "/b/?list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", "/b?list-type=1", {}, "ListObjects"),
        ("GET", "/b?versions&prefix=x", {}, "ListObjectVersions"),
        ("GET", "/b?uploads=", {}, "ListMultipartUploads"),
        ("GET", "/b?analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", "/b?analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("GET", "/b?lifecycle", {}, "GetBucketLifecycleConfiguration"),
        ("GET", "/b?notification", {}, "GetBucketNotificationConfiguration"),
        ("PUT", "/b", {}, "CreateBucket"),
        ("PUT", "/b?acl", {}, "PutBucketAcl"),
        ("POST", "/b?delete", {}, "DeleteObjects"),
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k?x-id=PutObject", {}, "PutObject"),
        ("PUT", "/b/k", {"x_amz_copy_source": "/b/j"}, "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {"x_amz_copy_source": "/b/j"}, "UploadPartCopy"),
        ("POST", "/b/k?uploads", {}, "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=u", {}, "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/b/k?tagging", {}, "DeleteObjectTagging"),
        ("GET", "/b/k?uploadId=u", {}, "ListParts"),
        ("GET", "/b/k?partNumber=1", {}, "GetObject"),
        ("GET", "/b/k?attributes", {}, "GetObjectAttributes"),  # its required header is missing: validation says so
        ("HEAD", "/b/a/b/c", {}, "HeadObject"),
        ("POST", "/b/k?select&select-type=2", {}, "SelectObjectContent"),
    ],
)
def test_s3_operations(method: str, target: str, headers: dict[str, str], operation: str) -> None:
    assert named(method, target, **headers) == operation


# A path that is known with another method is 405 on S3, not 404.
def test_unknown_methods() -> None:
    with pytest.raises(AwsError, match="MethodNotAllowed"):
        named("PATCH", "/b")
    with pytest.raises(AwsError, match="UnknownOperationException"):
        CODECS["rest-json"].operation_of(load_service("lambda"), HttpRequest("GET", "/nothing", "", {}), b"")


# Keys are bytes to S3: nothing is normalised, and percent signs are decoded once.
@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a//b", "a//b"),
        ("/a", "/a"),
        ("a/../b/./c", "a/../b/./c"),
        ("a/", "a/"),
        ("a//", "a//"),
        ("%2Fa%2F", "/a/"),
        ("%2541", "%41"),
        ("a+b", "a+b"),
        ("%C3%A9", "é"),
        ("Ã©", "é"),  # sent as bytes, seen as latin-1
        ("%00%0A", "\0\n"),
    ],
)
def test_keys_are_exact(raw: str, key: str) -> None:
    request = HttpRequest("GET", f"/bucket/{raw}", "", {})
    operation = XML.operation_of(S3, request, b"")
    assert XML.decode(operation, request, b"") == {"Bucket": "bucket", "Key": key}


@given(st.text(min_size=1).filter(lambda text: text.isprintable() or True))
def test_any_key_comes_back(key: str) -> None:
    try:
        raw = quote(key, safe="/~")
    except UnicodeEncodeError:  # lone surrogates: no client can send them
        return
    request = HttpRequest("GET", f"/bucket/{raw}", "", {})
    operation = XML.operation_of(S3, request, b"")
    assert operation.name == "GetObject"
    assert XML.decode(operation, request, b"")["Key"] == key


# AWS: "Couldn't parse the specified URI."
@pytest.mark.parametrize("raw", ["%FF", "%C3", "\xff"])
def test_a_key_that_is_not_utf8_is_refused(raw: str) -> None:
    request = HttpRequest("GET", f"/bucket/{raw}", "", {})
    with pytest.raises(AwsError, match="InvalidURI"):
        XML.decode(S3.operations["GetObject"], request, b"")


# Labels of other services: ARNs arrive encoded in one segment, and literals win over labels.
def test_lambda_labels() -> None:
    codec, model = CODECS["rest-json"], load_service("lambda")
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
    request = HttpRequest("GET", f"/2015-03-31/functions/{quote(arn, safe='')}", "Qualifier=1", {})
    operation = codec.operation_of(model, request, b"")
    assert operation.name == "GetFunction"
    assert codec.decode(operation, request, b"") == {"FunctionName": arn, "Qualifier": "1"}
    assert codec.operation_of(model, HttpRequest("GET", "/2015-03-31/functions/", "", {}), b"").name == "ListFunctions"


# What is to be streamed reaches the handler as it is; small payloads are there as bytes, or not at all.
def test_payloads() -> None:
    body = object()
    request = HttpRequest("PUT", "/b/k", "", {"x-amz-meta-a": "1", "content-type": "text/plain"})
    read = XML.decode(S3.operations["PutObject"], request, body)
    assert read["Body"] is body
    assert read["Metadata"] == {"a": "1"}
    assert XML.decode(S3.operations["PutObject"], request, b"")["Body"] == b""
    invoke = load_service("lambda").operations["Invoke"]
    request = HttpRequest("POST", "/2015-03-31/functions/f/invocations", "", {})
    assert CODECS["rest-json"].decode(invoke, request, b"") == {"FunctionName": "f"}
    assert CODECS["rest-json"].decode(invoke, request, b"{}") == {"FunctionName": "f", "Payload": b"{}"}
