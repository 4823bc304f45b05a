"""What is known of an object without its bytes: GetObjectAttributes.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.s3 import buckets, checksums, encryption, errors, listing, reading, rows, versions

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import ObjectRow
    from unkai.store.api import ReadTx

_NAMES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


async def get_object_attributes(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    asked = {name.strip() for each in inp["ObjectAttributes"] for name in each.split(",")}
    if not asked <= _NAMES:
        raise errors.invalid_argument(
            "Invalid attribute name specified.", "x-amz-object-attributes", ",".join(sorted(asked))
        )
    row, _ = await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    encryption.check_key(row.key, encryption.customer_key(inp))
    out: dict[str, Any] = {"LastModified": row.modified_ms // 1000 * 1000}
    if bucket.versioning:
        out["VersionId"] = row.version
    if "ETag" in asked:
        out["ETag"] = row.etag
    if "Checksum" in asked and row.checksums:
        out["Checksum"] = checksums.shown(row.checksums, row.checksum_type)
    if "ObjectParts" in asked and row.source == rows.PARTS:
        out["ObjectParts"] = await _parts(tx, row, inp)
    if "StorageClass" in asked:
        out["StorageClass"] = row.storage_class
    if "ObjectSize" in asked:
        out["ObjectSize"] = row.size
    return out


async def _parts(tx: ReadTx, row: ObjectRow, inp: dict[str, Any]) -> dict[str, Any]:
    """The parts of an object that was uploaded in parts, with their checksums where the whole's is made of those."""
    limit, after = listing.page_size(inp, "MaxParts"), inp.get("PartNumberMarker", 0)
    names = row.checksums if row.checksum_type == checksums.COMPOSITE else {}
    parts = [
        {
            "PartNumber": number,
            "Size": part.size,
            **{f"Checksum{name}": part.checksums[name] for name in names},
        }
        for number, part in await reading.parts_of(tx, row.data)
        if number > after
    ]
    shown = parts[:limit]
    out: dict[str, Any] = {
        "TotalPartsCount": row.parts,
        "PartNumberMarker": after,
        "NextPartNumberMarker": shown[-1]["PartNumber"] if shown else 0,
        "MaxParts": limit,
        "IsTruncated": len(parts) > limit,
    }
    return out | ({"Parts": shown} if shown else {})
