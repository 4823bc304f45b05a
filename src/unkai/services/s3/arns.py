"""Which bucket and object an operation's input names, and who owns them.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html#amazons3-resources-for-iam-policies
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from unkai.services.s3 import errors

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx

_PREFIX = "arn:aws:s3:::"


def bucket_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return _PREFIX + str(inp["Bucket"])


def object_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return f"{_PREFIX}{inp['Bucket']}/{inp['Key']}"


def arn_of(bucket: str, key: str = "") -> str:
    return f"{_PREFIX}{bucket}/{key}" if key else _PREFIX + bucket


def bucket_of(arn: str) -> str:
    """The bucket's name in a bucket's or object's ARN."""
    return arn.removeprefix(_PREFIX).partition("/")[0]


def canonical_id(account: str) -> str:
    """The id by which S3 names an account in owners and grants: 64 hex digits, as AWS's are."""
    return hashlib.sha256(b"unkai canonical user " + account.encode()).hexdigest()


def owner(account: str) -> dict[str, str]:
    return {"ID": canonical_id(account)}


def copy_source(text: str) -> tuple[str, str, str]:
    """Bucket, key and version id (or empty) of an x-amz-copy-source header: `/bucket/key?versionId=...`, percent-encoded."""
    path, _, query = text.partition("?versionId=")
    path = unquote_plus(path.replace("+", "%2B")).removeprefix("/")
    if path.startswith("arn:"):
        raise errors.invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    bucket, slash, key = path.partition("/")
    if not slash or not bucket or not key:
        raise errors.invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", text
        )
    return bucket, key, query
