"""SigV4 against botocore's signers, AWS's published examples, and clients that mean harm."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import random
from unittest import mock
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from unkai.auth import sigv4
from unkai.auth.claim import parse
from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = sigv4.Keys("AKIDEXAMPLE", SECRET)
NOW_MS = 1_440_938_160_000  # 20150830T123600Z
NOW = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check(
    request: HttpRequest, body: bytes = b"", *, now_ms: int = NOW_MS, secret: str = SECRET, service: str = ""
) -> None:
    claim = parse(request, service)
    assert claim is not None
    # The key id is not signed: another id leads to another secret, or to none.
    secret = secret if claim.access_key_id in ("AKIDEXAMPLE", "AKIAIOSFODNN7EXAMPLE") else "none"
    sigv4.verify(claim, request, secret, (now_ms,), sha256(body))


def refused(request: HttpRequest, body: bytes = b"", **how: object) -> AwsError:
    with pytest.raises(AwsError) as caught:
        check(request, body, **how)  # type: ignore[arg-type]
    return caught.value


def signed_by_botocore(
    signer: str, service: str, method: str, url: str, headers: dict[str, str], body: bytes
) -> HttpRequest:
    """What botocore would send."""
    aws = AWSRequest(method=method, url=url, headers=headers, data=body)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW):
        getattr(botocore.auth, signer)(Credentials("AKIDEXAMPLE", SECRET, "tok/en=="), service, "us-east-1").add_auth(
            aws
        )
    split = urlsplit(aws.url)
    sent = {name.lower(): value for name, value in aws.headers.items()}
    sent.setdefault("host", split.netloc)
    return HttpRequest(method, split.path, split.query, sent, body)


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html: iam ListUsers, whose signature AWS
# published step by step.
def test_published_example_iam() -> None:
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    check(HttpRequest("GET", "/", "Action=ListUsers&Version=2010-05-08", headers), secret=secret)


S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
S3_NOW_MS = 1_369_353_600_000
S3_SCOPE = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
@pytest.mark.parametrize(
    ("method", "path", "query", "extra", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            "",
            {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            "",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
                "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            },
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            "lifecycle",
            {"x-amz-content-sha256": EMPTY},
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            "max-keys=2&prefix=J",
            {"x-amz-content-sha256": EMPTY},
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_published_examples_s3(
    method: str, path: str, query: str, extra: dict[str, str], body: bytes, signature: str
) -> None:
    headers = {"host": "examplebucket.s3.amazonaws.com", "x-amz-date": "20130524T000000Z", **extra}
    names = ";".join(sorted(headers))
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={S3_SCOPE},SignedHeaders={names},Signature={signature}"
    check(HttpRequest(method, path, query, headers, body), body, now_ms=S3_NOW_MS, secret=S3_SECRET)


# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
def presigned_example() -> HttpRequest:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    return HttpRequest("GET", "/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"})


def test_published_example_presigned() -> None:
    check(presigned_example(), now_ms=S3_NOW_MS + 86_400_000)


# An expired presigned URL names when it expired, which is what people read first. Either clock may find it timely.
def test_presigned_expiry() -> None:
    error = refused(presigned_example(), now_ms=S3_NOW_MS + 86_401_000)
    assert (error.code, error.message, error.status) == ("AccessDenied", "Request has expired", 403)
    assert error.members == {
        "X-Amz-Expires": 86400,
        "Expires": "2013-05-25T00:00:00Z",
        "ServerTime": "2013-05-25T00:00:01Z",
    }
    claim = parse(presigned_example())
    assert claim is not None
    sigv4.verify(claim, presigned_example(), SECRET, (S3_NOW_MS + 86_401_000, S3_NOW_MS), None)
    assert refused(presigned_example(), now_ms=S3_NOW_MS - 901_000).message == "Request is not yet valid"


TEXT = "abcXYZ012 -._~/+%&=:@!$'()*,;?#[]é☃"


def random_request(rng: random.Random, service: str) -> tuple[str, str, dict[str, str], bytes]:
    """A request as botocore may be asked to sign it: encoded path and query, headers with odd spaces, any body."""

    def word(low: int = 0) -> str:
        return "".join(rng.choice(TEXT) for _ in range(rng.randint(low, 8)))

    path = "/" + "/".join(quote(word(), safe="~") for _ in range(rng.randint(0, 4)))
    if service != "s3" and rng.random() < 0.3:
        path += rng.choice(["/./a", "/../b", "//c", "/.", "/.."])
    query = "&".join(f"{quote(word(1), safe='-_.~')}={quote(word(), safe='-_.~')}" for _ in range(rng.randint(0, 4)))
    headers = {f"x-amz-meta-{index}": f" a  {rng.randint(0, 9)}, b " for index in range(rng.randint(0, 3))}
    headers["content-type"] = "application/x-amz-json-1.0"
    port = rng.choice(["", ":4566"])
    url = f"http://127.0.0.1{port}{path}" + (f"?{query}" if query else "")
    return rng.choice(["GET", "PUT", "POST", "DELETE"]), url, headers, rng.randbytes(rng.randint(0, 30))


# botocore is the oracle: whatever it signs must verify, for both encodings, in the header and in the query.
@pytest.mark.parametrize(
    ("signer", "service"),
    [("SigV4Auth", "lambda"), ("S3SigV4Auth", "s3"), ("S3SigV4QueryAuth", "s3"), ("SigV4QueryAuth", "execute-api")],
)
def test_agrees_with_botocore(signer: str, service: str) -> None:
    rng = random.Random(signer)
    for _ in range(500):
        method, url, headers, body = random_request(rng, service)
        if "Query" in signer:
            body = b""
        request = signed_by_botocore(signer, service, method, url, headers, body)
        check(request, body, service=service)


# What we sign ourselves, botocore's rules accept too: both sides compute the same signature.
def test_sign_equals_botocore() -> None:
    rng = random.Random(7)
    for _ in range(100):
        method, url, headers, body = random_request(rng, "s3")
        theirs = signed_by_botocore("S3SigV4Auth", "s3", method, url, headers, body)
        keys = sigv4.Keys("AKIDEXAMPLE", SECRET, "tok/en==")
        bare = {name: value for name, value in theirs.headers.items() if name in headers or name == "host"}
        request = HttpRequest(method, theirs.path, theirs.query, bare, body)
        ours = sigv4.sign(keys, request, service="s3", region="us-east-1", now_ms=NOW_MS)
        assert ours["authorization"] == theirs.headers["authorization"]


def test_presign_verifies() -> None:
    bare = HttpRequest("GET", "/b/k", "partNumber=1", {"host": "127.0.0.1:4566"})
    query = sigv4.presign(KEYS, bare, service="s3", region="eu-west-1", now_ms=NOW_MS, expires_s=60)
    check(HttpRequest("GET", "/b/k", query, bare.headers), now_ms=NOW_MS + 60_000)


def sample(service: str = "dynamodb") -> tuple[HttpRequest, bytes]:
    body = b'{"TableName":"t"}'
    headers = {"host": "127.0.0.1:4566", "x-amz-target": "DynamoDB_20120810.GetItem", "x-amz-meta": "a b"}
    request = HttpRequest("POST", "/a/b", "x=1&y=2", headers, body)
    headers.update(sigv4.sign(KEYS, request, service=service, region="us-east-1", now_ms=NOW_MS))
    return request, body


# The property that all else rests on: change any one byte of what was signed, and the request is refused.
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["dynamodb", "s3"]), st.data())
def test_any_changed_byte_is_refused(service: str, data: st.DataObject) -> None:
    request, body = sample(service)
    check(request, body)
    names = ["method", "path", "query", "body", *(name for name in request.headers)]
    part = data.draw(st.sampled_from(names))
    old = body.decode() if part == "body" else request.headers.get(part) or getattr(request, part)
    at = data.draw(st.integers(0, len(old) - 1))
    # Letters, digits and marks; a space beside a space would fold away and mean the same.
    byte = data.draw(st.sampled_from("abcdefXYZ0123456789-_.~$%/;=").filter(lambda c: c != old[at]))
    new = old[:at] + byte + old[at + 1 :]
    if part == "body":
        body = new.encode()
    elif part in request.headers:
        request.headers[part] = new
    else:
        setattr(request, part, new)
    if part == "path" and service == "dynamodb" and new.replace("//", "/") in ("/a/b", "/a/b/"):
        return
    with pytest.raises(AwsError):
        check(request, body)


# Whoever relays a request could add x-amz-acl to it; S3 refuses headers of its own that were not signed.
def test_unsigned_amz_headers() -> None:
    request, body = sample("s3")
    request.headers["x-amz-acl"] = "public-read"
    error = refused(request, body)
    assert (error.code, error.members["HeadersNotSigned"]) == ("AccessDenied", "x-amz-acl")
    request, body = sample("dynamodb")
    authorization = request.headers["authorization"].replace(";x-amz-target", "")
    request.headers["authorization"] = authorization
    assert refused(request, body).code == "IncompleteSignatureException"


# Repeated headers are joined by a bare comma, whatever the front door joined them with.
def test_repeated_headers() -> None:
    headers = {"host": "h", "x-amz-meta": "a, b"}
    raw = [(b"Host", b"h"), (b"X-Amz-Meta", b" a"), (b"x-amz-meta", b"b ")]
    signed = HttpRequest("GET", "/", "", {"host": "h", "x-amz-meta": "a,b"})
    added = sigv4.sign(KEYS, signed, service="dynamodb", region="r", now_ms=NOW_MS)
    check(HttpRequest("GET", "/", "", {**headers, **added}, raw_headers=raw))


# Five minutes for most services, fifteen for S3, STS and IAM, by whichever clock is nearer; the words are AWS's.
def test_clock_skew() -> None:
    request, body = sample("dynamodb")
    check(request, body, now_ms=NOW_MS + 300_000)
    error = refused(request, body, now_ms=NOW_MS + 301_000)
    assert error.code == "InvalidSignatureException"
    assert (
        error.message
        == "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    )
    error = refused(request, body, now_ms=NOW_MS - 301_000)
    assert error.message == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    )
    claim = parse(request)
    assert claim is not None
    sigv4.verify(claim, request, SECRET, (NOW_MS + 10**9, NOW_MS), sha256(body))
    request, body = sample("s3")
    check(request, body, now_ms=NOW_MS + 900_000)
    error = refused(request, body, now_ms=NOW_MS + 901_000)
    assert error.code == "RequestTimeTooSkewed"
    assert error.members["MaxAllowedSkewMilliseconds"] == 900_000


def test_mismatch_wording() -> None:
    request, body = sample("dynamodb")
    error = refused(request, body, secret="other")
    assert error.code == "InvalidSignatureException"
    assert "\n\nThe Canonical String for this request should have been\n'POST\n/a/b\nx=1&y=2\n" in error.message
    request, body = sample("s3")
    error = refused(request, body, secret="other")
    assert error.code == "SignatureDoesNotMatch"
    assert error.members["StringToSignBytes"].startswith("41 57 53 34 2d")
    assert error.members["CanonicalRequest"].startswith("POST\n/a/b\n")


def test_s3_body_other_than_declared() -> None:
    request, _ = sample("s3")
    error = refused(request, b"other")
    assert error.code == "XAmzContentSHA256Mismatch"
    assert error.members["S3ComputedContentSHA256"] == sha256(b"other")


@pytest.mark.parametrize(
    ("service", "authorization", "code", "words"),
    [
        ("s3", "AWS AKID:sig", "InvalidRequest", "Please use AWS4-HMAC-SHA256."),
        ("s3", "Basic x", "InvalidArgument", "Unsupported Authorization Type"),
        (
            "s3",
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host,Signature=0",
            "AuthorizationHeaderMalformed",
            "mal-formed",
        ),
        ("s3", "AWS4-HMAC-SHA256 SignedHeaders=host,Signature=0", "AuthorizationHeaderMalformed", "missing Credential"),
        ("sqs", "Bearer x", "IncompleteSignatureException", "requires 'Credential' parameter."),
        (
            "iam",
            "AWS4-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=0",
            "IncompleteSignature",
            "exactly 5 slash-delimited",
        ),
        (
            "iam",
            "AWS4-HMAC-SHA256 Credential=a/20150830/r/sqs/aws4_request,SignedHeaders=host,Signature=0",
            "SignatureDoesNotMatch",
            "scoped to correct service: 'iam'",
        ),
        (
            "iam",
            "AWS4-HMAC-SHA256 Credential=a/20150831/r/iam/aws4_request,SignedHeaders=host,Signature=0",
            "SignatureDoesNotMatch",
            "'20150831' != '20150830'",
        ),
        (
            "iam",
            "AWS4-HMAC-SHA256 Credential=a/20150830/r/iam/aws4_request,SignedHeaders=x,Signature=0",
            "IncompleteSignature",
            "'Host' or ':authority' must be",
        ),
        ("iam", "AWS4-ECDSA-P256-SHA256 Credential=a,SignedHeaders=host,Signature=0", "NotImplemented", "SigV4a"),
    ],
)
def test_malformed_headers(service: str, authorization: str, code: str, words: str) -> None:
    headers = {
        "host": "h",
        "authorization": authorization,
        "x-amz-date": "20150830T123600Z",
        "x-amz-content-sha256": EMPTY,
    }
    error = refused(HttpRequest("GET", "/", "", headers), service=service)
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("X-Amz-Expires=86400", "X-Amz-Expires=604801"), "must be less than a week"),
        (("X-Amz-Expires=86400", "X-Amz-Expires=-1"), "must be non-negative"),
        (("X-Amz-Expires=86400", "X-Amz-Expires=x"), "should be a number"),
        (("X-Amz-Expires=86400", ""), "requires the X-Amz-Algorithm"),
        (("20130524T000000Z", "20130524"), "must be in the ISO8601 Long Format"),
        (("AWS4-HMAC-SHA256", "MD5"), "X-Amz-Algorithm only supports"),
        (("%2Faws4_request", ""), "the Credential is mal-formed"),
    ],
)
def test_malformed_queries(change: tuple[str, str], words: str) -> None:
    request = presigned_example()
    request.query = request.query.replace(*change)
    error = refused(request, service="s3")
    assert error.code == "AuthorizationQueryParametersError"
    assert words in error.message


def test_anonymous() -> None:
    assert parse(HttpRequest("GET", "/b/k", "list-type=2", {"host": "h"})) is None


# Whatever is sent as a signature, the answer is AWS's refusal or nobody: never anything else.
@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=40),
    st.sampled_from(["Credential", "SignedHeaders", "Signature", "Date", "Expires", "Algorithm", "Content-Sha256"]),
    st.sampled_from(["s3", "iam", "lambda"]),
    st.booleans(),
)
def test_never_fails_otherwise(text: str, part: str, service: str, in_query: bool) -> None:
    fields = {
        "Algorithm": "AWS4-HMAC-SHA256",
        "Credential": f"AKIDEXAMPLE/20150830/r/{service}/aws4_request",
        "Date": "20150830T123600Z",
        "Expires": "60",
        "SignedHeaders": "host",
        "Signature": "0",
    }
    fields[part] = fields.get(part, "") + text if part != "Expires" else text
    headers = {"host": "h", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    query = "&".join(f"X-Amz-{name}={quote(value)}" for name, value in fields.items()) if in_query else ""
    if not in_query:
        latin = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in fields.items()}
        rest = ",".join(f"{name}={latin[name]}" for name in ("Credential", "SignedHeaders", "Signature"))
        headers |= {"authorization": f"{latin['Algorithm']} {rest}", "x-amz-date": latin["Date"]}
    with contextlib.suppress(AwsError):
        check(HttpRequest("GET", "/\xff%", f"a=%ff%zz&\xe9&{query}", headers), service=service)
