"""Browser uploads and version 2 presigned URLs, as boto3 makes them by default."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from unkai.auth import sigv4
from unkai.auth.claim import parse
from unkai.auth.post_policy import UploadLimits, parse_post, verify_post_policy
from unkai.kernel.clock import RealClock
from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def client(version: str, token: str | None = None) -> Any:
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:4566",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=SECRET,
        aws_session_token=token,
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="module", params=["s3", "s3v4"])
def s3(request: pytest.FixtureRequest) -> Any:
    return client(request.param)


def presigned(url: str, method: str = "GET", **headers: str) -> HttpRequest:
    split = urlsplit(url)
    return HttpRequest(method, split.path, split.query, {"host": split.netloc, **headers})


def check(request: HttpRequest, *, later_ms: int = 0, host_bucket: str = "") -> None:
    claim = parse(request, "s3")
    assert claim is not None
    assert claim.access_key_id == "AKIDEXAMPLE"
    sigv4.verify(claim, request, SECRET, (RealClock().real_ms() + later_ms,), None, host_bucket=host_bucket)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("get_object", {"Key": "a b/ü+(1).txt"}),
        ("get_object", {"Key": "k", "VersionId": "v", "ResponseContentDisposition": 'attachment; filename="é.txt"'}),
        ("list_objects_v2", {"Prefix": "a/b"}),
        ("upload_part", {"Key": "k", "UploadId": "u", "PartNumber": 3}),
    ],
)
def test_presigned_by_boto3(s3: Any, operation: str, parameters: dict[str, Any]) -> None:
    method = "PUT" if operation == "upload_part" else "GET"
    url = s3.generate_presigned_url(operation, Params={"Bucket": "b", **parameters}, ExpiresIn=60)
    check(presigned(url, method))
    with pytest.raises(AwsError, match="Request has expired"):
        check(presigned(url, method), later_ms=62_000)
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        check(presigned(url.replace("/b/", "/c/").replace("/b?", "/c?"), method))
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        check(presigned(url, "DELETE"))


# boto3's default for presigning is version 2. Headers that were signed travel in the query; none may be added.
def test_version_2_headers() -> None:
    s3 = client("s3", "to/ken==")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "b", "Key": "k", "ContentType": "text/plain"})
    assert "AWSAccessKeyId=" in url
    request = presigned(url, "PUT", **{"content-type": "text/plain"})
    check(request)
    claim = parse(request)
    assert claim is not None
    assert (claim.session_token, claim.region, claim.version) == ("to/ken==", "", "v2")
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        check(presigned(url, "PUT", **{"content-type": "text/html"}))
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        check(presigned(url, "PUT", **{"x-amz-acl": "public-read"}))


# The host is not signed in version 2, so a URL for /b/k must not open bucket "x" by the host name.
def test_version_2_bucket_in_the_host() -> None:
    url = client("s3").generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    split = urlsplit(url)
    check(HttpRequest("GET", "/k", split.query, {"host": "b.s3.localhost"}), host_bucket="b")
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        check(presigned(url), host_bucket="x")


def form(s3: Any, **more: Any) -> dict[str, str]:
    made = s3.generate_presigned_post("b", "up/${filename}", **more)
    return {name.lower(): value for name, value in made["fields"].items()} | {"key": "up/a.txt"}


def verify_form(fields: dict[str, str], *, later_ms: int = 0, bucket: str = "b") -> UploadLimits:
    claim = parse_post(fields)
    assert claim is not None
    return verify_post_policy(claim, fields, bucket, SECRET, (RealClock().real_ms() + later_ms,))


RANGE = {"Conditions": [["content-length-range", 1, 100], {"acl": "private"}], "Fields": {"acl": "private"}}


def test_form(s3: Any) -> None:
    fields = form(s3, **RANGE)
    assert verify_form(fields) == UploadLimits(1, 100)
    assert parse_post({"key": "x"}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acl": "public-read"}, 'Invalid according to Policy: Policy Condition failed: {"acl": "private"}'),
        ({"key": "other"}, 'Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "up/"]'),
        ({"x-amz-meta-a": "1"}, "Invalid according to Policy: Extra input fields: x-amz-meta-a"),
    ],
)
def test_form_conditions(s3: Any, change: dict[str, str], message: str) -> None:
    with pytest.raises(AwsError) as caught:
        verify_form(form(s3, **RANGE) | change)
    assert (caught.value.code, caught.value.message) == ("AccessDenied", message)


def test_form_expiry_bucket_and_forgery(s3: Any) -> None:
    fields = form(s3, ExpiresIn=60)
    verify_form(fields | {"x-ignore-me": "1"})
    with pytest.raises(AwsError, match="Policy expired"):
        verify_form(fields, later_ms=62_000)
    with pytest.raises(AwsError, match="Policy Condition failed"):
        verify_form(fields, bucket="c")
    policy = json.loads(base64.b64decode(fields["policy"]))
    policy["expiration"] = "2999-01-01T00:00:00Z"
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        verify_form(fields | {"policy": base64.b64encode(json.dumps(policy).encode()).decode()})


# A form with a policy that is signed in no way is refused, not taken as anonymous.
def test_form_without_signature(s3: Any) -> None:
    fields = {name: value for name, value in form(s3).items() if "signature" not in name}
    with pytest.raises(AwsError, match="Bucket POST must contain a field named"):
        parse_post(fields)
