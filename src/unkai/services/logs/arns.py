"""ARNs and identifiers in and out, and which resource an operation's input names.

IAM sees operations on a group as `...:log-group:NAME:log-stream:`, which is why policies are written with `:*` behind the name;
only the tagging operations see the bare ARN.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.service import Access
from unkai.services.logs import errors, keys, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import ReadTx

GROUP = "log-group:"
NO_GROUP = "log-group::log-stream:"


def bare_arn(account: str, region: str, name: str) -> str:
    return str(Arn("logs", region, account, GROUP + name))


def parse_group_arn(arn: str) -> tuple[str, str, str] | None:
    """Account, region and name of a log group's ARN, with or without `:*`; also of what is inside it."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "logs" or not parsed.resource.startswith(GROUP):
        return None
    name = parsed.resource[len(GROUP) :].split(":", 1)[0]
    return (parsed.account, parsed.region, name) if name else None


def account_and_name(ctx: Ctx, inp: dict[str, Any]) -> tuple[str, str]:
    """The group that logGroupName or logGroupIdentifier (a name or an ARN) names."""
    name, identifier = inp.get("logGroupName"), inp.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise errors.validation("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    if name is not None:
        return ctx.account, name
    if identifier is None:
        raise errors.validation("Must provide either log group name or log group ARN.")
    return _identified(ctx, identifier)


def _identified(ctx: Ctx, identifier: str) -> tuple[str, str]:
    if not identifier.startswith("arn:"):
        return ctx.account, identifier
    found = parse_group_arn(identifier)
    if found is None or found[1] != ctx.region:
        raise errors.invalid_parameter("The specified log group identifier is invalid.")
    return found[0], found[2]


def of_resource(ctx: Ctx, arn: str) -> tuple[str, str]:
    """Account and name of the group that a tagging operation names. Destinations have tags on AWS; there are none here."""
    found = parse_group_arn(arn)
    if found is None or found[1] != ctx.region:
        raise errors.invalid_parameter("The specified resource ARN is invalid.")
    return found[0], found[2]


# Access rules


def group_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    account, name = account_and_name(ctx, inp)
    return bare_arn(account, ctx.region, name) + ":log-stream:"


def stream_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return group_arn(ctx, inp) + str(inp["logStreamName"])


def any_group_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    """For operations that look at all groups, or at the one they name."""
    if "logGroupName" in inp:
        return group_arn(ctx, inp)
    return ctx.arn("logs", NO_GROUP)


def tagged_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    name = inp.get("logGroupName")
    account, name = (ctx.account, name) if name is not None else of_resource(ctx, inp["resourceArn"])
    return bare_arn(account, ctx.region, name)


def kms_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    if "resourceIdentifier" not in inp:
        return group_arn(ctx, inp)
    account, name = of_resource(ctx, inp["resourceIdentifier"])
    return bare_arn(account, ctx.region, name) + ":log-stream:"


def policy_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return str(inp["resourceArn"]) + ":log-stream:" if "resourceArn" in inp else "*"


def on_create_group(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """Tags at creation need the right to tag, too."""
    tags = inp.get("tags")
    created = Access("logs:CreateLogGroup", group_arn(ctx, inp), request_tags=tags)
    if not tags:
        return (created,)
    return created, Access("logs:TagResource", tagged_arn(ctx, inp), request_tags=tags)


def on_tag(action: str) -> Any:
    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        tags = inp.get("tags", inp.get("tagKeys"))
        asked = tags if isinstance(tags, dict) else dict.fromkeys(tags or (), "")
        return (Access(action, tagged_arn(ctx, inp), request_tags=asked),)

    return rule


async def complete(tx: ReadTx, access: Access) -> Access:
    """Add the group's tags: aws:ResourceTag/..."""
    found = parse_group_arn(access.resource)
    if found is None:
        return access
    value = await tx.get(keys.group(*found))
    if value is None:
        return access
    tags = rows.decode_group(value).tags
    if not tags:
        return access
    shown = {f"aws:ResourceTag/{key}": text for key, text in tags.items()}
    return replace(access, context={**access.context, **shown})


async def load_group(ctx: Ctx, tx: ReadTx, account: str, name: str) -> GroupRow:
    """Raises ResourceNotFoundException."""
    value = await tx.get(keys.group(account, ctx.region, name))
    if value is None:
        raise errors.not_found("log group")
    return rows.decode_group(value)
