"""If-Match, If-None-Match and their kin, on reads, copies and writes. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.s3 import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.services.s3.rows import ObjectRow


def matches(header: str, etag: str) -> bool:
    """Whether one of the entity tags in `header` is `etag`, or it is `*`."""
    if header.strip() == "*":
        return True
    return any(each.strip().removeprefix("W/").strip('"') == etag for each in header.split(","))


def check_read(inp: Mapping[str, Any], row: ObjectRow) -> None:
    """Raises PreconditionFailed or NotModified. A tag that matches outweighs a date, as RFC 9110 section 13.2.2 says."""
    modified_s = row.modified_ms // 1000
    if "IfMatch" in inp:
        if not matches(inp["IfMatch"], row.etag):
            raise errors.precondition_failed("If-Match")
    elif "IfUnmodifiedSince" in inp and modified_s > inp["IfUnmodifiedSince"] // 1000:
        raise errors.precondition_failed("If-Unmodified-Since")
    if "IfNoneMatch" in inp:
        if matches(inp["IfNoneMatch"], row.etag):
            raise errors.not_modified(row.etag, row.modified_ms)
    elif "IfModifiedSince" in inp and modified_s <= inp["IfModifiedSince"] // 1000:
        raise errors.not_modified(row.etag, row.modified_ms)


def check_copy(inp: Mapping[str, Any], row: ObjectRow) -> None:
    """The same for the source of a copy, where every failure is PreconditionFailed."""
    modified_s = row.modified_ms // 1000
    if "CopySourceIfMatch" in inp:
        if not matches(inp["CopySourceIfMatch"], row.etag):
            raise errors.precondition_failed("x-amz-copy-source-If-Match")
    elif "CopySourceIfUnmodifiedSince" in inp and modified_s > inp["CopySourceIfUnmodifiedSince"] // 1000:
        raise errors.precondition_failed("x-amz-copy-source-If-Unmodified-Since")
    if "CopySourceIfNoneMatch" in inp:
        if matches(inp["CopySourceIfNoneMatch"], row.etag):
            raise errors.precondition_failed("x-amz-copy-source-If-None-Match")
    elif "CopySourceIfModifiedSince" in inp and modified_s <= inp["CopySourceIfModifiedSince"] // 1000:
        raise errors.precondition_failed("x-amz-copy-source-If-Modified-Since")


def check_write_headers(inp: Mapping[str, Any]) -> None:
    """S3 knows If-None-Match on writes only with `*`, and only one condition at a time."""
    if "IfNoneMatch" in inp and inp["IfNoneMatch"].strip() != "*":
        raise errors.header_not_implemented("If-None-Match")
    if "IfNoneMatch" in inp and "IfMatch" in inp:
        raise errors.header_not_implemented("If-Match, If-None-Match")


def check_write(inp: Mapping[str, Any], row: ObjectRow | None) -> None:
    """`row` is the current object, or None. Decided in the writing transaction, so no other write comes between."""
    if "IfNoneMatch" in inp and row is not None:
        raise errors.precondition_failed("If-None-Match")
    if "IfMatch" in inp:
        if row is None:
            raise errors.no_such_key(inp["Key"])
        if not matches(inp["IfMatch"], row.etag):
            raise errors.precondition_failed("If-Match")


def check_delete(inp: Mapping[str, Any], row: ObjectRow | None) -> None:
    """DeleteObject's conditions. Deleting what is not there succeeds, whatever is asked of it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
    """
    if row is None:
        return
    if "IfMatch" in inp and not matches(inp["IfMatch"], row.etag):
        raise errors.precondition_failed("If-Match")
    if "IfMatchSize" in inp and inp["IfMatchSize"] != row.size:
        raise errors.precondition_failed("x-amz-if-match-size")
    if "IfMatchLastModifiedTime" in inp and inp["IfMatchLastModifiedTime"] // 1000 != row.modified_ms // 1000:
        raise errors.precondition_failed("x-amz-if-match-last-modified-time")
