"""Operations on messages that were received: deletion, and changes of their visibility timeout.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from unkai.services.sqs import batches, delivery, errors, keys, places, rows
from unkai.services.sqs.catalog import load

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.rows import QueueRow, ReceiptRow
    from unkai.store.api import Tx


async def delete_message(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])

    await _delete(ctx, tx, queue, inp["ReceiptHandle"])

    return {}


async def delete_message_batch(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])

    async def work(entry: dict[str, Any]) -> None:
        await _delete(ctx, tx, queue, entry["ReceiptHandle"])

    return await batches.each(inp["Entries"], "DeleteMessageBatchRequestEntry", work)


async def _delete(ctx: Ctx, tx: Tx, queue: QueueRow, text: str) -> None:
    """Deleting again, or with the handle of an earlier receive, succeeds and deletes nothing, as AWS documents; in a FIFO
    queue a handle whose timeout has ended is refused, since others may have the message by then."""
    handle = delivery.read_handle(text)
    receipt = await _find_receipt(tx, queue, handle)
    if receipt is None:
        return
    is_latest = hmac.compare_digest(receipt.nonce, handle.nonce)
    if queue.fifo and (not is_latest or receipt.visible_ms <= ctx.now_ms):
        raise errors.invalid_value(text, "ReceiptHandle", "The receipt handle has expired.")
    if not is_latest:
        return

    await places.take_out(tx, queue, handle.seq, None, receipt)
    if queue.fifo:
        # What stood behind it in its group may be there to be received now.
        tx.signal(keys.channel(queue.id))


async def _find_receipt(tx: Tx, queue: QueueRow, handle: delivery.Handle) -> ReceiptRow | None:
    """The last receive of the message that a receipt handle names, by whatever handle."""
    if handle.queue_id != queue.id:
        return None
    value = await tx.get(keys.receipt(queue.id, handle.seq))
    return rows.decode_receipt(value) if value is not None else None


async def change_message_visibility(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    delivery.check_timeout(inp["VisibilityTimeout"], changing=True)
    queue = await load(ctx, tx, inp["QueueUrl"])

    await _change(ctx, tx, queue, inp["ReceiptHandle"], inp["VisibilityTimeout"])

    return {}


async def change_message_visibility_batch(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])

    async def work(entry: dict[str, Any]) -> None:
        timeout_s = entry.get("VisibilityTimeout")
        if timeout_s is None:
            raise errors.missing_parameter("VisibilityTimeout")
        delivery.check_timeout(timeout_s, changing=True)
        await _change(ctx, tx, queue, entry["ReceiptHandle"], timeout_s)

    return await batches.each(inp["Entries"], "ChangeMessageVisibilityBatchRequestEntry", work)


async def _change(ctx: Ctx, tx: Tx, queue: QueueRow, text: str, timeout_s: int) -> None:
    handle = delivery.read_handle(text)
    receipt = await _find_receipt(tx, queue, handle)
    if receipt is None or not hmac.compare_digest(receipt.nonce, handle.nonce):
        raise errors.invalid_value(
            text, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change."
        )
    if receipt.visible_ms <= ctx.now_ms:
        raise errors.message_not_inflight()
    visible_ms = ctx.now_ms + timeout_s * 1000
    delivery.check_total_timeout(receipt, visible_ms, timeout_s)

    await places.hide(tx, queue, handle.seq, receipt, visible_ms)
    # Waiters sleep until the next message that they know of becomes visible; this one may be earlier.
    tx.signal(keys.channel(queue.id))
