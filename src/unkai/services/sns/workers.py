"""Background work of SNS that delivers nothing: deleted topics, subscriptions nobody confirmed, old deduplication ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.tasks import Done, Finished, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.sns import keys, rows
from unkai.services.sns.publishing import SWEEP
from unkai.services.sns.subscriptions import forget

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.store.api import Tx

PAGE = 1000


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing refers to the topic's id any more, so a crash between two pages only leaves fewer pages to remove."""
    while await node.run(ctx, remove_page, {"Topic": task.payload}):
        pass
    return Done()


async def remove_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some of what a deleted topic held, its subscriptions with their owner rows; whether there may be more."""
    topic = rows.decode_topic(inp["Topic"])
    page = await tx.peek_range(*keys.subscriptions(topic.id), limit=PAGE)
    for key, value in page:
        subscription = rows.decode_subscription(value)
        tx.clear(key)
        tx.clear(keys.owned(subscription.owner, topic.region, topic.name, subscription.id))
    if len(page) == PAGE:
        return True
    rest = await tx.peek_range(*keys.contents(topic.id), limit=PAGE)
    for key, _ in rest:
        tx.clear(key)
    return len(rest) == PAGE


async def expire(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    topic_arn, subscription_id, token = msgspec.msgpack.decode(task.payload)
    await node.run(ctx, forget, {"TopicArn": topic_arn, "SubscriptionId": subscription_id, "Token": token})
    return Done()


async def sweep(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    await node.run(ctx, sweep_topic, {"Key": task.key, "TopicId": task.payload})
    return Finished()


async def sweep_topic(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """Remove old deduplication ids by ranges, and come again while there are newer ones. On the writer: publishers write here."""
    topic_id: bytes = inp["TopicId"]
    if await tx.get(inp["Key"]) is None:
        return
    bucket = ctx.now_ms // keys.BUCKET_MS
    tx.clear(inp["Key"])
    tx.clear_range(*keys.dedups_before(topic_id, bucket - 1))
    if await tx.get_range(*keys.dedups(topic_id), limit=1):
        add_task(ctx, tx, SWEEP, topic_id, due_ms=(bucket + 2) * keys.BUCKET_MS)
    else:
        tx.clear(keys.sweep(topic_id))
