"""Background work of Logs: retention, and the removal of what a deleted group or stream held. All of it page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.tasks import Done, Finished, TaskResult
from unkai.layers.tasks import set_timer
from unkai.services.logs import keys, limits, rows
from unkai.services.logs.groups import EXPIRE, retention_ms, timer_name, timer_payload

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import Tx

ENTRIES_PAGE = 500
CHUNKS_PAGE = 16  # chunks are read whole to be removed, and may have a megabyte each
SMALL_ROWS_PAGE = 1000
SLACK_MS = limits.HOUR_MS
"""How much later than the oldest event's end retention looks again: one run then removes an hour's worth, not an event."""

_decode_timer = msgspec.msgpack.Decoder(tuple[str, bytes]).decode


async def expire(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Each page is a transaction of its own, and the last one sets the timer again: a crash in between repeats nothing.

    Whoever sets or clears a timer removes the row of the one before, so this task's row is gone when the last page is done.
    """
    name, group_id = _decode_timer(task.payload)
    while await node.run(ctx, expire_page, {"Name": name, "GroupId": group_id}):
        pass
    return Finished()


async def expire_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some chunks whose events have all ended; whether there may be more. Where there are none, set the timer."""
    value = await tx.get(keys.group(ctx.account, ctx.region, inp["Name"]))
    group = rows.decode_group(value) if value is not None else None
    if group is None or group.id != inp["GroupId"] or not group.retention_days:
        return False  # who ended the retention cleared the timer
    # A chunk spans less than SPAN_MS, so one that begins a span before the end of retention has ended as a whole.
    ended_ms = ctx.now_ms - retention_ms(group) - keys.SPAN_MS
    if await _remove_entries(tx, group.id, keys.place_at(ended_ms)):
        return True
    await set_timer(ctx, tx, EXPIRE, timer_name(group.id), await _next_due(ctx, tx, group), timer_payload(group))
    return False


async def _next_due(ctx: Ctx, tx: Tx, group: GroupRow) -> int:
    """When the oldest event that is there will have ended; an empty group's next event is at least as far off."""
    oldest = await tx.peek_range(*keys.entries(group.id), limit=1)
    oldest_ms = keys.place_ms(keys.entry_place(oldest[0][0])) if oldest else ctx.now_ms
    return max(ctx.now_ms, oldest_ms + retention_ms(group)) + SLACK_MS


async def _remove_entries(tx: Tx, group_id: bytes, end: bytes) -> bool:
    """Remove a page of entries before `end`, with their chunks; whether it was a full page."""
    # Read so that it conflicts: a stream's removal may take the same rows, and bytes must not be subtracted twice.
    page = await tx.get_range(*keys.entries(group_id, end=end), limit=ENTRIES_PAGE)
    removed_bytes = 0
    for key, value in page:
        tx.clear(key)
        tx.clear(keys.chunk(group_id, keys.entry_stream(key), keys.entry_place(key)))
        removed_bytes += rows.decode_entry(value).size_bytes
    if page:
        tx.add(keys.stored_bytes(group_id), -removed_bytes)
    return len(page) == ENTRIES_PAGE


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing refers to the id any more, so a crash between two pages only leaves fewer pages to remove."""
    group_id, stream_id = task.payload[: keys.ID_SIZE_BYTES], task.payload[keys.ID_SIZE_BYTES :]
    step = remove_stream_page if stream_id else remove_group_page
    while await node.run(ctx, step, {"GroupId": group_id, "StreamId": stream_id}):
        pass
    return Done()


async def remove_group_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Chunks by their entries first, without reading them; then the small rest."""
    group_id = inp["GroupId"]
    if await _remove_entries(tx, group_id, keys.LAST_PLACE):
        return True
    begin, end = keys.contents(group_id)
    page = await tx.peek_range(begin, end, limit=SMALL_ROWS_PAGE)
    for key, _ in page:
        tx.clear(key)
    return len(page) == SMALL_ROWS_PAGE


async def remove_stream_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """The group may have gone meanwhile; its own removal then takes the same rows, and removing twice must not count twice."""
    group_id, stream_id = inp["GroupId"], inp["StreamId"]
    page = await tx.get_range(*keys.chunks(group_id, stream_id), limit=CHUNKS_PAGE)
    removed_bytes = 0
    for key, _ in page:
        entry = keys.entry(group_id, keys.chunk_place(key), stream_id)
        value = await tx.get(entry)
        assert value is not None, "LOGS-1: a chunk without an entry"
        removed_bytes += rows.decode_entry(value).size_bytes
        tx.clear(key)
        tx.clear(entry)
    if page:
        tx.add(keys.stored_bytes(group_id), -removed_bytes)
    return len(page) == CHUNKS_PAGE
