"""Multipart uploads: made, filled, listed, aborted. Their parts become the object as they are (see completing.py).

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from unkai.layers import longkeys
from unkai.layers.tasks import add_task
from unkai.services.s3 import (
    arns,
    bodies,
    buckets,
    checksums,
    encryption,
    errors,
    keys,
    limits,
    listing,
    rows,
    versions,
)
from unkai.services.s3.objects import check_head, head_row, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.s3.listing import Entry, Order
    from unkai.services.s3.rows import BucketRow, UploadRow
    from unkai.store.api import ReadTx, Tx


def to_text(upload_id: bytes) -> str:
    return base64.urlsafe_b64encode(upload_id).decode()


def from_text(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != keys.UPLOAD_ID_SIZE_BYTES:
        raise errors.no_such_upload(text)
    return raw


async def load(tx: ReadTx, bucket: BucketRow, inp: Mapping[str, Any]) -> tuple[bytes, UploadRow]:
    """The upload that the input names. Raises NoSuchUpload."""
    upload_id = from_text(inp["UploadId"])
    value = await longkeys.get(tx, keys.uploads(bucket.id), keys.upload(inp["Key"].encode(), upload_id))
    if value is None:
        raise errors.no_such_upload(inp["UploadId"])
    return upload_id, rows.decode_upload(value)


async def create_multipart_upload(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """One transaction; an effect because a customer's key must not cross processes."""
    check_head(inp)
    key = encryption.customer_key(inp)
    head = head_row(ctx, inp, key)
    algorithm = inp.get("ChecksumAlgorithm", "")
    kind = checksums.upload_type(algorithm, inp.get("ChecksumType", ""))
    facts = without_secrets(inp) | {"Head": rows.encode(head), "Algorithm": algorithm, "Type": kind}
    out: dict[str, Any] = await node.run(ctx, begin_upload, facts)
    return out


async def begin_upload(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    head = rows.decode_object(inp["Head"])
    row = rows.UploadRow(ctx.now_ms, ctx.caller.shown_arn, head, inp["Algorithm"], inp["Type"])
    upload_id = ctx.now_ms.to_bytes(6, "big") + ctx.ids.token(keys.UPLOAD_ID_SIZE_BYTES - 6)
    longkeys.put(tx, keys.uploads(bucket.id), keys.upload(inp["Key"].encode(), upload_id), rows.encode(row))
    out: dict[str, Any] = {
        "Bucket": bucket.name,
        "Key": inp["Key"],
        "UploadId": to_text(upload_id),
        **encryption.shown(head.sse, head.key),
    }
    if row.algorithm:
        out |= {"ChecksumAlgorithm": row.algorithm, "ChecksumType": row.checksum_type}
    return out


async def upload_part(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Take the part in, then one transaction. A death in between leaves a file that recovery removes."""
    check_number(inp["PartNumber"])
    key = encryption.customer_key(inp)
    facts = without_secrets(inp)
    algorithm = await expected_algorithm(ctx, node, facts, key)
    body = inp.get("Body", b"")
    stored = await bodies.store(ctx, node, body, inp, key=key, algorithm=algorithm or checksums.DEFAULT)
    out: dict[str, Any] = await stored.commit(node, node.run(ctx, put_part, facts | {"Stored": stored.facts}))
    return out


def check_number(number: int) -> None:
    if not 1 <= number <= limits.PART_NUMBER_MAX:
        raise errors.invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", str(number)
        )


async def expected_algorithm(ctx: Ctx, node: Node, facts: dict[str, Any], key: bytes | None) -> str:
    """What the parts of this upload are summed with; refuses a part for no upload, and one under another customer's key."""
    known = await node.run(ctx, look_at_upload, facts)
    stored = rows.Key(*known["Key"]) if known["Key"] else None
    if stored is not None and key is None:
        raise errors.invalid_request(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate "
            "encryption parameters."
        )
    if stored is not None and not encryption.is_key(stored, key or b""):
        raise errors.invalid_request("The provided encryption parameters did not match the ones used originally.")
    encryption.check_key(stored, key)
    asked = next(iter(checksums.declared(facts)), facts.get("ChecksumAlgorithm"))
    if known["Algorithm"] and asked and asked != known["Algorithm"]:
        raise errors.invalid_request(
            f"Checksum Type mismatch occurred, expected checksum Type: {known['Algorithm'].lower()}, "
            f"actual checksum Type: {asked.lower()}"
        )
    return str(known["Algorithm"])


async def look_at_upload(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    _, upload = await load(tx, bucket, inp)
    key = upload.head.key
    return {"Algorithm": upload.algorithm, "Key": (key.md5, key.salt, key.hash) if key is not None else None}


async def put_part(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The writing transaction of a part; one that was there under the same number is replaced."""
    bucket = await buckets.load(ctx, tx, inp)
    upload_id, upload = await load(tx, bucket, inp)
    key = keys.part(upload_id, inp["PartNumber"])
    before = await tx.get(key)
    if before is not None:
        old = rows.decode_part(before)
        bodies.drop_content(ctx, tx, old.source, old.data)
    stored = inp["Stored"]
    source, data = bodies.put_content(ctx, tx, stored)
    row = rows.PartRow(
        size=stored["Size"],
        etag=stored["ETag"],
        modified_ms=ctx.now_ms,
        source=source,
        data=data,
        nonce=stored["Nonce"],
        checksums=stored["Checksums"],
    )
    tx.set(key, rows.encode(row))
    first = next(iter(row.checksums))  # what the client sent, or what the upload asked for
    shown = {f"Checksum{first}": row.checksums[first]}
    return {"ETag": f'"{row.etag}"', **shown, **encryption.shown(upload.head.sse, upload.head.key)}


async def abort_multipart_upload(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    upload_id, upload = await load(tx, bucket, inp)
    expected = inp.get("IfMatchInitiatedTime")
    if expected is not None and expected // 1000 != upload.initiated_ms // 1000:
        raise errors.precondition_failed("x-amz-if-match-initiated-time")
    await end(ctx, tx, bucket, inp["Key"].encode(), upload_id)
    add_task(ctx, tx, versions.FREE_PARTS, upload_id)
    return {}


async def end(ctx: Ctx, tx: Tx, bucket: BucketRow, key: bytes, upload_id: bytes) -> None:
    """The upload is over; its parts are somebody else's now."""
    await longkeys.remove(tx, keys.uploads(bucket.id), keys.upload(key, upload_id))


# --- lists


async def list_parts(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    upload_id, upload = await load(tx, bucket, inp)
    limit, after = listing.page_size(inp, "MaxParts"), inp.get("PartNumberMarker", 0)
    begin, end = keys.parts(upload_id, max(0, min(after, limits.PART_NUMBER_MAX)))
    pairs = await tx.get_range(begin, end, limit=limit + 1)

    parts = []
    for key, value in pairs[:limit]:
        row = rows.decode_part(value)
        shown = {f"Checksum{name}": text for name, text in row.checksums.items() if name == upload.algorithm}
        parts.append(
            {
                "PartNumber": keys.part_number(key),
                "LastModified": listing.whole_seconds(row.modified_ms),
                "ETag": f'"{row.etag}"',
                "Size": row.size,
                **shown,
            }
        )
    out: dict[str, Any] = {
        "Bucket": bucket.name,
        "Key": inp["Key"],
        "UploadId": inp["UploadId"],
        "PartNumberMarker": after,
        "MaxParts": limit,
        "IsTruncated": len(pairs) > limit,
        "Initiator": {"ID": upload.initiator, "DisplayName": upload.initiator.rpartition("/")[2]},
        "Owner": arns.owner(bucket.account),
        "StorageClass": upload.head.storage_class,
        "NextPartNumberMarker": parts[-1]["PartNumber"] if parts else 0,
    }
    if parts:
        out["Parts"] = parts
    if upload.algorithm:
        out |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
    return out


async def list_multipart_uploads(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    limit, write = listing.page_size(inp, "MaxUploads"), listing.encoder(inp)
    prefix, delimiter = inp.get("Prefix", "").encode(), inp.get("Delimiter", "").encode()
    marker, id_marker = inp.get("KeyMarker", "").encode(), inp.get("UploadIdMarker", "")
    begin = keys.escaped(marker) + b"\xff" if marker else b""
    if marker and id_marker:
        begin = keys.upload(marker, from_text(id_marker)) + b"\0"
    page = listing.Page()
    if limit:
        read, skip = upload_reader(tx, bucket, prefix), listing.shown_before(marker, prefix, delimiter)
        page = await listing.collect(read, by_upload(), begin, prefix, delimiter, limit, skip)

    uploads = [_shown(write(key), name, row, bucket) for key, (name, row) in page.entries]
    out: dict[str, Any] = {
        "Bucket": bucket.name,
        "KeyMarker": write(marker),
        "UploadIdMarker": id_marker,
        "Prefix": write(prefix),
        "MaxUploads": limit,
        "IsTruncated": page.truncated,
        **listing.echo(inp, ("Delimiter",), write),
        **listing.common(page, write),
    }
    if uploads:
        out["Uploads"] = uploads
    if page.truncated:
        out["NextKeyMarker"] = write(page.last)
        if page.entries and page.entries[-1][0] == page.last:
            out["NextUploadIdMarker"] = uploads[-1]["UploadId"]
    return out


def _shown(key: str, upload_id: bytes, row: UploadRow, bucket: BucketRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Key": key,
        "UploadId": to_text(upload_id),
        "Initiated": listing.whole_seconds(row.initiated_ms),
        "StorageClass": row.head.storage_class,
        "Owner": arns.owner(bucket.account),
        "Initiator": {"ID": row.initiator, "DisplayName": row.initiator.rpartition("/")[2]},
    }
    if row.algorithm:
        out |= {"ChecksumAlgorithm": row.algorithm, "ChecksumType": row.checksum_type}
    return out


def by_upload() -> Order:
    return listing.Order(lambda key: keys.escaped(key)[:-1], lambda entry: keys.upload(entry[0], entry[1][0]) + b"\0")


def upload_reader(tx: ReadTx, bucket: BucketRow, prefix: bytes) -> Any:
    """Entries (key, (upload id, row)) in order of key and time."""
    end = listing.prefix_end(prefix)
    names_end = keys.escaped(end)[:-1] if end is not None else None

    async def read(begin: bytes, limit: int) -> tuple[list[Entry], bool]:
        page = await longkeys.page(tx, keys.uploads(bucket.id), begin, names_end, limit=limit)
        entries: list[Entry] = []
        for name, value in page:
            key, upload_id = keys.split(name, keys.UPLOAD_ID_SIZE_BYTES)
            entries.append((key, (upload_id, rows.decode_upload(value))))
        return entries, len(page) == limit

    return read
