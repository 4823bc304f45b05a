"""What each operation needs to be allowed: action, resource and the condition keys that the input holds.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html

Left out: s3:ExistingObjectTag, which would need the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.service import Access
from unkai.services.s3 import arns, tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import AccessRule

_HEADERS = {
    "ACL": "s3:x-amz-acl",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "s3:x-amz-storage-class",
    "WebsiteRedirectLocation": "s3:x-amz-website-redirect-location",
    "CopySource": "s3:x-amz-copy-source",
    "MetadataDirective": "s3:x-amz-metadata-directive",
    "GrantFullControl": "s3:x-amz-grant-full-control",
    "GrantRead": "s3:x-amz-grant-read",
    "GrantWrite": "s3:x-amz-grant-write",
    "VersionId": "s3:VersionId",
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "ObjectOwnership": "s3:x-amz-object-ownership",
    "IfMatch": "s3:if-match",
    "IfNoneMatch": "s3:if-none-match",
}
_NUMBERS = {"MaxKeys": "s3:max-keys", "MaxUploads": "s3:max-keys"}


def context(ctx: Ctx, inp: dict[str, Any]) -> dict[str, str | Sequence[str]]:
    """The condition keys that one request's input holds."""
    found: dict[str, str | Sequence[str]] = {key: inp[name] for name, key in _HEADERS.items() if name in inp}
    found |= {key: str(inp[name]) for name, key in _NUMBERS.items() if name in inp}
    if "Tagging" in inp:
        given = inp["Tagging"]
        named = tags.from_header(given) if isinstance(given, str) else {t["Key"]: t["Value"] for t in given["TagSet"]}
        found["s3:RequestObjectTagKeys"] = tuple(named)
        found |= {f"s3:RequestObjectTag/{name}": value for name, value in named.items()}
    constraint = inp.get("CreateBucketConfiguration", {}).get("LocationConstraint")
    if constraint is not None:
        found["s3:LocationConstraint"] = constraint
    return found


def on_bucket(action: str) -> AccessRule:
    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        return (Access(action, arns.bucket_arn(ctx, inp), context(ctx, inp)),)

    return rule


def on_object(action: str) -> AccessRule:
    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        return (Access(action, arns.object_arn(ctx, inp), context(ctx, inp)),)

    return rule


def on_version(action: str, versioned: str) -> AccessRule:
    """`action`, or `versioned` where a version is named."""

    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        needed = versioned if "VersionId" in inp else action
        return (Access(needed, arns.object_arn(ctx, inp), context(ctx, inp)),)

    return rule


def put_object(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """Tags with the object need their own right. https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging-and-policies.html"""
    arn, keys = arns.object_arn(ctx, inp), context(ctx, inp)
    needed = [Access("s3:PutObject", arn, keys)]
    if "Tagging" in inp:
        needed.append(Access("s3:PutObjectTagging", arn, keys))
    return needed


def copy_object(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """The right to write here and to read there."""
    bucket, key, version = arns.copy_source(inp["CopySource"])
    needed = list(put_object(ctx, {name: value for name, value in inp.items() if name != "VersionId"}))
    read = "s3:GetObjectVersion" if version else "s3:GetObject"
    needed.append(Access(read, arns.arn_of(bucket, key), {"s3:VersionId": version} if version else {}))
    return needed


def delete_objects(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """The right to delete each of the keys."""
    return [
        Access(
            "s3:DeleteObjectVersion" if "VersionId" in each else "s3:DeleteObject",
            arns.arn_of(inp["Bucket"], each["Key"]),
            {"s3:VersionId": each["VersionId"]} if "VersionId" in each else {},
        )
        for each in inp["Delete"]["Objects"]
    ]


def attributes(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html"""
    arn, suffix = arns.object_arn(ctx, inp), "Version" if "VersionId" in inp else ""
    keys = context(ctx, inp)
    return (Access(f"s3:GetObject{suffix}", arn, keys), Access(f"s3:GetObject{suffix}Attributes", arn, keys))
