"""Reading objects: one look at the store, closed again before the body is sent.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from unkai.kernel.clock import format_utc
from unkai.kernel.ports import BlobMissing
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
    ranges,
    rows,
    versions,
)
from unkai.services.s3.objects import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.s3.bodies import Segment
    from unkai.services.s3.rows import BucketRow, ObjectRow, PartRow
    from unkai.store.api import ReadTx

LOOKS_MAX = 20
LOOK_PAUSE_S = 0.005
_RESPONSE_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
)


async def get_object(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Changes nothing, so a death in between leaves nothing."""
    key = encryption.customer_key(inp)
    facts = without_secrets(inp)
    for _ in range(LOOKS_MAX):
        found = await node.run(ctx, look, facts)
        encryption.check_key(_key(found), key)
        out: dict[str, Any] = found["Out"]
        try:
            out["Body"] = bodies.open_body(node, found["Segments"], key, found["Guard"])
        except BlobMissing:
            # It was replaced or deleted between the look and the opening: look again.
            await asyncio.sleep(LOOK_PAUSE_S)
            continue
        return out
    raise errors.no_such_key(inp["Key"])


async def head_object(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    key = encryption.customer_key(inp)
    found = await _look(ctx, tx, inp, with_bytes=False)
    encryption.check_key(_key(found), key)
    out: dict[str, Any] = found["Out"]
    return out


def _key(found: Mapping[str, Any]) -> rows.Key | None:
    return rows.Key(*found["Key"]) if found["Key"] else None


async def look(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """All that GetObject needs of the store: Out, and Segments of the bytes that are asked for."""
    return await _look(ctx, tx, inp, with_bytes=True)


async def _look(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], *, with_bytes: bool) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    row, _ = await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    conditions.check_read(inp, row)
    out = shown(bucket, row, inp)
    begin, end = 0, row.size
    if "PartNumber" in inp:
        begin, end = await _part_span(tx, row, inp, out)
    elif "Range" in inp and (asked := ranges.span(inp["Range"], row.size)) is not None:
        begin, end = asked
        out["ContentRange"] = f"bytes {begin}-{end - 1}/{row.size}"
    if (begin, end) == (0, row.size) and inp.get("ChecksumMode") == "ENABLED":
        out |= checksums.shown(row.checksums, row.checksum_type)
    if "lifecycle" in bucket.has:
        out |= await expiration.shown(tx, bucket, inp["Key"], row)
    out["ContentLength"] = end - begin
    key = (row.key.md5, row.key.salt, row.key.hash) if row.key is not None else None
    segments = await segments_of(tx, row, begin, end) if with_bytes else []
    return {"Out": out, "Key": key, "Segments": segments, "Guard": row.guard}


def shown(bucket: BucketRow, row: ObjectRow, inp: Mapping[str, Any]) -> dict[str, Any]:
    """A version as GetObject and HeadObject show it."""
    out: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": row.modified_ms // 1000 * 1000,
        "ETag": f'"{row.etag}"',
        **row.headers,
        **encryption.shown(row.sse, row.key),
    }
    if row.metadata:
        out["Metadata"] = row.metadata
    if bucket.versioning:
        out["VersionId"] = row.version
    if row.storage_class != "STANDARD":
        out["StorageClass"] = row.storage_class
    if row.tags:
        out["TagCount"] = len(row.tags)
    for name in _RESPONSE_HEADERS:
        if f"Response{name}" in inp:
            given = inp[f"Response{name}"]
            # The one date among them is asked for as a time and sent as text: an object's Expires may be any text.
            out[name] = format_utc(given, "%a, %d %b %Y %H:%M:%S GMT") if isinstance(given, int) else given
    return out


async def _part_span(tx: ReadTx, row: ObjectRow, inp: Mapping[str, Any], out: dict[str, Any]) -> tuple[int, int]:
    """The span of one part. An object that was put whole is its only part."""
    number = inp["PartNumber"]
    if "Range" in inp:
        raise errors.invalid_request("Cannot specify both Range header and partNumber query parameter")
    if number < 1 or number > limits.PART_NUMBER_MAX:
        raise errors.invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", str(number)
        )
    if row.source != rows.PARTS:
        if number != 1:
            raise errors.invalid_part_number(number, 1)
        if row.size:
            out["ContentRange"] = f"bytes 0-{row.size - 1}/{row.size}"
        return 0, row.size
    out["PartsCount"] = row.parts
    begin = 0
    for each, part in await parts_of(tx, row.data):
        if each == number:
            out["ContentRange"] = f"bytes {begin}-{begin + part.size - 1}/{row.size}"
            if inp.get("ChecksumMode") == "ENABLED":
                out |= checksums.shown(part.checksums, row.checksum_type)
            return begin, begin + part.size
        begin += part.size
    raise errors.invalid_part_number(number, row.parts)


async def parts_of(tx: ReadTx, upload_id: bytes) -> list[tuple[int, PartRow]]:
    """All parts of an upload or of the object that it became; at most 10,000."""
    pairs = await tx.get_range(*keys.parts(upload_id), limit=limits.PART_NUMBER_MAX)
    return [(keys.part_number(key), rows.decode_part(value)) for key, value in pairs]


async def segments_of(tx: ReadTx, row: ObjectRow, begin: int, end: int) -> list[Segment]:
    """Where the bytes of a span are. Bytes that lie in rows are read here."""
    if begin == end:
        return []
    if row.source != rows.PARTS:
        return [await _segment(tx, row.source, row.data, row.nonce, begin, end)]
    segments: list[Segment] = []
    at = 0
    for _, part in await parts_of(tx, row.data):
        low, high = max(begin, at), min(end, at + part.size)
        if low < high:
            segments.append(await _segment(tx, part.source, part.data, part.nonce, low - at, high - at))
        at += part.size
    return segments


async def _segment(tx: ReadTx, source: int, data: bytes, nonce: bytes, begin: int, end: int) -> Segment:
    if source == rows.DATA_ROW:
        value = await tx.get(keys.data(data))
        assert value is not None, "S3-3: a row's bytes are there"
        return rows.IN_ROW, value, nonce, begin, end
    return source, data, nonce, begin, end
