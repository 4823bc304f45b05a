"""Tags of queues. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-tags.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.sqs import catalog, errors, limits, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx


def check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not 1 <= len(key) <= limits.TAG_KEY_MAX:
            raise errors.invalid_parameter("Tag keys must be between 1 and 128 characters in length.")
        if key.lower().startswith("aws:"):
            raise errors.invalid_parameter("Tag keys must not begin with aws:, which is reserved for system use.")
        if len(value) > limits.TAG_VALUE_MAX:
            raise errors.invalid_parameter("Tag values must be between 0 and 256 characters in length.")
    if len(tags) > limits.TAGS_MAX:
        raise errors.invalid_parameter("Too many tags: a queue has at most 50.")


async def tag_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await catalog.load(ctx, tx, inp["QueueUrl"])
    tags = queue.tags | inp["Tags"]
    if not inp["Tags"]:
        raise errors.missing_parameter("Tags")
    check_tags(tags)

    catalog.save(tx, rows.replace(queue, tags=tags))

    return {}


async def untag_queue(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await catalog.load(ctx, tx, inp["QueueUrl"])
    gone = set(inp["TagKeys"])

    catalog.save(tx, rows.replace(queue, tags={key: value for key, value in queue.tags.items() if key not in gone}))

    return {}


async def list_queue_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await catalog.load(ctx, tx, inp["QueueUrl"])
    return {"Tags": queue.tags} if queue.tags else {}
