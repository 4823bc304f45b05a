"""Tags of log groups, in both of AWS's APIs for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.logs import arns, errors, limits
from unkai.services.logs.arns import load_group
from unkai.services.logs.groups import save

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import ReadTx, Tx


async def _load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> GroupRow:
    if "logGroupName" in inp:
        return await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    return await load_group(ctx, tx, *arns.of_resource(ctx, inp["resourceArn"]))


async def tag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await _load(ctx, tx, inp)
    tags = group.tags | inp["tags"]
    if len(tags) > limits.TAGS_MAX:
        raise errors.too_many_tags(arns.bare_arn(group.account, group.region, group.name))

    save(tx, group, tags=tags)

    return {}


async def tag_log_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await tag_resource(ctx, tx, inp)


async def untag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await _load(ctx, tx, inp)
    gone = set(inp["tagKeys"] if "tagKeys" in inp else inp["tags"])

    save(tx, group, tags={key: value for key, value in group.tags.items() if key not in gone})

    return {}


async def untag_log_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await untag_resource(ctx, tx, inp)


async def list_tags_for_resource(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await _load(ctx, tx, inp)
    return {"tags": group.tags}


async def list_tags_log_group(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await list_tags_for_resource(ctx, tx, inp)
