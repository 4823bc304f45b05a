"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.services.sqs import keys, rows
from unkai.store.api import read_counter
from unkai.store.tuples import pack, prefix_end

if TYPE_CHECKING:
    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import ReadTx


async def check(tx: ReadTx) -> list[str]:
    """SQS-1, SQS-2 and SQS-3 for every queue."""
    broken: list[str] = []
    begin = pack("sqs")
    for _, value in await tx.get_range(begin, prefix_end(begin)):
        broken += await _check_queue(tx, rows.decode_queue(value))
    return broken


async def _check_queue(tx: ReadTx, queue: QueueRow) -> list[str]:
    messages = {
        keys.seq_of(key): rows.decode_message(value) for key, value in await tx.get_range(*keys.all_of(queue.id, "b"))
    }
    receipts = {
        keys.seq_of(key): rows.decode_receipt(value) for key, value in await tx.get_range(*keys.all_of(queue.id, "s"))
    }
    visible = [
        (keys.seq_of(key), keys.visible_ms_of(key)) for key, _ in await tx.get_range(*keys.all_of(queue.id, "v"))
    ]
    count = read_counter(await tx.get(keys.count(queue.id)))
    broken: list[str] = []
    expected = {
        (seq, receipts[seq].visible_ms if seq in receipts else message.visible_ms) for seq, message in messages.items()
    }
    if set(visible) != expected or len(visible) != len(expected):
        broken.append(f"SQS-1 {queue.name}: {len(visible)} visibility rows do not match {len(messages)} messages")
    if count != len(messages):
        broken.append(f"SQS-2 {queue.name}: the counter says {count}, there are {len(messages)} messages")
    if stray := receipts.keys() - messages.keys():
        broken.append(f"SQS-3 {queue.name}: {len(stray)} receipts without a message")
    return broken
