"""The nightly run of a bucket's lifecycle rules. It looks page by page, then acts on what is due, a few at a time.

Each act is decided again in its own transaction, so an object that was replaced since the look stays. A death in between leaves
the rest to the run's next try: what is done is no longer due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.tasks import Done, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.s3 import (
    buckets,
    expiration,
    keys,
    lifecycle,
    listing,
    multipart,
    notifications,
    rows,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx, Tx

PAGE = 500
ACTS_PER_TRANSACTION = 100
EXPIRE, REMOVE, MOVE = "expire", "remove", "move"
Act = list[Any]
"""[what, key, version id, new storage class]"""


async def run_lifecycle(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    name, bucket_id = rows.decode(task.payload)
    place: dict[str, Any] = {"Bucket": name, "Id": bucket_id, "Begin": b"", "Key": b"", "Newer": 0}
    while place:
        found = await node.run(ctx, look_at_versions, place)
        for at in range(0, len(found["Acts"]), ACTS_PER_TRANSACTION):
            await node.run(ctx, act, {**place, "Acts": found["Acts"][at : at + ACTS_PER_TRANSACTION]})
        place = {**place, **found["Next"]} if found["Next"] else {}
    begin: bytes | None = b""
    while begin is not None:
        begin = await node.run(ctx, abort_old_uploads, {"Bucket": name, "Id": bucket_id, "Begin": begin})
    await node.run(ctx, wind_up, {"Bucket": name, "Id": bucket_id})
    return Done()


async def _rules(tx: ReadTx, inp: dict[str, Any]) -> tuple[BucketRow | None, list[dict[str, Any]]]:
    """The bucket and its rules, where it is still the same bucket."""
    bucket = await buckets.find(tx, inp["Bucket"])
    if bucket is None or bucket.id != inp["Id"]:
        return None, []
    return bucket, await expiration.rules_of(tx, bucket)


async def look_at_versions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """What is due among the next versions. `Newer` counts the noncurrent versions of `Key` that were passed already."""
    bucket, rules = await _rules(tx, inp)
    if bucket is None or not rules:
        return {"Acts": [], "Next": None}
    read = listing.version_reader(tx, bucket, b"")
    entries, more = await read(inp["Begin"], PAGE)
    acts: list[Act] = []
    key, newer = inp["Key"], inp["Newer"]
    for at, (each, (row, is_latest)) in enumerate(entries):
        if each != key:
            key, newer = each, 0
        if is_latest and row.source == rows.DELETE_MARKER:
            alone = at + 1 == len(entries) or entries[at + 1][0] != each
            if alone and _marker_is_due(rules, each.decode(), row, ctx.now_ms):
                acts.append([REMOVE, each, row.version, ""])
        elif is_latest:
            acts += _current_acts(rules, each, row, ctx.now_ms)
        else:
            acts += _noncurrent_acts(rules, each, row, newer, ctx.now_ms)
            newer += 1
    following = {"Begin": listing.BY_VERSION.after(entries[-1]), "Key": key, "Newer": newer} if more else None
    return {"Acts": acts, "Next": following}


def _marker_is_due(rules: Sequence[dict[str, Any]], key: str, row: ObjectRow, now_ms: int) -> bool:
    """A delete marker without versions behind it goes where a rule says so, or where it is old enough to expire itself."""
    for rule in rules:
        action = rule.get("Expiration", {})
        if not expiration.applies(rule, key, 0, {}):
            continue
        if action.get("ExpiredObjectDeleteMarker"):
            return True
        if "Days" in action and expiration.due_ms(row.modified_ms, action["Days"]) <= now_ms:
            return True
    return False


def _current_acts(rules: Sequence[dict[str, Any]], key: bytes, row: ObjectRow, now_ms: int) -> list[Act]:
    found = expiration.expires(rules, key.decode(), row)
    if found is not None and found[0] <= now_ms:
        return [[EXPIRE, key, row.version, ""]]
    due: list[tuple[int, str]] = []
    for rule in rules:
        if not expiration.applies(rule, key.decode(), row.size, row.tags):
            continue
        for action in rule.get("Transitions", ()):
            at = action["Date"] if "Date" in action else expiration.due_ms(row.modified_ms, action.get("Days", 0))
            if at <= now_ms:
                due.append((at, action["StorageClass"]))
    return _move(key, row, due)


def _noncurrent_acts(rules: Sequence[dict[str, Any]], key: bytes, row: ObjectRow, newer: int, now_ms: int) -> list[Act]:
    due: list[tuple[int, str]] = []
    for rule in rules:
        if not expiration.applies(rule, key.decode(), row.size, row.tags):
            continue
        action = rule.get("NoncurrentVersionExpiration")
        if action and _noncurrent_due(action, row, newer) <= now_ms:
            return [[REMOVE, key, row.version, ""]]
        for action in rule.get("NoncurrentVersionTransitions", ()):
            at = _noncurrent_due(action, row, newer)
            if at <= now_ms and row.source != rows.DELETE_MARKER:
                due.append((at, action["StorageClass"]))
    return _move(key, row, due)


def _noncurrent_due(action: dict[str, Any], row: ObjectRow, newer: int) -> int:
    """When an action on noncurrent versions reaches this one; never while it is among the newest that are to be kept."""
    if newer < action.get("NewerNoncurrentVersions", 0):
        return 1 << 62
    return expiration.due_ms(row.noncurrent_ms, action.get("NoncurrentDays", 0))


def _move(key: bytes, row: ObjectRow, due: list[tuple[int, str]]) -> list[Act]:
    if not due or max(due)[1] == row.storage_class:
        return []
    return [[MOVE, key, row.version, max(due)[1]]]


async def act(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    bucket, rules = await _rules(tx, inp)
    if bucket is None or not rules:
        return
    for what, key, version_id, storage_class in inp["Acts"]:
        found = await versions.find(tx, bucket, key, version_id)
        if found is None:
            continue
        row, is_current = found
        name = key.decode()
        if what == EXPIRE:
            if is_current and _current_acts(rules, key, row, ctx.now_ms)[:1] == [[EXPIRE, key, version_id, ""]]:
                await _expire(ctx, tx, bucket, key, row)
        elif what == MOVE:
            moved = msgspec.structs.replace(row, storage_class=storage_class)
            await versions.replace(tx, bucket, key, moved, is_current)
            await notifications.announce(ctx, tx, bucket, "LifecycleTransition", name, moved)
        elif not is_current:
            await versions.remove(ctx, tx, bucket, key, row, is_current)
            await notifications.announce(ctx, tx, bucket, "LifecycleExpiration:Delete", name, row)


async def _expire(ctx: Ctx, tx: Tx, bucket: BucketRow, key: bytes, row: ObjectRow) -> None:
    """As DeleteObject does, under its own event names."""
    if bucket.versioning:
        marker = rows.ObjectRow("", 0, ctx.now_ms, source=rows.DELETE_MARKER, sse="")
        marker = await versions.push(ctx, tx, bucket, key, marker)
        await notifications.announce(ctx, tx, bucket, "LifecycleExpiration:DeleteMarkerCreated", key.decode(), marker)
        return
    await versions.remove(ctx, tx, bucket, key, row, is_current=True)
    await notifications.announce(ctx, tx, bucket, "LifecycleExpiration:Delete", key.decode(), row)


async def abort_old_uploads(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bytes | None:
    """One page of uploads; where the next begins, or None."""
    bucket, rules = await _rules(tx, inp)
    if bucket is None or not any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        return None
    entries, more = await multipart.upload_reader(tx, bucket, b"")(inp["Begin"], PAGE)
    for key, (upload_id, upload) in entries:
        for rule in rules:
            days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
            if days is None or not expiration.applies(rule, key.decode(), 0, {}):
                continue
            if expiration.due_ms(upload.initiated_ms, days) <= ctx.now_ms:
                await multipart.end(ctx, tx, bucket, key, upload_id)
                add_task(ctx, tx, versions.FREE_PARTS, upload_id)
                break
    return keys.upload(entries[-1][0], entries[-1][1][0]) + b"\0" if more else None


async def wind_up(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    bucket, rules = await _rules(tx, inp)
    if bucket is not None and rules:
        await lifecycle.set_next_run(ctx, tx, bucket)
