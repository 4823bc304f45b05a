"""Dead-letter queues: a message that was received too often moves there when it would be received once more.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unkai.services.sqs import keys, redrive_policy, rows
from unkai.services.sqs.catalog import find_arn
from unkai.services.sqs.places import put_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.places import Found
    from unkai.services.sqs.rows import MessageRow, QueueRow
    from unkai.store.api import ReadTx, Tx


class DeadLetters(NamedTuple):
    """Where the messages of a queue go after `receives_max` receives."""

    queue: QueueRow
    receives_max: int


async def dead_letters(tx: ReadTx, queue: QueueRow) -> DeadLetters | None:
    """None where the queue has no redrive policy, or its dead-letter queue is gone or does not allow it: nothing moves then,
    and nothing is lost."""
    text = queue.attributes.get("RedrivePolicy")
    if not text:
        return None
    policy = redrive_policy.parse(text)
    target = await find_arn(tx, policy.target)
    if target is None or target.fifo != queue.fifo:
        return None
    if not redrive_policy.allows(target.attributes.get("RedriveAllowPolicy"), queue.arn):
        return None
    return DeadLetters(target, policy.receives_max)


def is_dead(found: Found, dead: DeadLetters | None) -> bool:
    return dead is not None and found.receipt is not None and found.receipt.count >= dead.receives_max


def as_dead(source: QueueRow, found: Found, now_ms: int) -> MessageRow:
    """The message in its dead-letter queue: the same id and count. Its age goes on in a standard queue, and begins anew in a
    FIFO queue."""
    assert found.receipt is not None, "a dead message was received"
    return rows.replace(
        found.message,
        sent_ms=now_ms if source.fifo else found.message.sent_ms,
        put_ms=now_ms,
        visible_ms=now_ms,
        source=source.arn,
        received_before=found.message.received_before + found.receipt.count,
        first_ms=found.message.first_ms or found.receipt.first_ms,
    )


def as_redriven(ctx: Ctx, message: MessageRow, now_ms: int) -> MessageRow:
    """The message on its way back: AWS gives it a new id and a new age."""
    return rows.replace(
        message,
        id=ctx.ids.uuid(),
        sent_ms=now_ms,
        put_ms=now_ms,
        visible_ms=now_ms,
        source="",
        received_before=0,
        first_ms=0,
    )


async def put_moved(ctx: Ctx, tx: Tx, queue: QueueRow, messages: Sequence[MessageRow]) -> None:
    await put_all(tx, queue, [(keys.next_seq(tx, ctx.ids.next_number()), message) for message in messages])
