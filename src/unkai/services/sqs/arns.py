"""Which queue an operation's input names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.services.sqs import errors

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx


def account_and_name(ctx: Ctx, queue_url: str) -> tuple[str, str]:
    """`.../123456789012/name` (any host, any scheme: clients keep URLs across endpoints), or a bare name."""
    parts = queue_url.rsplit("/", 2)
    name = parts[-1]
    if not name:
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
