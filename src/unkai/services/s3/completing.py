"""Completing a multipart upload: the parts become an object where they lie; not a byte is copied.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.errors import AwsError
from unkai.services.s3 import (
    bodies,
    buckets,
    checksums,
    conditions,
    encryption,
    errors,
    expiration,
    keys,
    limits,
    multipart,
    notifications,
    reading,
    rows,
    versions,
)
from unkai.services.s3.objects import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.s3.rows import BucketRow, ObjectRow, PartRow, UploadRow
    from unkai.store.api import Tx

Part = tuple[int, "PartRow"]


async def complete_multipart_upload(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """One transaction; an effect because a customer's key must not cross processes."""
    conditions.check_write_headers(inp)
    encryption.customer_key(inp)
    out: dict[str, Any] = await node.run(ctx, complete, without_secrets(inp))
    return out


async def complete(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    asked = inp.get("MultipartUpload", {}).get("Parts", [])
    if not asked:
        raise errors.malformed_xml()
    key = inp["Key"].encode()
    try:
        upload_id, upload = await multipart.load(tx, bucket, inp)
    except AwsError:
        done = await _completed_before(tx, bucket, inp)
        if done is None:
            raise
        return await _shown(ctx, tx, bucket, inp, done)
    if "IfNoneMatch" in inp or "IfMatch" in inp:
        conditions.check_write(inp, await versions.current(tx, bucket, key))
    stored = dict(await reading.parts_of(tx, upload_id))
    chosen = _chosen(inp["UploadId"], upload, asked, stored)
    for number in stored.keys() - {number for number, _ in chosen}:
        bodies.drop_content(ctx, tx, stored[number].source, stored[number].data)
        tx.clear(keys.part(upload_id, number))

    row = _object_of(ctx, inp, upload_id, upload, chosen)
    await multipart.end(ctx, tx, bucket, key, upload_id)
    row = await versions.push(ctx, tx, bucket, key, row)
    await notifications.announce(ctx, tx, bucket, "ObjectCreated:CompleteMultipartUpload", inp["Key"], row)
    return await _shown(ctx, tx, bucket, inp, row)


async def _completed_before(tx: Tx, bucket: BucketRow, inp: Mapping[str, Any]) -> ObjectRow | None:
    """The object, where this upload has just become the current one: a client that lost the answer asks again."""
    row = await versions.current(tx, bucket, inp["Key"].encode())
    if row is not None and row.source == rows.PARTS and multipart.to_text(row.data) == inp["UploadId"]:
        return row
    return None


def _chosen(
    text: str, upload: UploadRow, asked: Sequence[Mapping[str, Any]], stored: Mapping[int, PartRow]
) -> list[Part]:
    """The parts that the client lists, each compared with what was uploaded."""
    numbers = [each.get("PartNumber", 0) for each in asked]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise errors.invalid_part_order(text)
    chosen: list[Part] = []
    for each, number in zip(asked, numbers, strict=True):
        row, etag = stored.get(number), each.get("ETag", "")
        if row is None or etag.strip('"') != row.etag:
            raise errors.invalid_part(text, number, etag.strip('"'))
        given = checksums.of_part(each)
        if any(row.checksums.get(name) != value for name, value in given.items()):
            raise errors.invalid_part(text, number, etag.strip('"'))
        if upload.checksum_type == checksums.COMPOSITE and upload.algorithm not in given:
            raise errors.invalid_request(
                f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {number} in the request."
            )
        chosen.append((number, row))
    for number, row in chosen[:-1]:
        if row.size < limits.PART_SIZE_BYTES_MIN:
            raise errors.entity_too_small(row.size, number, row.etag)
    return chosen


def _object_of(ctx: Ctx, inp: Mapping[str, Any], upload_id: bytes, upload: UploadRow, chosen: list[Part]) -> ObjectRow:
    size = sum(row.size for _, row in chosen)
    if inp.get("MpuObjectSize", size) != size:
        raise errors.invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {inp['MpuObjectSize']} does not match what was computed: {size}"
        )
    digest = hashlib.md5(usedforsecurity=False)
    for _, row in chosen:
        digest.update(bytes.fromhex(row.etag))
    sums, kind = _whole_checksum(inp, upload, chosen)
    files = [row.data for _, row in chosen if row.source == rows.BLOB]
    return msgspec.structs.replace(
        upload.head,
        size=size,
        etag=f"{digest.hexdigest()}-{len(chosen)}",
        source=rows.PARTS,
        data=upload_id,
        checksums=sums,
        checksum_type=kind,
        parts=len(chosen),
        guard=files[0] if files else b"",
    )


def _whole_checksum(inp: Mapping[str, Any], upload: UploadRow, chosen: list[Part]) -> tuple[dict[str, str], str]:
    """The object's checksum from those of its parts, and which kind it is; compared with what the client expects."""
    name = upload.algorithm or checksums.DEFAULT
    kind = upload.checksum_type or checksums.FULL_OBJECT
    if inp.get("ChecksumType", kind) != kind:
        raise errors.invalid_request(
            f"The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode."
        )
    if any(name not in row.checksums for _, row in chosen):
        return {}, kind
    if kind == checksums.FULL_OBJECT:
        whole = checksums.full_object(name, [(row.checksums[name], row.size) for _, row in chosen])
    else:
        whole = checksums.composite(name, [row.checksums[name] for _, row in chosen])
    for given, value in checksums.declared_whole(inp).items():
        expected = whole if "-" in value else whole.partition("-")[0]
        if given == name and value != expected:
            raise errors.bad_checksum(given)
    return {name: whole}, kind


async def _shown(ctx: Ctx, tx: Tx, bucket: BucketRow, inp: Mapping[str, Any], row: ObjectRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Location": f"{ctx.base_url}/{bucket.name}/{inp['Key']}",
        "Bucket": bucket.name,
        "Key": inp["Key"],
        "ETag": f'"{row.etag}"',
        **checksums.shown(row.checksums, row.checksum_type),
        **encryption.shown(row.sse, None),
    }
    if bucket.versioning == versions.ENABLED:
        out["VersionId"] = row.version
    if "lifecycle" in bucket.has:
        out |= await expiration.shown(tx, bucket, inp["Key"], row)
    return out
