"""Writing and deleting objects. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.services.s3 import (
    bodies,
    buckets,
    checksums,
    conditions,
    encryption,
    errors,
    expiration,
    limits,
    notifications,
    rows,
    tags,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx, Tx

CONTENT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
)
DEFAULT_TYPE = "binary/octet-stream"
_LOCKING = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus", "ObjectLockEventHold")


def without_secrets(inp: Mapping[str, Any]) -> dict[str, Any]:
    """The input as it may cross processes: no body, no customer's key."""
    return {name: value for name, value in inp.items() if name != "Body" and name not in encryption.SECRETS}


def check_head(inp: Mapping[str, Any]) -> None:
    """Refuse, before a byte of the body is taken in, what PutObject and CreateMultipartUpload refuse."""
    size = len(inp["Key"].encode())
    if size > limits.KEY_SIZE_BYTES_MAX:
        raise errors.key_too_long(size)
    metadata = inp.get("Metadata", {})
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > limits.METADATA_SIZE_BYTES_MAX:
        raise errors.metadata_too_large(size)
    if any(name in inp for name in _LOCKING):
        raise errors.invalid_request("Bucket is missing Object Lock Configuration")
    buckets.check_acl(dict(inp))
    encryption.check_sse(inp)
    if "WriteOffsetBytes" in inp:
        raise errors.lacking("appending to objects")


def head_row(ctx: Ctx, inp: Mapping[str, Any], key: bytes | None) -> ObjectRow:
    """A row with all that an object has besides its bytes."""
    headers = {name: inp[name] for name in CONTENT_HEADERS if name in inp}
    if "aws-chunked" in headers.get("ContentEncoding", ""):
        # `aws-chunked` was the framing of the transfer, not of the object.
        kept = [each.strip() for each in headers["ContentEncoding"].split(",") if each.strip() != "aws-chunked"]
        headers["ContentEncoding"] = ",".join(kept)
        if not kept:
            del headers["ContentEncoding"]
    headers.setdefault("ContentType", DEFAULT_TYPE)
    return rows.ObjectRow(
        version="",
        order=0,
        modified_ms=ctx.now_ms,
        headers=headers,
        metadata=inp.get("Metadata", {}),
        storage_class=inp.get("StorageClass", "STANDARD"),
        key=encryption.remembered(ctx, key) if key is not None else None,
        sse="" if key is not None else "AES256",
        tags=tags.from_header(inp["Tagging"]) if "Tagging" in inp else {},
    )


async def put_object(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Take the body in, then one transaction. If the process dies in between, recovery removes the body's file."""
    check_head(inp)
    conditions.check_write_headers(inp)
    key = encryption.customer_key(inp)
    body = inp.get("Body", b"")
    facts = without_secrets(inp)
    if not isinstance(body, bytes):
        # A large body is not worth taking in for a bucket that is not there.
        await node.run(ctx, check_target, facts)
    head = head_row(ctx, inp, key)
    stored = await bodies.store(ctx, node, body, inp, key=key)
    facts |= {"Head": rows.encode(head), "Stored": stored.facts}
    out: dict[str, Any] = await stored.commit(node, node.run(ctx, put, facts))
    return out


async def check_target(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> None:
    bucket = await buckets.load(ctx, tx, inp)
    if "IfNoneMatch" in inp or "IfMatch" in inp:
        conditions.check_write(inp, await versions.current(tx, bucket, inp["Key"].encode()))


async def put(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The writing transaction of PutObject: `Head` is the row without its bytes, `Stored` says where those are."""
    bucket = await buckets.load(ctx, tx, inp)
    row = await write_version(ctx, tx, bucket, inp, "Put")
    out: dict[str, Any] = {"ETag": f'"{row.etag}"', **encryption.shown(row.sse, row.key)}
    out |= checksums.shown(row.checksums, row.checksum_type)
    if bucket.versioning == versions.ENABLED:
        out["VersionId"] = row.version
    if "lifecycle" in bucket.has:
        out |= await expiration.shown(tx, bucket, inp["Key"], row)
    return out


async def write_version(ctx: Ctx, tx: Tx, bucket: BucketRow, inp: Mapping[str, Any], event: str) -> ObjectRow:
    """Make the object that `Head` and `Stored` describe the newest version of `Key`, and tell who wants to know."""
    key = inp["Key"].encode()
    if "IfNoneMatch" in inp or "IfMatch" in inp:
        conditions.check_write(inp, await versions.current(tx, bucket, key))
    stored = inp["Stored"]
    source, data = bodies.put_content(ctx, tx, stored)
    head = rows.decode_object(inp["Head"])
    row = rows.ObjectRow(
        version="",
        order=0,
        modified_ms=ctx.now_ms,
        size=stored["Size"],
        etag=stored["ETag"],
        source=source,
        data=data,
        nonce=stored["Nonce"],
        headers=head.headers,
        metadata=head.metadata,
        storage_class=head.storage_class,
        checksums=stored["Checksums"],
        sse=head.sse,
        key=head.key,
        tags=head.tags,
    )
    row = await versions.push(ctx, tx, bucket, key, row)
    await notifications.announce(ctx, tx, bucket, f"ObjectCreated:{event}", inp["Key"], row)
    return row


# --- deleting


async def delete_object(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    return await delete_one(ctx, tx, bucket, inp)


async def delete_one(ctx: Ctx, tx: Tx, bucket: BucketRow, inp: Mapping[str, Any]) -> dict[str, Any]:
    """Without a version id: the object goes, or a delete marker comes. With one: that version goes for good.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html
    """
    key: bytes = inp["Key"].encode()
    if len(key) > limits.KEY_SIZE_BYTES_MAX:
        raise errors.key_too_long(len(key))
    version_id = inp.get("VersionId")
    if version_id is not None:
        return await _delete_version(ctx, tx, bucket, inp, key, version_id)
    row = await versions.current(tx, bucket, key)
    conditions.check_delete(inp, row)
    if bucket.versioning:
        marker = rows.ObjectRow("", 0, ctx.now_ms, source=rows.DELETE_MARKER, sse="")
        marker = await versions.push(ctx, tx, bucket, key, marker)
        await notifications.announce(ctx, tx, bucket, "ObjectRemoved:DeleteMarkerCreated", inp["Key"], marker)
        return {"DeleteMarker": True, "VersionId": marker.version}
    if row is not None:
        await versions.remove(ctx, tx, bucket, key, row, is_current=True)
        await notifications.announce(ctx, tx, bucket, "ObjectRemoved:Delete", inp["Key"], row)
    return {}


async def _delete_version(
    ctx: Ctx, tx: Tx, bucket: BucketRow, inp: Mapping[str, Any], key: bytes, version_id: str
) -> dict[str, Any]:
    if version_id != versions.NULL and versions.order_of(version_id) is None:
        raise errors.invalid_argument("Invalid version id specified", "versionId", version_id)
    found = await versions.find(tx, bucket, key, version_id)
    conditions.check_delete(inp, found[0] if found else None)
    if found is None:
        return {"VersionId": version_id}
    row, is_current = found
    await versions.remove(ctx, tx, bucket, key, row, is_current)
    await notifications.announce(ctx, tx, bucket, "ObjectRemoved:Delete", inp["Key"], row)
    out: dict[str, Any] = {"VersionId": version_id}
    if row.source == rows.DELETE_MARKER:
        out["DeleteMarker"] = True
    return out


async def delete_objects(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Up to 1,000 keys in one transaction; each fails or succeeds for itself."""
    bucket = await buckets.load(ctx, tx, inp)
    asked = inp["Delete"]["Objects"]
    if not 0 < len(asked) <= limits.DELETE_MAX:
        raise errors.malformed_xml()
    deleted: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for each in asked:
        named = {name: each[name] for name in ("Key", "VersionId") if name in each}
        one = dict(named)
        for given, taken in (
            ("ETag", "IfMatch"),
            ("LastModifiedTime", "IfMatchLastModifiedTime"),
            ("Size", "IfMatchSize"),
        ):
            if given in each:
                one[taken] = each[given]
        try:
            out = await delete_one(ctx, tx, bucket, one)
        except AwsError as error:
            failed.append({**named, "Code": error.code, "Message": error.message})
            continue
        if out.get("DeleteMarker"):
            named |= {"DeleteMarker": True, "DeleteMarkerVersionId": out["VersionId"]}
        deleted.append(named)
    answer: dict[str, Any] = {}
    if deleted and not inp["Delete"].get("Quiet"):
        answer["Deleted"] = deleted
    if failed:
        answer["Errors"] = failed
    return answer
