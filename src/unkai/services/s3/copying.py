"""Copies, whole and as parts: the bytes are read as GetObject sends them and stored as PutObject stores them.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.ports import BlobMissing
from unkai.services.s3 import (
    arns,
    bodies,
    buckets,
    checksums,
    conditions,
    encryption,
    errors,
    limits,
    listing,
    multipart,
    ranges,
    reading,
    rows,
    versions,
)
from unkai.services.s3.objects import check_head, head_row, without_secrets, write_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.s3.bodies import Stored
    from unkai.store.api import ReadTx, Tx


async def copy_object(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Look at the source, stream it into place, commit. A death in between leaves a file that recovery removes."""
    check_head(inp)
    conditions.check_write_headers(inp)
    key = encryption.customer_key(inp)
    facts = without_secrets(inp)
    head = head_row(ctx, inp, key)
    source, stored = await _take_in(ctx, node, inp, facts, key)
    old = rows.decode_object(source["Row"])
    if inp.get("MetadataDirective", "COPY") == "COPY":
        redirect = {name: value for name, value in head.headers.items() if name == "WebsiteRedirectLocation"}
        kept = {name: value for name, value in old.headers.items() if name != "WebsiteRedirectLocation"}
        head = msgspec.structs.replace(head, headers=kept | redirect, metadata=old.metadata)
    if inp.get("TaggingDirective", "COPY") == "COPY":
        head = msgspec.structs.replace(head, tags=old.tags)
    facts |= {"Head": rows.encode(head), "Stored": stored.facts}
    out: dict[str, Any] = await stored.commit(node, node.run(ctx, put_copy, facts))
    return out | ({"CopySourceVersionId": source["Version"]} if source["Version"] else {})


async def _take_in(
    ctx: Ctx, node: Node, inp: Mapping[str, Any], facts: dict[str, Any], key: bytes | None, algorithm: str = ""
) -> tuple[dict[str, Any], Stored]:
    """What the source is, and its bytes (all, or CopySourceRange) stored again."""
    from_key = encryption.customer_key(inp, "CopySource")
    for _ in range(reading.LOOKS_MAX):
        source = await node.run(ctx, look_at_source, facts)
        old = rows.decode_object(source["Row"])
        encryption.check_key(old.key, from_key)
        try:
            body = bodies.open_body(node, source["Segments"], from_key, old.guard)
        except BlobMissing:
            await asyncio.sleep(reading.LOOK_PAUSE_S)
            continue
        asked = {"ChecksumAlgorithm": inp.get("ChecksumAlgorithm") or next(iter(old.checksums), "")}
        content = body if isinstance(body, bytes) else bodies.pieces_of(body)
        return source, await bodies.store(ctx, node, content, asked, key=key, algorithm=algorithm)
    raise errors.no_such_key(inp["CopySource"])


async def look_at_source(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Row, Segments and Version of what is to be copied; refuses what need not be read first."""
    await buckets.load(ctx, tx, inp)
    name, key, version = arns.copy_source(inp["CopySource"])
    bucket = await buckets.find(tx, name)
    if bucket is None:
        raise errors.no_such_bucket(name)
    if inp.get("ExpectedSourceBucketOwner", bucket.account) != bucket.account:
        raise errors.access_denied()
    row, _ = await versions.load(tx, bucket, key, version or None)
    conditions.check_copy(inp, row)
    if "PartNumber" not in inp and (name, key) == (inp["Bucket"], inp["Key"]) and not version and _changes_nothing(inp):
        raise errors.invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )
    if row.size > limits.PUT_SIZE_BYTES_MAX and "CopySourceRange" not in inp:
        raise errors.invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        )
    begin, end = 0, row.size
    if "CopySourceRange" in inp:
        begin, end = ranges.copy_span(inp["CopySourceRange"], row.size)
    segments = await reading.segments_of(tx, row, begin, end)
    small = msgspec.structs.replace(row, data=b"")
    return {"Row": rows.encode(small), "Segments": segments, "Version": row.version if bucket.versioning else ""}


def _changes_nothing(inp: Mapping[str, Any]) -> bool:
    changing = (
        "StorageClass",
        "WebsiteRedirectLocation",
        "ServerSideEncryption",
        "SSECustomerAlgorithm",
        "ChecksumAlgorithm",
    )
    return inp.get("MetadataDirective", "COPY") == "COPY" and not any(name in inp for name in changing)


async def put_copy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The writing transaction of CopyObject."""
    bucket = await buckets.load(ctx, tx, inp)
    row = await write_version(ctx, tx, bucket, inp, "Copy")
    result = {"ETag": f'"{row.etag}"', "LastModified": listing.whole_seconds(row.modified_ms)}
    result |= checksums.shown(row.checksums, row.checksum_type)
    out: dict[str, Any] = {"CopyObjectResult": result, **encryption.shown(row.sse, row.key)}
    if bucket.versioning == versions.ENABLED:
        out["VersionId"] = row.version
    return out


async def upload_part_copy(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """As UploadPart, with the bytes of another object."""
    multipart.check_number(inp["PartNumber"])
    key = encryption.customer_key(inp)
    facts = without_secrets(inp)
    algorithm = await multipart.expected_algorithm(ctx, node, facts, key)
    wanted = {**inp, "ChecksumAlgorithm": algorithm or checksums.DEFAULT}
    source, stored = await _take_in(ctx, node, wanted, facts, key, wanted["ChecksumAlgorithm"])
    part = await stored.commit(node, node.run(ctx, multipart.put_part, facts | {"Stored": stored.facts}))
    result = {"ETag": part.pop("ETag"), "LastModified": listing.whole_seconds(ctx.now_ms)}
    result |= {name: part.pop(name) for name in list(part) if name.startswith("Checksum")}
    out: dict[str, Any] = {"CopyPartResult": result, **part}
    return out | ({"CopySourceVersionId": source["Version"]} if source["Version"] else {})
