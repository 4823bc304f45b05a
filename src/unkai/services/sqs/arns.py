"""Which queue an operation's input names, and what that needs of rights.

Batches need the right of the single operation.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.errors import access_denied
from unkai.kernel.service import Access
from unkai.services.sqs import errors, limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unkai.kernel.ctx import Ctx


def account_and_name(ctx: Ctx, queue_url: str) -> tuple[str, str]:
    """`.../123456789012/name` (any host, any scheme: clients keep URLs across endpoints), or a bare name."""
    parts = queue_url.rsplit("/", 2)
    name = parts[-1]
    if not 0 < len(name) <= limits.NAME_MAX:
        raise errors.queue_does_not_exist()
    if len(parts) >= 2 and len(parts[-2]) == 12 and parts[-2].isdigit():
        return parts[-2], name
    return ctx.account, name


def queue_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    account, name = account_and_name(ctx, inp["QueueUrl"])
    return str(Arn("sqs", ctx.region, account, name))


def named_queue_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return str(Arn("sqs", ctx.region, inp.get("QueueOwnerAWSAccountId", ctx.account), inp["QueueName"]))


def queue_url(ctx: Ctx, account: str, name: str) -> str:
    return f"{ctx.base_url}/{account}/{name}"


def owned(action: str, *, tags: str = "") -> Callable[[Ctx, Any], Sequence[Access]]:
    """For operations that no policy can give to another account; `tags` is the member with the tags that are set.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-customer-managed-policy-examples.html
    """

    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        account, name = account_and_name(ctx, inp["QueueUrl"])
        arn = str(Arn("sqs", ctx.region, account, name))
        if ctx.caller.type != "Service" and account != ctx.caller.account:
            raise access_denied(
                f"User: {ctx.caller.shown_arn} is not authorized to perform: {action} on resource: {arn} "
                "because cross-account access is not allowed for this action"
            )
        return (Access(action, arn, request_tags=inp.get(tags) if tags else None),)

    return rule


def creating(ctx: Ctx, inp: Any) -> Sequence[Access]:
    """Tags at creation need the right to tag, too."""
    arn = str(Arn("sqs", ctx.region, ctx.account, inp["QueueName"]))
    tags = inp.get("tags")
    create = Access("sqs:CreateQueue", arn, request_tags=tags or None)
    return (create, Access("sqs:TagQueue", arn, request_tags=tags)) if tags else (create,)


def moving(ctx: Ctx, inp: Any) -> Sequence[Access]:
    """A move reads and deletes at its source and sends to its destination, in the name of who starts it.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
    """
    source = inp["SourceArn"]
    actions = ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    needed = [Access(f"sqs:{action}", source) for action in actions]
    if destination := inp.get("DestinationArn"):
        needed.append(Access("sqs:SendMessage", destination))
    return needed
