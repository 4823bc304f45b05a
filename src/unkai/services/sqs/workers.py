"""Background work of SQS: what a deleted or purged queue held, and what has outlived its retention, is removed page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.tasks import Done, TaskResult
from unkai.services.sqs import attributes, keys, places, rows
from unkai.services.sqs.catalog import find
from unkai.services.sqs.queues import plan_sweep
from unkai.services.sqs.receiving import forget
from unkai.store.api import read_counter
from unkai.store.tuples import prefix_end

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import Tx

PAGE = 1000
MESSAGES_PAGE = 25
"""Messages are read to be removed, and one may have a megabyte."""


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing refers to the queue id any more, so a crash between two pages only leaves fewer pages to remove."""
    while await node.run(ctx, remove_page, {"Prefix": task.payload}):
        pass
    return Done()


async def remove_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some of the rows whose keys begin with Prefix; whether there may be more."""
    begin = inp["Prefix"]
    page = await tx.peek_range(begin, prefix_end(begin), limit=PAGE)
    for key, _ in page:
        tx.clear(key)
    return len(page) == PAGE


async def sweep(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Expired messages, forgotten deduplication ids and counters of the past. Each page is whole by itself; the last step sets
    the timer anew, so after a crash before it the sweep begins again."""
    name = task.payload.decode()
    for page in (sweep_messages, sweep_moved, sweep_memory):
        while await node.run(ctx, page, {"Name": name}):
            pass
    for kind in ("i", "l"):
        begin = b""
        while begin := await node.run(ctx, sweep_counters, {"Name": name, "Kind": kind, "Begin": begin}):
            pass
    await node.run(ctx, end_sweep, {"Name": name})
    return Done()


async def _load(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> QueueRow | None:
    return await find(tx, ctx.account, ctx.region, inp["Name"])


def _expired_ms(ctx: Ctx, queue: QueueRow) -> int:
    return ctx.now_ms - attributes.number(queue, "MessageRetentionPeriod") * 1000


async def _remove(tx: Tx, queue: QueueRow, seq: bytes, message: rows.MessageRow) -> None:
    received = await tx.get(keys.receipt(queue.id, seq))
    receipt = rows.decode_receipt(received) if received is not None else None
    await places.take_out(tx, queue, seq, message, receipt)


async def sweep_messages(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove expired messages in the order of sending, up to the first that is not; whether there may be more."""
    queue = await _load(ctx, tx, inp)
    if queue is None:
        return False
    expired_ms = _expired_ms(ctx, queue)
    page = await tx.get_range(*keys.all_of(queue.id, "b"), limit=MESSAGES_PAGE)
    for key, value in page:
        message = rows.decode_message(value)
        if message.sent_ms > expired_ms:
            return False
        await _remove(tx, queue, keys.seq_of(key), message)
    return len(page) == MESSAGES_PAGE


async def sweep_moved(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Likewise those that came from another queue and are older than their place in the order says."""
    queue = await _load(ctx, tx, inp)
    if queue is None:
        return False
    page = await tx.get_range(*keys.timed(queue.id, "x", 0, max(0, _expired_ms(ctx, queue)) + 1), limit=MESSAGES_PAGE)
    for key, _ in page:
        seq = keys.seq_of(key)
        value = await tx.get(keys.message(queue.id, seq))
        assert value is not None, "SQS-7: an age row without a message"
        await _remove(tx, queue, seq, rows.decode_message(value))
    return len(page) == MESSAGES_PAGE


async def sweep_memory(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    queue = await _load(ctx, tx, inp)
    return queue is not None and queue.fifo and await forget(tx, queue, ctx.now_ms, PAGE) == PAGE


async def sweep_counters(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bytes:
    """Remove counters of past seconds that have come down to 0, from Begin on; where to go on, or nothing."""
    queue = await _load(ctx, tx, inp)
    if queue is None:
        return b""
    begin, end = keys.timed(queue.id, inp["Kind"], 0, ctx.now_ms // 1000)
    page = await tx.get_range(max(begin, inp["Begin"]), end, limit=PAGE)
    for key, value in page:
        if read_counter(value) == 0:
            tx.clear(key)
    return page[-1][0] + b"\0" if len(page) == PAGE else b""


async def end_sweep(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """The next sweep is due when the oldest message expires; where there is none, when one sent now would."""
    queue = await _load(ctx, tx, inp)
    if queue is None:
        return
    oldest_ms = ctx.now_ms
    page = await tx.peek_range(*keys.all_of(queue.id, "b"), limit=1)
    if page:
        oldest_ms = rows.decode_message(page[0][1]).sent_ms
    moved = await tx.peek_range(*keys.all_of(queue.id, "x"), limit=1)
    if moved:
        oldest_ms = min(oldest_ms, keys.ms_of(moved[0][0]))
    retention_ms = attributes.number(queue, "MessageRetentionPeriod") * 1000
    await plan_sweep(ctx, tx, queue, oldest_ms + retention_ms)
