"""The versions of one key: which is current, how a new one is put before it, what is left when one goes.

The rule it protects: the current object lies in one place, every other version and every delete marker in another, newest first
(S3-1), so that reading, writing and listing current objects costs the same with and without versions.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from unkai.layers import longkeys
from unkai.layers.tasks import add_task
from unkai.services.s3 import bodies, errors, keys, rows

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx, Tx

NULL = "null"
ENABLED, SUSPENDED = "Enabled", "Suspended"
FREE_PARTS = "s3.free_parts"
"""The task kind that removes the parts of an object, or of an upload, that is gone."""
_ORDER_SIZE_BYTES = 6
_ID_SIZE_BYTES = 24


def new_id(ctx: Ctx, order: int) -> str:
    """32 characters, of which nobody can guess 24."""
    raw = order.to_bytes(_ORDER_SIZE_BYTES, "big") + ctx.ids.token(_ID_SIZE_BYTES - _ORDER_SIZE_BYTES)
    return base64.urlsafe_b64encode(raw).decode()


def order_of(version_id: str) -> int | None:
    """The order in a version id, or None where it is none of ours."""
    if len(version_id) != 32 or not version_id.isascii():
        return None
    try:
        raw = base64.b64decode(version_id, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw[:_ORDER_SIZE_BYTES], "big")


async def current(tx: ReadTx, bucket: BucketRow, key: bytes) -> ObjectRow | None:
    """The current object; None where there is none, or a delete marker."""
    value = await longkeys.get(tx, keys.current(bucket.id), key)
    return rows.decode_object(value) if value is not None else None


async def newest_kept(tx: ReadTx, bucket: BucketRow, key: bytes) -> ObjectRow | None:
    """The newest of the versions that are not the current object: where that is none, the delete marker."""
    if not bucket.versioning:
        return None
    begin = keys.escaped(key)
    page = await longkeys.page(tx, keys.versions(bucket.id), begin, begin[:-1] + b"\x00\xff", limit=1)
    return rows.decode_object(page[0][1]) if page else None


async def find(tx: ReadTx, bucket: BucketRow, key: bytes, version_id: str) -> tuple[ObjectRow, bool] | None:
    """The version with this id, and whether it is the current object."""
    now = await current(tx, bucket, key)
    if now is not None and now.version == version_id:
        return now, True
    if version_id == NULL:
        pointer = await longkeys.get(tx, keys.nulls(bucket.id), key)
        order = None if pointer is None else int.from_bytes(pointer, "big")
    else:
        order = order_of(version_id)
    if order is None or order > keys.ORDER_MAX:
        return None
    value = await longkeys.get(tx, keys.versions(bucket.id), keys.version(key, order))
    row = rows.decode_object(value) if value is not None else None
    return (row, False) if row is not None and row.version == version_id else None


async def load(tx: ReadTx, bucket: BucketRow, key: str, version_id: str | None) -> tuple[ObjectRow, bool]:
    """The version that a read names. Raises NoSuchKey, NoSuchVersion, or MethodNotAllowed for a delete marker."""
    raw = key.encode()
    if version_id is None:
        row = await current(tx, bucket, raw)
        if row is None:
            marker = await newest_kept(tx, bucket, raw)
            raise errors.no_such_key(key, marker.version if marker is not None else "")
        return row, True
    if version_id != NULL and order_of(version_id) is None:
        raise errors.invalid_argument("Invalid version id specified", "versionId", version_id)
    found = await find(tx, bucket, raw, version_id)
    if found is None:
        raise errors.no_such_version(key, version_id)
    if found[0].source == rows.DELETE_MARKER:
        raise errors.is_delete_marker(found[0].version)
    return found


async def push(ctx: Ctx, tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow) -> ObjectRow:
    """Put an object or a delete marker before all other versions of its key. Its version and order are decided here."""
    before = await current(tx, bucket, key)
    newest = before or await newest_kept(tx, bucket, key)
    order = newest.order + 1 if newest is not None else 1
    version = new_id(ctx, order) if bucket.versioning == ENABLED else NULL
    row = msgspec.structs.replace(row, version=version, order=order, modified_ms=ctx.now_ms)

    if version == NULL and bucket.versioning:
        await _remove_kept_null(ctx, tx, bucket, key)
    if before is not None:
        if before.version == NULL and version == NULL:
            free(ctx, tx, before)
        else:
            _keep(tx, bucket, key, msgspec.structs.replace(before, noncurrent_ms=ctx.now_ms))
    elif newest is not None and newest.source == rows.DELETE_MARKER and newest.version != version:
        _keep(tx, bucket, key, msgspec.structs.replace(newest, noncurrent_ms=ctx.now_ms))
    if row.source == rows.DELETE_MARKER:
        if before is not None:
            await longkeys.remove(tx, keys.current(bucket.id), key)
        _keep(tx, bucket, key, row)
    else:
        longkeys.put(tx, keys.current(bucket.id), key, rows.encode(row))
    return row


def _keep(tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow) -> None:
    """Store a version that is not the current object."""
    longkeys.put(tx, keys.versions(bucket.id), keys.version(key, row.order), rows.encode(row))
    if row.version == NULL:
        longkeys.put(tx, keys.nulls(bucket.id), key, row.order.to_bytes(8, "big"))


async def _forget(tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow) -> None:
    await longkeys.remove(tx, keys.versions(bucket.id), keys.version(key, row.order))
    if row.version == NULL:
        await longkeys.remove(tx, keys.nulls(bucket.id), key)


async def _remove_kept_null(ctx: Ctx, tx: Tx, bucket: BucketRow, key: bytes) -> None:
    pointer = await longkeys.get(tx, keys.nulls(bucket.id), key)
    if pointer is None:
        return
    value = await longkeys.get(tx, keys.versions(bucket.id), keys.version(key, int.from_bytes(pointer, "big")))
    assert value is not None, "S3-2: the pointer to the null version points nowhere"
    row = rows.decode_object(value)
    free(ctx, tx, row)
    await _forget(tx, bucket, key, row)


async def remove(ctx: Ctx, tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow, is_current: bool) -> None:
    """Take one version out for good. The newest of the others becomes current, unless it is a delete marker."""
    free(ctx, tx, row)
    if is_current:
        await longkeys.remove(tx, keys.current(bucket.id), key)
    else:
        await _forget(tx, bucket, key, row)
        if await current(tx, bucket, key) is not None:
            return
    newest = await newest_kept(tx, bucket, key)
    if newest is None:
        return
    risen = msgspec.structs.replace(newest, noncurrent_ms=0)
    if newest.source == rows.DELETE_MARKER:
        _keep(tx, bucket, key, risen)
        return
    await _forget(tx, bucket, key, newest)
    longkeys.put(tx, keys.current(bucket.id), key, rows.encode(risen))


async def replace(tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow, is_current: bool) -> None:
    """Store a changed row of the same version (tags)."""
    if is_current:
        longkeys.put(tx, keys.current(bucket.id), key, rows.encode(row))
    else:
        longkeys.put(tx, keys.versions(bucket.id), keys.version(key, row.order), rows.encode(row))


def free(ctx: Ctx, tx: Tx, row: ObjectRow) -> None:
    """Give up a version's bytes."""
    if row.source == rows.PARTS:
        add_task(ctx, tx, FREE_PARTS, row.data + row.guard)
    else:
        bodies.drop_content(ctx, tx, row.source, row.data)
