"""Operations on queues. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.layers.tasks import add_task
from unkai.services.sqs import errors, keys, limits, rows
from unkai.services.sqs.arns import account_and_name, queue_url
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import ReadTx, Tx

CLEAN_UP = "sqs.clean_up"
"""The task kind that removes what a deleted or purged queue held, a page at a time."""


async def load(ctx: Ctx, tx: ReadTx, url: str) -> QueueRow:
    """The queue that `url` names. Raises QueueDoesNotExist."""
    account, name = account_and_name(ctx, url)
    value = await tx.get(keys.queue(account, ctx.region, name))
    if value is None:
        raise errors.queue_does_not_exist()
    return rows.decode_queue(value)


def number(queue: QueueRow, attribute: str) -> int:
    """A numeric attribute, or its default."""
    return int(queue.attributes.get(attribute) or limits.DEFAULTS[attribute])


def check_attributes(attributes: dict[str, str]) -> None:
    """Refuse what CreateQueue and SetQueueAttributes refuse."""
    for name, value in attributes.items():
        if name in limits.NUMBER_RANGES:
            low, high = limits.NUMBER_RANGES[name]
            if not (value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high):
                raise errors.invalid_attribute_value(name)
        elif name in limits.BOOLEANS:
            if value.lower() not in ("true", "false"):
                raise errors.invalid_attribute_value(name)
        else:
            raise errors.invalid_attribute_name(name)


async def create_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["QueueName"]
    attributes = inp.get("Attributes", {})
    if not limits.QUEUE_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    check_attributes(attributes)
    key = keys.queue(ctx.account, ctx.region, name)
    existing = await tx.get(key)

    if existing is not None:
        # Creating it again is no error where every attribute that is given equals what the queue has.
        queue = rows.decode_queue(existing)
        for attribute, value in attributes.items():
            if queue.attributes.get(attribute, limits.DEFAULTS.get(attribute)) != value:
                raise errors.queue_name_exists(attribute)
        return {"QueueUrl": queue_url(ctx, ctx.account, name)}

    row = rows.QueueRow(
        id=ctx.ids.token(8),
        name=name,
        account=ctx.account,
        region=ctx.region,
        created_ms=ctx.now_ms,
        modified_ms=ctx.now_ms,
        attributes=attributes,
        tags=inp.get("tags", {}),
    )
    tx.set(key, rows.encode(row))

    return {"QueueUrl": queue_url(ctx, ctx.account, name)}


async def delete_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])

    tx.clear(keys.queue(queue.account, queue.region, queue.name))
    add_task(ctx, tx, CLEAN_UP, queue.id)

    return {}


async def purge_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """All messages are gone at once: the queue goes on under a new id, and a task removes what the old id holds."""
    queue = await load(ctx, tx, inp["QueueUrl"])
    if queue.purged_ms and ctx.now_ms - queue.purged_ms < limits.PURGE_INTERVAL_MS:
        raise errors.purge_in_progress(queue.name)

    purged = rows.QueueRow(
        id=ctx.ids.token(8),
        name=queue.name,
        account=queue.account,
        region=queue.region,
        created_ms=queue.created_ms,
        modified_ms=queue.modified_ms,
        attributes=queue.attributes,
        tags=queue.tags,
        purged_ms=ctx.now_ms,
    )
    tx.set(keys.queue(queue.account, queue.region, queue.name), rows.encode(purged))
    add_task(ctx, tx, CLEAN_UP, queue.id)

    return {}


async def get_queue_url(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    account = inp.get("QueueOwnerAWSAccountId", ctx.account)
    if await tx.get(keys.queue(account, ctx.region, inp["QueueName"])) is None:
        raise errors.queue_does_not_exist()
    return {"QueueUrl": queue_url(ctx, account, inp["QueueName"])}


async def list_queues(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    limit = inp.get("MaxResults", limits.LIST_MAX)
    if not 1 <= limit <= limits.LIST_MAX:
        raise errors.invalid_parameter("MaxResults must be between 1 and 1000.")
    begin, end = keys.queues(ctx.account, ctx.region, inp.get("QueueNamePrefix", ""))
    if token := inp.get("NextToken"):
        # The token is the last name of the page before: a position, which stays right whatever is made or deleted.
        begin = max(begin, keys.queue(ctx.account, ctx.region, token) + b"\0")
    pairs = await tx.get_range(begin, end, limit=limit + 1)

    names = [keys.queue_name(key, ctx.account, ctx.region) for key, _ in pairs[:limit]]
    out: dict[str, Any] = {"QueueUrls": [queue_url(ctx, ctx.account, name) for name in names]} if names else {}
    # AWS pages only for those who ask for pages.
    if len(pairs) > limit and "MaxResults" in inp:
        out["NextToken"] = names[-1]
    return out


async def get_queue_attributes(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    asked = set(inp.get("AttributeNames", ()))

    attributes = limits.DEFAULTS | queue.attributes
    attributes["QueueArn"] = str(Arn("sqs", queue.region, queue.account, queue.name))
    attributes["CreatedTimestamp"] = str(queue.created_ms // 1000)
    attributes["LastModifiedTimestamp"] = str(queue.modified_ms // 1000)
    if "All" in asked or any(name.startswith("Approximate") for name in asked):
        attributes |= await _count(ctx, tx, queue)

    if "All" not in asked:
        attributes = {name: value for name, value in attributes.items() if name in asked}
    return {"Attributes": attributes} if attributes else {}


async def _count(ctx: Ctx, tx: ReadTx, queue: QueueRow) -> dict[str, str]:
    """The three approximate counts (exact here). The cost grows with what is in flight or delayed, not with the backlog."""
    total = read_counter(await tx.get(keys.count(queue.id)))
    begin, end = keys.visible_from(queue.id, ctx.now_ms + 1, 1 << 62)
    hidden = await tx.get_range(begin, end)
    received = await tx.get_range(*keys.all_of(queue.id, "s"))
    in_flight = sum(rows.decode_receipt(value).visible_ms > ctx.now_ms for _, value in received)
    return {
        "ApproximateNumberOfMessages": str(total - len(hidden)),
        "ApproximateNumberOfMessagesNotVisible": str(in_flight),
        "ApproximateNumberOfMessagesDelayed": str(len(hidden) - in_flight),
    }


async def set_queue_attributes(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    check_attributes(inp["Attributes"])

    changed = rows.QueueRow(
        id=queue.id,
        name=queue.name,
        account=queue.account,
        region=queue.region,
        created_ms=queue.created_ms,
        modified_ms=ctx.now_ms,
        attributes=queue.attributes | inp["Attributes"],
        tags=queue.tags,
        purged_ms=queue.purged_ms,
    )
    tx.set(keys.queue(queue.account, queue.region, queue.name), rows.encode(changed))

    return {}
