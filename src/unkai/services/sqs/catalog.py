"""Queues by name: found, loaded, saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.services.sqs import errors, keys, limits, rows
from unkai.services.sqs.arns import account_and_name

if TYPE_CHECKING:
    from unkai.kernel.arn import Arn
    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import ReadTx, Tx


async def find(tx: ReadTx, account: str, region: str, name: str) -> QueueRow | None:
    if not 0 < len(name) <= limits.NAME_MAX or len(account) > 12:
        return None
    value = await tx.get(keys.queue(account, region, name))
    return rows.decode_queue(value) if value is not None else None


async def find_arn(tx: ReadTx, arn: Arn | None) -> QueueRow | None:
    return await find(tx, arn.account, arn.region, arn.resource) if arn is not None and arn.service == "sqs" else None


async def load(ctx: Ctx, tx: ReadTx, url: str) -> QueueRow:
    """The queue that `url` names. Raises QueueDoesNotExist."""
    account, name = account_and_name(ctx, url)
    queue = await find(tx, account, ctx.region, name)
    if queue is None:
        raise errors.queue_does_not_exist()
    return queue


def save(tx: Tx, queue: QueueRow) -> None:
    tx.set(keys.queue(queue.account, queue.region, queue.name), rows.encode(queue))
