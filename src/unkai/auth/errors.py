"""What a client reads when its signature is refused. S3 has its own codes and members; JSON and query services differ in names.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Literal

from unkai.kernel.clock import format_utc
from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
ASYMMETRIC = "AWS4-ECDSA-P256-SHA256"
CREDENTIAL_MAX_CHARS = 512

Dialect = Literal["s3", "json", "rest", "query"]
"""Who words a refusal: S3, a JSON-RPC service, a REST-JSON service, or one that answers in XML."""

S3_SERVICES = frozenset({"s3", "s3express", "s3-object-lambda", "s3-outposts"})
_XML_SERVICES = frozenset(
    {"iam", "sts", "sns", "cloudformation", "cloudfront", "route53", "ec2", "elasticloadbalancing"}
)

# What query and REST-XML services call an error, and what JSON services call the same one.
_JSON_CODES = {
    "IncompleteSignature": "IncompleteSignatureException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "ExpiredToken": "ExpiredTokenException",
}

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)

_MALFORMED = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'


def dialect_of(request: HttpRequest, service: str) -> Dialect:
    """How the service that the request addresses words its refusals."""
    if service in S3_SERVICES:
        return "s3"
    sent = request.headers
    if "x-amz-target" in sent or "smithy-protocol" in sent:
        return "json"
    form = "application/x-www-form-urlencoded" in sent.get("content-type", "")
    return "query" if form or service in _XML_SERVICES or "Action=" in request.query else "rest"


def refusal(dialect: Dialect, code: str, message: str) -> AwsError:
    """A refusal of a service other than S3. `code` is the query protocol's; JSON services have longer names."""
    assert dialect != "s3"
    if dialect == "query":
        return AwsError(code, message, status=400 if code == "IncompleteSignature" else 403)
    # JSON-RPC services answer 400 to all that the client could have done better, REST-JSON ones 403.
    return AwsError(_JSON_CODES[code], message, status=400 if dialect == "json" else 403)


def s3_refusal(code: str, message: str, status: int, **members: Any) -> AwsError:
    return AwsError(code, message, members=members, status=status)


def incomplete(dialect: Dialect, message: str, authorization: str) -> AwsError:
    """The header lacks a part. AWS shows a hash of it, so that a secret sent by mistake is not echoed."""
    digest = b64encode(hashlib.sha256(authorization.encode("latin-1", "replace")).digest()).decode()
    return refusal(
        dialect,
        "IncompleteSignature",
        f"{message} (Hashed with SHA-256 and encoded with Base64) Authorization={digest}",
    )


def header_malformed(message: str, **members: Any) -> AwsError:
    text = f"The authorization header is malformed; {message}"
    return s3_refusal("AuthorizationHeaderMalformed", text, 400, **members)


def wrong_region(given: str, expected: str) -> AwsError:
    """S3 names the region that would have been right; SDKs read `Region` and sign again."""
    return header_malformed(f"the region '{given}' is wrong; expecting '{expected}'", Region=expected)


def query_malformed(message: str) -> AwsError:
    return s3_refusal("AuthorizationQueryParametersError", message, 400)


def two_mechanisms() -> AwsError:
    message = (
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the "
        "Authorization header should be specified"
    )
    return AwsError("InvalidArgument", message, members={"ArgumentName": "Authorization"}, status=400)


def incomplete_query(dialect: Dialect, given: dict[str, str]) -> AwsError:
    needed = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date", "Expires")
    lacking = [f"X-Amz-{name}" for name in needed if not given.get(f"X-Amz-{name}")]
    sentences = [f"AWS query-string parameters must include '{name}'." for name in lacking]
    return refusal(dialect, "IncompleteSignature", " ".join(sentences) + " Re-examine the query-string parameters.")


def bad_credential(dialect: Dialect, credential: str, *, presigned: bool) -> AwsError:
    if dialect == "s3":
        if presigned:
            return query_malformed(f"Error parsing the X-Amz-Credential parameter; {_MALFORMED}")
        return header_malformed(_MALFORMED)
    message = (
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
        f"got '{credential[:CREDENTIAL_MAX_CHARS]}'"
    )
    return refusal(dialect, "IncompleteSignature", message)


def bad_date(dialect: Dialect, stamp: str) -> AwsError:
    if dialect == "s3":
        return s3_refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403)
    message = f"Date must be in ISO-8601 'basic format'. Got '{stamp[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601."
    return refusal(dialect, "IncompleteSignature", message)


def no_sigv4a() -> AwsError:
    message = f"unkai does not verify SigV4a ({ASYMMETRIC}) signatures. Use {ALGORITHM}."
    return AwsError("NotImplemented", message, sender_fault=False, status=501)


def unknown_access_key(dialect: Dialect, access_key_id: str) -> AwsError:
    if dialect == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        return s3_refusal("InvalidAccessKeyId", message, 403, AWSAccessKeyId=access_key_id)
    return refusal(dialect, "InvalidClientTokenId", "The security token included in the request is invalid.")


def invalid_token(dialect: Dialect, token: str) -> AwsError:
    """The session token is not the one that was given out with these credentials."""
    if dialect == "s3":
        message = "The provided token is malformed or otherwise invalid."
        return AwsError("InvalidToken", message, members={"Token-0": token}, status=400)
    return refusal(dialect, "InvalidClientTokenId", "The security token included in the request is invalid.")


def expired_token(dialect: Dialect, token: str) -> AwsError:
    if dialect == "s3":
        return AwsError("ExpiredToken", "The provided token has expired.", members={"Token-0": token}, status=400)
    return refusal(dialect, "ExpiredToken", "The security token included in the request is expired")


def missing_token(dialect: Dialect) -> AwsError:
    """An anonymous call to a service that serves none. (S3 refuses by policy instead.)"""
    if dialect == "s3":
        return s3_refusal("AccessDenied", "Access Denied", 403)
    return refusal(dialect, "MissingAuthenticationToken", "Request is missing Authentication Token")


def mismatch(dialect: Dialect, access_key_id: str, given: str, canonical: bytes, to_sign: bytes) -> AwsError:
    """The signature is wrong. The canonical strings hold nothing that the client did not send itself."""
    shown, string = canonical.decode("utf-8", "replace"), to_sign.decode("utf-8", "replace")
    if dialect == "s3":
        members = {
            "AWSAccessKeyId": access_key_id,
            "StringToSign": string,
            "SignatureProvided": given,
            "StringToSignBytes": to_sign.hex(" "),
        }
        if canonical:  # chunks and forms have none
            members |= {"CanonicalRequest": shown, "CanonicalRequestBytes": canonical.hex(" ")}
        return s3_refusal("SignatureDoesNotMatch", _S3_MISMATCH, 403, **members)
    details = (
        f"The Canonical String for this request should have been\n'{shown}'\n\n"
        f"The String-to-Sign should have been\n'{string}'\n"
    )
    return refusal(dialect, "SignatureDoesNotMatch", f"{MISMATCH}\n\n{details}")


def payload_mismatch(declared: str, computed: str) -> AwsError:
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return s3_refusal(
        "XAmzContentSHA256Mismatch",
        message,
        400,
        ClientComputedContentSHA256=declared,
        S3ComputedContentSHA256=computed,
    )


def skewed(dialect: Dialect, stamp: str, signed_ms: int, now_ms: int, allowed_s: int) -> AwsError:
    """The request was signed too long ago, or too far ahead."""
    if dialect == "s3":
        return s3_refusal(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            403,
            RequestTime=stamp,
            ServerTime=iso_seconds(now_ms),
            MaxAllowedSkewMilliseconds=allowed_s * 1000,
        )
    now, minutes = amz_date(now_ms), allowed_s // 60
    if signed_ms < now_ms:
        bound = amz_date(now_ms - allowed_s * 1000)
        text = f"Signature expired: {stamp} is now earlier than {bound} ({now} - {minutes} min.)"
    else:
        bound = amz_date(now_ms + allowed_s * 1000)
        text = f"Signature not yet current: {stamp} is still later than {bound} ({now} + {minutes} min.)"
    return refusal(dialect, "SignatureDoesNotMatch", text)


def presigned_expired(dialect: Dialect, stamp: str, expires_s: int, expires_ms: int, now_ms: int) -> AwsError:
    if dialect == "s3":
        members = {
            "X-Amz-Expires": expires_s,
            "Expires": iso_seconds(expires_ms),
            "ServerTime": iso_seconds(now_ms),
        }
        return AwsError("AccessDenied", "Request has expired", members=members, status=403)
    bound = amz_date(now_ms - expires_s * 1000)
    text = f"Signature expired: {stamp} is now earlier than {bound} ({amz_date(now_ms)} - {expires_s} sec.)"
    return refusal(dialect, "SignatureDoesNotMatch", text)


def presigned_too_early(
    dialect: Dialect, stamp: str, signed_ms: int, expires_ms: int, now_ms: int, allowed_s: int
) -> AwsError:
    if dialect == "s3":
        # The raw milliseconds are what S3 really answers here.
        members = {
            "X-Amz-Date": signed_ms,
            "Expires": iso_seconds(expires_ms),
            "ServerTime": iso_seconds(now_ms),
        }
        return AwsError("AccessDenied", "Request is not yet valid", members=members, status=403)
    return skewed(dialect, stamp, signed_ms, now_ms, allowed_s)


def amz_date(ms: int) -> str:
    return format_utc(ms, "%Y%m%dT%H%M%SZ")


def iso_seconds(ms: int) -> str:
    return format_utc(ms, "%Y-%m-%dT%H:%M:%SZ")
