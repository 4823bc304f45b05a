"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.layers import longkeys
from unkai.layers.tasks import decode, lane_prefix
from unkai.services.s3 import keys, rows, versions
from unkai.store.tuples import pack, prefix_end, unpack

if TYPE_CHECKING:
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx

ALL = 1 << 30


async def check(tx: ReadTx) -> list[str]:
    """S3-1 and S3-2 for every bucket, S3-3 and S3-4 for all together."""
    broken: list[str] = []
    owners: list[tuple[int, bytes]] = []
    names = set()
    for _, value in await tx.get_range(*keys.buckets()):
        bucket = rows.decode_bucket(value)
        names.add((bucket.account, bucket.name))
        broken += await _check_versions(tx, bucket, owners)
        uploads = await longkeys.page(tx, keys.uploads(bucket.id), b"", None, limit=ALL)
        owners += [(rows.PARTS, keys.split(name, keys.UPLOAD_ID_SIZE_BYTES)[1]) for name, _ in uploads]
    listed = {unpack(key)[1:] for key, _ in await tx.get_range(pack("s3a"), prefix_end(pack("s3a")))}
    broken += [f"S3-4 {each}: bucket and list do not agree" for each in listed ^ names]
    return broken + await _check_bytes(tx, owners)


async def _check_versions(tx: ReadTx, bucket: BucketRow, owners: list[tuple[int, bytes]]) -> list[str]:
    broken: list[str] = []
    kept: dict[bytes, list[ObjectRow]] = {}
    for name, value in await longkeys.page(tx, keys.versions(bucket.id), b"", None, limit=ALL):
        key, row = keys.split(name, 8)[0], rows.decode_object(value)
        kept.setdefault(key, []).append(row)
        if keys.version(key, row.order) != name:
            broken.append(f"S3-1 {bucket.name}/{key!r}: a version lies under another's order")
    now: dict[bytes, ObjectRow] = {}
    for key, value in await longkeys.page(tx, keys.current(bucket.id), b"", None, limit=ALL):
        now[key] = rows.decode_object(value)
    for key in kept.keys() | now.keys():
        others, current = kept.get(key, []), now.get(key)
        if current is None and others[0].source != rows.DELETE_MARKER:
            broken.append(f"S3-1 {bucket.name}/{key!r}: the newest version is an object and not current")
        if current is not None and (
            current.source == rows.DELETE_MARKER or any(row.order >= current.order for row in others)
        ):
            broken.append(f"S3-1 {bucket.name}/{key!r}: the current object is not the newest")
        nulls = [row for row in others if row.version == versions.NULL]
        if len(nulls) + (current is not None and current.version == versions.NULL) > 1:
            broken.append(f"S3-2 {bucket.name}/{key!r}: more than one null version")
        pointer = await longkeys.get(tx, keys.nulls(bucket.id), key)
        if pointer != (nulls[0].order.to_bytes(8, "big") if nulls else None):
            broken.append(f"S3-2 {bucket.name}/{key!r}: the pointer to the null version is wrong")
        owners += [(row.source, row.data) for row in (*others, *([current] if current else []))]
    return broken


async def _check_bytes(tx: ReadTx, owners: list[tuple[int, bytes]]) -> list[str]:
    """Compare what rows name with what there is. Parts that wait for their removal count as owned by their task."""
    lane = lane_prefix(versions.FREE_PARTS)
    for _, value in await tx.get_range(lane, prefix_end(lane)):
        owners.append((rows.PARTS, decode(value).payload[: keys.UPLOAD_ID_SIZE_BYTES]))
    uploads = [data for source, data in owners if source == rows.PARTS]
    broken = [f"S3-3 {each.hex()}: parts with two owners" for each in set(uploads) if uploads.count(each) > 1]
    stored = set()
    for key, value in await tx.get_range(pack("s3p"), prefix_end(pack("s3p"))):
        row = rows.decode_part(value)
        stored.add(unpack(key[:-4])[1])
        owners.append((row.source, row.data))
    broken += [f"S3-3 {each!r}: parts without an owner" for each in stored - set(uploads)]
    for source, prefix in ((rows.DATA_ROW, pack("s3d")), (rows.BLOB, pack("blob"))):
        named = [data for kind, data in owners if kind == source]
        # A reference to a blob has its owner's name as value: other services keep blobs too.
        there = {
            unpack(key)[1]
            for key, value in await tx.get_range(prefix, prefix_end(prefix))
            if source != rows.BLOB or not value
        }
        if len(named) != len(set(named)):
            broken.append("S3-3 bytes with two owners")
        broken += [f"S3-3 {each!r}: named and not there, or there and not named" for each in there ^ set(named)]
    return broken
