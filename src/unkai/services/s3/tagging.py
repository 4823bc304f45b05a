"""Tags of objects. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.services.s3 import buckets, limits, notifications, tags, versions

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx


async def put_object_tagging(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    given = tags.from_set(inp["Tagging"]["TagSet"], limits.TAGS_PER_OBJECT_MAX)
    return await _set(ctx, tx, inp, given, "ObjectTagging:Put")


async def delete_object_tagging(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _set(ctx, tx, inp, {}, "ObjectTagging:Delete")


async def _set(ctx: Ctx, tx: Tx, inp: dict[str, Any], given: dict[str, str], event: str) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    row, is_current = await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    row = msgspec.structs.replace(row, tags=given)
    await versions.replace(tx, bucket, inp["Key"].encode(), row, is_current)
    await notifications.announce(ctx, tx, bucket, event, inp["Key"], row)
    return {"VersionId": row.version} if bucket.versioning else {}


async def get_object_tagging(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    row, _ = await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    out: dict[str, Any] = {"TagSet": tags.to_set(row.tags)}
    return out | ({"VersionId": row.version} if bucket.versioning else {})
