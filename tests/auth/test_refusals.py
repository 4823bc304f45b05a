"""What is refused, and in which words: by S3, by JSON services and by query services."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from unkai.auth import errors, sigv4
from unkai.auth.claim import http_date_ms, parse
from unkai.auth.post_policy import parse_post, verify_post_policy
from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest

SECRET = "secret"
KEYS = sigv4.Keys("AKIDEXAMPLE", SECRET)
NOW_MS = 1_440_938_160_000
EMPTY = hashlib.sha256(b"").hexdigest()
SCOPE = "AKIDEXAMPLE/20150830/us-east-1"


# What the caller raises about keys and tokens, in each dialect.
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.unknown_access_key("s3", "AK"), "InvalidAccessKeyId", 403),
        (errors.unknown_access_key("json", "AK"), "UnrecognizedClientException", 400),
        (errors.unknown_access_key("rest", "AK"), "UnrecognizedClientException", 403),
        (errors.unknown_access_key("query", "AK"), "InvalidClientTokenId", 403),
        (errors.invalid_token("s3", "t"), "InvalidToken", 400),
        (errors.invalid_token("json", "t"), "UnrecognizedClientException", 400),
        (errors.expired_token("s3", "t"), "ExpiredToken", 400),
        (errors.expired_token("json", "t"), "ExpiredTokenException", 400),
        (errors.expired_token("query", "t"), "ExpiredToken", 403),
        (errors.missing_token("s3"), "AccessDenied", 403),
        (errors.missing_token("rest"), "MissingAuthenticationTokenException", 403),
        (errors.wrong_region("us-east-1", "eu-west-1"), "AuthorizationHeaderMalformed", 400),
    ],
)
def test_codes(error: AwsError, code: str, status: int) -> None:
    assert (error.code, error.status) == (code, status)


# SDKs read the region out of this refusal and sign again.
def test_wrong_region_names_the_right_one() -> None:
    error = errors.wrong_region("us-east-1", "eu-west-1")
    assert (
        error.message == "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'"
    )
    assert error.members == {"Region": "eu-west-1"}


@pytest.mark.parametrize(
    ("service", "headers", "query", "dialect"),
    [
        ("s3", {}, "", "s3"),
        ("dynamodb", {"x-amz-target": "x"}, "", "json"),
        ("monitoring", {"smithy-protocol": "rpc-v2-cbor"}, "", "json"),
        ("lambda", {}, "", "rest"),
        ("sqs", {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, "", "query"),
        ("sqs", {}, "Action=ListQueues", "query"),
        ("iam", {}, "", "query"),
    ],
)
def test_dialects(service: str, headers: dict[str, str], query: str, dialect: str) -> None:
    assert errors.dialect_of(HttpRequest("POST", "/", query, headers), service) == dialect


def check(request: HttpRequest, service: str = "", *, now_ms: int = NOW_MS) -> None:
    claim = parse(request, service)
    assert claim is not None
    sigv4.verify(claim, request, SECRET, (now_ms,), EMPTY)


def refused(request: HttpRequest, service: str = "") -> AwsError:
    with pytest.raises(AwsError) as caught:
        check(request, service)
    return caught.value


def header(service: str, *, signed: str = "host", scope: str = "", **headers: str) -> HttpRequest:
    scope = scope or f"{SCOPE}/{service}/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={signed},Signature={'0' * 64}"
    sent = {"host": "h", "x-amz-date": "20150830T123600Z", "authorization": authorization}
    return HttpRequest(
        "GET", "/", "", sent | {name.replace("_", "-"): value for name, value in headers.items() if value}
    )


@pytest.mark.parametrize(
    ("request_", "service", "code", "words"),
    [
        (header("s3"), "s3", "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
        (header("s3", x_amz_content_sha256="x"), "s3", "InvalidArgument", "x-amz-content-sha256 must be"),
        (
            header("s3", x_amz_content_sha256="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
            "s3",
            "NotImplemented",
            "SigV4a",
        ),
        (
            header("s3", signed="date", x_amz_content_sha256="UNSIGNED-PAYLOAD"),
            "s3",
            "AuthorizationHeaderMalformed",
            "'host'",
        ),
        (header("s3", signed="x;host"), "s3", "AuthorizationHeaderMalformed", "SignedHeaders"),
        (header("s3"), "sqs", "InvalidSignatureException", "scoped to correct service: 'sqs'"),
        (header("sqs"), "s3", "AuthorizationHeaderMalformed", 'incorrect service "sqs"'),
        (header("s3", scope=f"{SCOPE}/s3/aws5"), "s3", "AuthorizationHeaderMalformed", 'incorrect terminal "aws5"'),
        (
            header("s3", scope="A/20150831/r/s3/aws4_request"),
            "s3",
            "AuthorizationHeaderMalformed",
            "Invalid credential date",
        ),
        (header("sqs", scope=f"{SCOPE}/sqs/aws5"), "sqs", "InvalidSignatureException", "valid terminator"),
        (header("sqs", scope="A" * 600), "sqs", "IncompleteSignatureException", "exactly 5 slash-delimited"),
        (
            header("sqs", x_amz_date="20150830T256100Z"),
            "sqs",
            "IncompleteSignatureException",
            "Date must be in ISO-8601",
        ),
        (header("s3", x_amz_date="20150230T000000Z"), "s3", "AccessDenied", "requires a valid Date"),
        (header("sqs", signed="host;x-gone"), "sqs", "InvalidSignatureException", "x-gone:\n"),
        (
            header("s3", signed="host;x-gone", x_amz_content_sha256="UNSIGNED-PAYLOAD"),
            "s3",
            "AccessDenied",
            "not signed",
        ),
    ],
)
def test_headers(request_: HttpRequest, service: str, code: str, words: str) -> None:
    error = refused(request_, service)
    assert error.code == code
    assert words in error.message


def test_header_without_a_date() -> None:
    request = header("s3")
    del request.headers["x-amz-date"]
    assert "requires a valid Date" in refused(request, "s3").message
    request = header("sqs")
    request.headers["x-amz-date"] = ""
    assert "either a 'X-Amz-Date' or a 'Date' header" in refused(request, "sqs").message
    request.headers["date"] = "Sun, 30 Aug 2015 12:36:00 GMT"
    assert refused(request, "sqs").message.startswith("The request signature we calculated does not match")


def test_header_of_another_algorithm() -> None:
    request = header("sqs")
    request.headers["authorization"] = request.headers["authorization"].replace("AWS4-HMAC-SHA256", "AWS3")
    assert "Unsupported AWS 'algorithm': 'AWS3'." in refused(request, "sqs").message


# The parts of the header may come in any order.
def test_header_in_another_order() -> None:
    request = HttpRequest("GET", "/", "", {"host": "h"})
    request.headers |= sigv4.sign(KEYS, request, service="sqs", region="r", now_ms=NOW_MS)
    algorithm, _, rest = request.headers["authorization"].partition(" ")
    request.headers["authorization"] = f"{algorithm} {', '.join(reversed(rest.split(', ')))}"
    check(request)


def test_two_mechanisms() -> None:
    request = header("s3")
    request.query = "X-Amz-Signature=0"
    assert refused(request, "s3").message.startswith("Only one auth mechanism allowed")


def presigned(service: str, **change: str | None) -> HttpRequest:
    bare = HttpRequest("GET", "/", "", {"host": "h"})
    query = sigv4.presign(
        sigv4.Keys("AKIDEXAMPLE", SECRET, "tok"), bare, service=service, region="r", now_ms=NOW_MS, expires_s=60
    )
    pairs = dict(part.split("=") for part in query.split("&"))
    pairs |= {f"X-Amz-{name}": value for name, value in change.items() if value is not None}
    kept = [
        f"{name}={value}" for name, value in pairs.items() if change.get(name.removeprefix("X-Amz-"), "") is not None
    ]
    return HttpRequest("GET", "/", "&".join(kept), {"host": "h"})


@pytest.mark.parametrize(
    ("request_", "service", "code", "words"),
    [
        (presigned("sts", Algorithm="AWS4-ECDSA-P256-SHA256"), "sts", "NotImplemented", "SigV4a"),
        (presigned("sts", Algorithm="MD5"), "sts", "IncompleteSignature", "only supports"),
        (presigned("sts", Date=None), "sts", "IncompleteSignature", "'X-Amz-Date'"),
        (presigned("sts", Date="x"), "sts", "IncompleteSignature", "ISO-8601"),
        (presigned("sts", Credential="x"), "sts", "IncompleteSignature", "exactly 5"),
        (presigned("sts", Expires="x"), "sts", "IncompleteSignature", "should be a number"),
        (presigned("s3", SignedHeaders="date"), "s3", "AuthorizationQueryParametersError", "'host'"),
        (presigned("sts"), "s3", "AuthorizationQueryParametersError", 'incorrect service "sts"'),
        (presigned("s3", **{"Content-Sha256": "x"}), "s3", "InvalidArgument", "x-amz-content-sha256 must be"),
    ],
)
def test_queries(request_: HttpRequest, service: str, code: str, words: str) -> None:
    error = refused(request_, service)
    assert error.code == code
    assert words in error.message


# aws-sdk-go presigns STS requests without an expiry; they last as long as a header would.
def test_presigned_without_expiry() -> None:
    request = presigned("sts", Expires=None)
    claim = parse(request, "sts")
    assert claim is not None
    assert (claim.expires_s, claim.session_token) == (900, "tok")
    assert parse(HttpRequest("GET", "/", "X-Amz-Meta=1", {}), "sts") is None


def test_presigned_expiry_elsewhere() -> None:
    request = presigned("sts")
    with pytest.raises(AwsError, match="Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z"):
        check(request, "sts", now_ms=NOW_MS + 61_000)
    with pytest.raises(AwsError, match="Signature not yet current"):
        check(request, "sts", now_ms=NOW_MS - 901_000)
    check(request, "sts", now_ms=NOW_MS + 60_000)


def test_version_2_expiry_is_a_number() -> None:
    request = HttpRequest("GET", "/b/k", "AWSAccessKeyId=a&Signature=b&Expires=x", {})
    assert refused(request, "s3").message == "Invalid date (should be seconds since epoch): x"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("Sun, 30 Aug 2015 12:36:00 GMT", NOW_MS),
        ("20150830T123600Z", NOW_MS),
        ("Sun, 99 Aug 2015", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_http_dates(text: str, ms: int | None) -> None:
    assert http_date_ms(text) == ms


def form(document: Any, **change: str) -> dict[str, str]:
    """A form whose policy is signed, whatever it says."""
    text = document if isinstance(document, str) else base64.b64encode(json.dumps(document).encode()).decode()
    key = sigv4.signing_key(SECRET, "20150830", "us-east-1", "s3")
    return {
        "policy": text,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{SCOPE}/s3/aws4_request",
        "x-amz-date": "20150830T123600Z",
        "x-amz-signature": hmac.digest(key, text.encode(), "sha256").hex(),
    } | change


def check_form(fields: dict[str, str]) -> None:
    claim = parse_post(fields)
    assert claim is not None
    verify_post_policy(claim, fields, "b", SECRET, (NOW_MS,))


LATER = "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (form("AAAA"), "InvalidPolicyDocument", "Invalid JSON."),
        (form([]), "InvalidPolicyDocument", "Invalid JSON."),
        (form({"conditions": []}), "InvalidPolicyDocument", "Policy missing expiration."),
        (form({"expiration": "soon", "conditions": []}), "InvalidPolicyDocument", "Invalid 'expiration' value: 'soon'"),
        (form({"expiration": LATER}), "InvalidPolicyDocument", "Policy missing conditions."),
        (form({"expiration": LATER, "conditions": ["x"]}), "AccessDenied", 'Policy Condition failed: "x"'),
        (form({"expiration": LATER, "conditions": [["ne", "$key", "x"]]}), "AccessDenied", "Policy Condition failed"),
        (
            form({"expiration": LATER, "conditions": [["content-length-range", "a", 1]]}),
            "AccessDenied",
            "Policy Condition failed",
        ),
        (
            form({"expiration": LATER, "conditions": [["content-length-range", 1, "9" * 5000]]}),
            "AccessDenied",
            "Condition failed",
        ),
        (form("A" * 70_000), "InvalidPolicyDocument", "too long"),
        (form({}, **{"x-amz-algorithm": "MD5"}), "InvalidArgument", "only supports"),
        (form({}, **{"x-amz-credential": "x"}), "AuthorizationQueryParametersError", "mal-formed"),
    ],
)
def test_forms(fields: dict[str, str], code: str, words: str) -> None:
    with pytest.raises(AwsError) as caught:
        check_form(fields)
    assert caught.value.code == code
    assert words in caught.value.message
