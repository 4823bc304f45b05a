"""AWS Signature Version 4: verifying what a client signed, and signing what we send.

Pure: the secret, the time and the body's digest come in as arguments. A signature proves that the sender holds the secret and
that method, path, query, signed headers and (as the payload kind says) body are as signed. What it does not prove, the caller
checks: that the key exists and is active, that the session token belongs to it, that the region is served.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from unkai.auth import canonical, errors, sigv2
from unkai.auth.claim import TERMINATOR, UNSIGNED, Claim, skew_s
from unkai.auth.errors import ALGORITHM
from unkai.kernel.http import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.errors import AwsError

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@lru_cache(maxsize=1024)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day, region and service. Cached, since deriving it costs four times what using it does."""
    key = hmac.digest(b"AWS4" + secret.encode(), day.encode(), "sha256")
    key = hmac.digest(key, region.encode(), "sha256")
    key = hmac.digest(key, service.encode(), "sha256")
    return hmac.digest(key, TERMINATOR.encode(), "sha256")


def verify(
    claim: Claim,
    request: HttpRequest,
    secret: str,
    now_ms_values: Sequence[int],
    body_sha256: str | None,
    *,
    host_bucket: str = "",
) -> None:
    """Return where `request` carries a good signature made with `secret`; raise AwsError otherwise.

    `now_ms_values` are real and node time: a request is timely if it is by either. `body_sha256` is the hex digest of the
    body; it may be None unless `claim.payload` is "body". For "declared" with None the caller compares the digest with
    `claim.content_sha256` when it has read the body, and raises `errors.payload_mismatch`. `host_bucket` is the S3 bucket
    that routing found in the host name, "" where it is in the path.
    """
    if claim.version == "v2":
        return sigv2.verify(claim, request, secret, now_ms_values, host_bucket)
    _check_time(claim, now_ms_values)
    _check_signed(claim, request)
    content = claim.content_sha256
    if claim.payload == "body":
        assert body_sha256 is not None, "this service's signatures cover the body"
        content = body_sha256
    text = _canonical_request(claim, request, content)
    if text is None:
        raise _lacks_header(claim, request)
    to_sign = string_to_sign(claim.stamp, claim.day, claim.region, claim.service, text)
    key = signing_key(secret, claim.day, claim.region, claim.service)
    expected = hmac.digest(key, to_sign, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1", "replace")):
        raise errors.mismatch(claim.dialect, claim.access_key_id, claim.signature, text, to_sign)
    if claim.payload == "declared" and body_sha256 is not None and body_sha256 != content.lower():
        raise errors.payload_mismatch(content, body_sha256)


def string_to_sign(stamp: str, day: str, region: str, service: str, canonical_request: bytes) -> bytes:
    digest = hashlib.sha256(canonical_request).hexdigest()
    return f"{ALGORITHM}\n{stamp}\n{day}/{region}/{service}/{TERMINATOR}\n{digest}".encode()


def _canonical_request(claim: Claim, request: HttpRequest, content: str) -> bytes | None:
    """The canonical request as bytes, or None where a signed header was not sent."""
    lines = canonical.headers(request, claim.signed_headers)
    if lines is None:
        return None
    path = canonical.path_once(request.path) if claim.dialect == "s3" else canonical.path_twice(request.path)
    query = canonical.query(request.query, without="X-Amz-Signature" if claim.presigned else "")
    return f"{request.method}\n{path}\n{query}\n{lines}\n{';'.join(claim.signed_headers)}\n{content}".encode("latin-1")


def _check_time(claim: Claim, now_ms_values: Sequence[int]) -> None:
    """Refuse what is timely by none of the clocks; the first clock is the one that the refusal speaks of."""
    assert now_ms_values, "at least one clock"
    allowed_s = skew_s(claim.service)
    ahead_ms = behind_ms = allowed_s * 1000
    if claim.expires_s is not None:
        behind_ms = claim.expires_s * 1000
    for now_ms in now_ms_values:
        if -behind_ms <= claim.signed_ms - now_ms <= ahead_ms:
            return
    now_ms = now_ms_values[0]
    if claim.expires_s is None:
        raise errors.skewed(claim.dialect, claim.stamp, claim.signed_ms, now_ms, allowed_s)
    expires_ms = claim.signed_ms + behind_ms
    if claim.signed_ms < now_ms:
        raise errors.presigned_expired(claim.dialect, claim.stamp, claim.expires_s, expires_ms, now_ms)
    raise errors.presigned_too_early(claim.dialect, claim.stamp, claim.signed_ms, expires_ms, now_ms, allowed_s)


def _check_signed(claim: Claim, request: HttpRequest) -> None:
    """Headers that change what a request means must be signed, or whoever relays it could add them."""
    names = claim.signed_headers
    if claim.dialect != "s3":
        if "x-amz-target" in request.headers and "x-amz-target" not in names:
            message = "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."
            raise errors.incomplete(claim.dialect, message, request.headers.get("authorization", ""))
        return
    unsigned = [
        name
        for name in request.headers
        # x-amz-content-sha256 stands in the canonical request itself.
        if name.startswith("x-amz-") and name not in names and name != "x-amz-content-sha256"
    ]
    if unsigned:
        message = "There were headers present in the request which were not signed"
        raise errors.s3_refusal("AccessDenied", message, 403, HeadersNotSigned=", ".join(unsigned))


def _lacks_header(claim: Claim, request: HttpRequest) -> AwsError:
    """A header was signed and did not arrive: show the canonical request as if it had been empty."""
    sent = {**dict.fromkeys(claim.signed_headers, ""), **request.headers}
    filled = HttpRequest(request.method, request.path, request.query, sent, raw_headers=request.raw_headers)
    text = _canonical_request(claim, filled, claim.content_sha256 or EMPTY_SHA256)
    assert text is not None
    to_sign = string_to_sign(claim.stamp, claim.day, claim.region, claim.service, text)
    return errors.mismatch(claim.dialect, claim.access_key_id, claim.signature, text, to_sign)


@dataclass(frozen=True, slots=True)
class Keys:
    """What we sign with. `session_token` is "" for long-term keys."""

    access_key_id: str
    secret: str
    session_token: str = ""


def sign(
    keys: Keys, request: HttpRequest, *, service: str, region: str, now_ms: int, content_sha256: str | None = None
) -> dict[str, str]:
    """The headers to add to `request` so that its receiver can verify it. All headers it has are signed.

    `content_sha256` is the body's hex digest, or for S3 a payload kind; by default it is computed from a body in bytes.
    """
    if content_sha256 is None:
        assert isinstance(request.body, bytes), "a streamed body needs its digest given"
        content_sha256 = hashlib.sha256(request.body).hexdigest()
    added = {"x-amz-date": errors.amz_date(now_ms)}
    if service in errors.S3_SERVICES:
        added["x-amz-content-sha256"] = content_sha256
    if keys.session_token:
        added["x-amz-security-token"] = keys.session_token
    sent = {name: value for name, value in request.headers.items() if name not in _NEVER_SIGNED} | added
    names = tuple(sorted(sent))
    assert "host" in names, "the receiver refuses a request whose host is not signed"
    whole = HttpRequest(request.method, request.path, request.query, sent, raw_headers=request.raw_headers)
    claim = _own_claim(keys, service, region, added["x-amz-date"], names, None, content_sha256)
    signature = _signature(claim, whole, keys.secret)
    scope = f"{keys.access_key_id}/{claim.day}/{region}/{service}/{TERMINATOR}"
    added["authorization"] = f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return added


def presign(keys: Keys, request: HttpRequest, *, service: str, region: str, now_ms: int, expires_s: int) -> str:
    """The query of `request` with a signature in it. Signs the host alone, so that any client can send it."""
    stamp = errors.amz_date(now_ms)
    parameters: Mapping[str, str] = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key_id}/{stamp[:8]}/{region}/{service}/{TERMINATOR}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": keys.session_token} if keys.session_token else {}),
    }
    own = "&".join(f"{name}={quote(value, safe='-._~')}" for name, value in parameters.items())
    query = f"{request.query}&{own}" if request.query else own
    content = UNSIGNED if service in errors.S3_SERVICES else EMPTY_SHA256
    claim = _own_claim(keys, service, region, stamp, ("host",), expires_s, content)
    whole = HttpRequest(request.method, request.path, query, {"host": request.headers["host"]})
    return f"{query}&X-Amz-Signature={_signature(claim, whole, keys.secret)}"


_NEVER_SIGNED = frozenset(
    {"connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id", "authorization"}
)


def _own_claim(
    keys: Keys, service: str, region: str, stamp: str, names: tuple[str, ...], expires_s: int | None, content: str
) -> Claim:
    dialect: errors.Dialect = "s3" if service in errors.S3_SERVICES else "rest"
    token = keys.session_token
    return Claim(
        dialect, keys.access_key_id, stamp[:8], region, service, stamp, 0, names, "", token, expires_s, "body", content
    )


def _signature(claim: Claim, request: HttpRequest, secret: str) -> str:
    text = _canonical_request(claim, request, claim.content_sha256)
    assert text is not None
    to_sign = string_to_sign(claim.stamp, claim.day, claim.region, claim.service, text)
    return hmac.digest(signing_key(secret, claim.day, claim.region, claim.service), to_sign, "sha256").hex()
