"""Operations on queues. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.layers.tasks import add_task, clear_timer, set_timer
from unkai.services.sqs import attributes, errors, keys, limits, redrive_policy, rows
from unkai.services.sqs.arns import queue_url
from unkai.services.sqs.catalog import find, find_arn, load, save
from unkai.services.sqs.tags import check_tags
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import ReadTx, Tx

CLEAN_UP = "sqs.clean_up"
"""The task kind that removes what a deleted or purged queue held, a page at a time."""
SWEEP = "sqs.sweep"
"""The timer kind that removes what has outlived its retention."""
SWEEP_INTERVAL_MS_MIN = 300_000
"""A sweep is never sooner than this after the last: nobody receives what is older, so it only gives room back."""
EVERY_WAITER = 1 << 20


async def create_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["QueueName"]
    given = inp.get("Attributes", {})
    fifo = given.get("FifoQueue", "").lower() == "true"
    _check_name(name, fifo)
    kept = attributes.checked(given, fifo=fifo, creating=True)
    tags = inp.get("tags", {})
    check_tags(tags)
    url = queue_url(ctx, ctx.account, name)
    existing = await find(tx, ctx.account, ctx.region, name)
    if existing is not None:
        _check_same(existing, kept)
        return {"QueueUrl": url}

    queue = rows.QueueRow(
        id=ctx.ids.token(keys.ID_SIZE_BYTES),
        born_id=ctx.ids.token(keys.ID_SIZE_BYTES),
        name=name,
        account=ctx.account,
        region=ctx.region,
        created_ms=ctx.now_ms,
        modified_ms=ctx.now_ms,
        attributes={},
        tags=tags,
        fifo=fifo,
    )
    queue = rows.replace(queue, attributes=attributes.changed(queue, kept))

    await _follow_redrive(tx, queue, "")
    save(tx, queue)
    await plan_sweep(ctx, tx, queue, ctx.now_ms + attributes.number(queue, "MessageRetentionPeriod") * 1000)

    return {"QueueUrl": url}


def _check_name(name: str, fifo: bool) -> None:
    if fifo and not limits.FIFO_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length."
        )
    if not fifo and not limits.QUEUE_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def _check_same(queue: QueueRow, kept: dict[str, str]) -> None:
    """Creating a queue again is no error where every attribute that is given equals what the queue has."""
    has = attributes.shown(queue)
    for name, value in kept.items():
        if has.get(name, "") != value:
            raise errors.queue_name_exists(name)


async def _follow_redrive(tx: Tx, queue: QueueRow, before: str) -> None:
    """Check the dead-letter queue that `queue` names, and keep the list of its sources; `before` is the policy until now."""
    text = queue.attributes.get("RedrivePolicy", "")
    if text == before:
        return
    if before:
        tx.clear(keys.source(queue.account, queue.region, redrive_policy.parse(before).target.resource, queue.name))
    if not text:
        return
    target = redrive_policy.parse(text).target

    def refuse(reason: str) -> Exception:
        return errors.invalid_value(text, "RedrivePolicy", reason)

    if (target.account, target.region) != (queue.account, queue.region):
        raise refuse("Dead letter target must be in the same account and region as the source.")
    dead = queue if target.resource == queue.name else await find_arn(tx, target)
    if dead is None:
        raise refuse("Dead letter target does not exist.")
    if dead.fifo != queue.fifo:
        raise refuse("Dead letter queue must be same type of queue as the source.")
    if not redrive_policy.allows(dead.attributes.get("RedriveAllowPolicy"), queue.arn):
        raise refuse("The redrive allow policy of the dead letter target does not allow this source queue.")
    tx.set(keys.source(queue.account, queue.region, target.resource, queue.name), b"")


async def plan_sweep(ctx: Ctx, tx: Tx, queue: QueueRow, due_ms: int) -> None:
    """Nothing that is in the queue now expires before `due_ms`, and what is sent later expires later still."""
    due_ms = max(due_ms, ctx.now_ms + SWEEP_INTERVAL_MS_MIN)
    await set_timer(ctx, tx, SWEEP, _timer(queue), due_ms, queue.name.encode())


def _timer(queue: QueueRow) -> str:
    return f"{queue.account}/{queue.region}/{queue.name}"


async def delete_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The name is free at once. AWS makes clients wait for a minute until all its servers know; here there is nothing to
    wait for, and Terraform, which retries QueueDeletedRecently, is merely done sooner."""
    queue = await load(ctx, tx, inp["QueueUrl"])

    tx.clear(keys.queue(queue.account, queue.region, queue.name))
    if text := queue.attributes.get("RedrivePolicy"):
        tx.clear(keys.source(queue.account, queue.region, redrive_policy.parse(text).target.resource, queue.name))
    tx.clear_range(*keys.move_tasks(queue.account, queue.region, queue.name))
    await clear_timer(tx, SWEEP, _timer(queue))
    add_task(ctx, tx, CLEAN_UP, keys.contents(queue.id))
    if queue.fifo:
        add_task(ctx, tx, CLEAN_UP, keys.memory(queue.born_id))
    tx.signal(keys.channel(queue.id), EVERY_WAITER)

    return {}


async def purge_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """All messages are gone at once: the queue goes on under a new id, and a task removes what the old id holds."""
    queue = await load(ctx, tx, inp["QueueUrl"])
    if queue.purged_ms and ctx.now_ms - queue.purged_ms < limits.PURGE_INTERVAL_MS:
        raise errors.purge_in_progress(queue.name)

    save(tx, rows.replace(queue, id=ctx.ids.token(keys.ID_SIZE_BYTES), purged_ms=ctx.now_ms))
    add_task(ctx, tx, CLEAN_UP, keys.contents(queue.id))
    # Those who wait do so under the old id.
    tx.signal(keys.channel(queue.id), EVERY_WAITER)

    return {}


async def get_queue_url(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    account = inp.get("QueueOwnerAWSAccountId", ctx.account)
    if await find(tx, account, ctx.region, inp["QueueName"]) is None:
        raise errors.queue_does_not_exist()
    return {"QueueUrl": queue_url(ctx, account, inp["QueueName"])}


def page_size(inp: dict[str, Any]) -> int:
    limit: int = inp.get("MaxResults", limits.LIST_MAX)
    if not 1 <= limit <= limits.LIST_MAX:
        raise errors.invalid_parameter("MaxResults must be between 1 and 1000.")
    return limit


async def list_queues(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    limit = page_size(inp)
    # No name is longer; a longer prefix finds what a cut one would, less all of it.
    prefix = inp.get("QueueNamePrefix", "")
    if len(prefix) > limits.NAME_MAX:
        return {}
    begin, end = keys.queues(ctx.account, ctx.region, prefix)
    if token := inp.get("NextToken", "")[: limits.NAME_MAX]:
        # The token is the last name of the page before: a position, which stays right whatever is made or deleted.
        begin = max(begin, keys.queue(ctx.account, ctx.region, token) + b"\0")
    pairs = await tx.get_range(begin, max(begin, end), limit=limit + 1)

    names = [keys.queue_name(key, ctx.account, ctx.region) for key, _ in pairs[:limit]]
    out: dict[str, Any] = {"QueueUrls": [queue_url(ctx, ctx.account, name) for name in names]} if names else {}
    # AWS pages only for those who ask for pages.
    if len(pairs) > limit and "MaxResults" in inp:
        out["NextToken"] = names[-1]
    return out


async def list_dead_letter_source_queues(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    limit = page_size(inp)
    begin, end = keys.sources(queue.account, queue.region, queue.name)
    if token := inp.get("NextToken", "")[: limits.NAME_MAX]:
        begin = max(begin, keys.source(queue.account, queue.region, queue.name, token) + b"\0")
    pairs = await tx.get_range(begin, max(begin, end), limit=limit + 1)

    names = [keys.source_name(key) for key, _ in pairs[:limit]]
    out: dict[str, Any] = {"queueUrls": [queue_url(ctx, queue.account, name) for name in names]}
    if len(pairs) > limit and "MaxResults" in inp:
        out["NextToken"] = names[-1]
    return out


async def get_queue_attributes(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    asked = set(inp.get("AttributeNames", ()))
    if unknown := asked - attributes.READABLE:
        raise errors.invalid_attribute_name(min(unknown))

    shown = attributes.shown(queue)
    if "All" in asked or any(name in asked for name in attributes.COUNTS):
        shown |= await _count(ctx, tx, queue)

    if "All" not in asked:
        shown = {name: value for name, value in shown.items() if name in asked}
    return {"Attributes": shown} if shown else {}


async def _count(ctx: Ctx, tx: ReadTx, queue: QueueRow) -> dict[str, str]:
    """The three approximate counts: right to the second in which a timeout ends. What is read grows with the number of
    different seconds ahead, never with the number of messages."""
    total = read_counter(await tx.get(keys.count(queue.id)))
    in_flight = await count_hidden(tx, queue, "i", ctx.now_ms)
    delayed = await count_hidden(tx, queue, "l", ctx.now_ms)
    numbers = (max(0, total - in_flight - delayed), in_flight, delayed)
    return {name: str(number) for name, number in zip(attributes.COUNTS, numbers, strict=True)}


async def count_hidden(tx: ReadTx, queue: QueueRow, kind: str, now_ms: int) -> int:
    """How many messages are in flight ("i") or delayed ("l")."""
    later = await tx.get_range(*keys.timed(queue.id, kind, now_ms // 1000 + 1, keys.FOREVER_MS))
    return sum(read_counter(value) for _, value in later)


async def set_queue_attributes(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    kept = attributes.checked(inp["Attributes"], fifo=queue.fifo)
    changed = rows.replace(queue, attributes=attributes.changed(queue, kept), modified_ms=ctx.now_ms)

    await _follow_redrive(tx, changed, queue.attributes.get("RedrivePolicy", ""))
    save(tx, changed)
    if "MessageRetentionPeriod" in kept:
        await plan_sweep(ctx, tx, queue, ctx.now_ms)

    return {}
