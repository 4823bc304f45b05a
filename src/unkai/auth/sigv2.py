"""Signature Version 2 for S3's presigned URLs and browser forms, because boto3 still makes those by default.

Headers signed this way are refused; every SDK signs them with version 4. The signature covers method, path, expiry, the
subresources of the query and the x-amz- headers, not the host: so the bucket that routing took from the host must come in from
there, or a URL for one bucket would open another.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from unkai.auth import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.auth.claim import Claim
    from unkai.kernel.http import HttpRequest

# The query parameters that choose what a request is about, and so are signed.
_SIGNED_PARAMETERS = frozenset(
    {
        *(
            "accelerate",
            "acl",
            "analytics",
            "cors",
            "delete",
            "intelligent-tiering",
            "inventory",
            "lifecycle",
            "location",
        ),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId"),
        *("versioning", "versions", "website", "response-cache-control", "response-content-disposition"),
        *("response-content-encoding", "response-content-language", "response-content-type", "response-expires"),
    }
)


def parameters(query: str) -> dict[str, str]:
    """AWSAccessKeyId, Signature and Expires, where the query has all that version 2 needs; otherwise nothing."""
    if "Signature=" not in query or "AWSAccessKeyId=" not in query:
        return {}
    pairs = (part.partition("=") for part in query.split("&"))
    found = {name: unquote_plus(value, "latin-1") for name, _, value in pairs}
    return found if {"AWSAccessKeyId", "Signature", "Expires"} <= found.keys() else {}


def signature(secret: str, text: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()


def strings_to_sign(request: HttpRequest, expires: str, host_bucket: str) -> list[bytes]:
    """What may have been signed: for a bucket alone, signers write `/b/` where they send `/b`, and the two mean the same."""
    path = f"/{host_bucket}{request.path}" if host_bucket else request.path
    paths = [path] if "/" in path[1:] else [path, f"{path}/"]
    return [_string_to_sign(request, expires, each) for each in paths]


def _string_to_sign(request: HttpRequest, expires: str, path: str) -> bytes:
    # Bytes travel as latin-1 text throughout, so that what was signed as UTF-8 comes out as the same bytes.
    # Signers move the headers that they sign into the query; what is sent as a header goes before that.
    sent = {**_moved_headers(request.query), **request.headers}
    custom = "".join(f"{name}:{sent[name].strip()}\n" for name in sorted(sent) if name.startswith("x-amz-"))
    head = f"{request.method}\n{sent.get('content-md5', '')}\n{sent.get('content-type', '')}\n{expires}\n"
    return f"{head}{custom}{path}{_resource_query(request.query)}".encode("latin-1", "replace")


def _moved_headers(query: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in query.split("&"))
    named = {name.lower(): unquote_plus(value, "latin-1") for name, _, value in pairs}
    return {
        name: value
        for name, value in named.items()
        if name.startswith("x-amz-") or name in ("content-md5", "content-type")
    }


def _resource_query(query: str) -> str:
    pairs = sorted(part.partition("=") for part in query.split("&"))
    signed = [
        f"{name}={unquote(value, 'latin-1')}" if equals else name
        for name, equals, value in pairs
        if name in _SIGNED_PARAMETERS
    ]
    return f"?{'&'.join(signed)}" if signed else ""


def verify(claim: Claim, request: HttpRequest, secret: str, now_ms_values: Sequence[int], host_bucket: str) -> None:
    """Return where the presigned URL is good and has not expired by either clock; raise AwsError otherwise."""
    if min(now_ms_values) > claim.signed_ms:
        members = {"Expires": errors.iso_seconds(claim.signed_ms), "ServerTime": errors.iso_seconds(now_ms_values[0])}
        raise errors.s3_refusal("AccessDenied", "Request has expired", 403, **members)
    given = claim.signature.encode("latin-1", "replace")
    texts = strings_to_sign(request, claim.stamp, host_bucket)
    if not any(hmac.compare_digest(signature(secret, text).encode(), given) for text in texts):
        raise errors.mismatch("s3", claim.access_key_id, claim.signature, b"", texts[0])
