"""Tags of functions and event source mappings. https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.services.lambda_ import errors, keys, loading, rows
from unkai.services.lambda_.names import NotAName, parse

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

TAGS_MAX = 50


async def _load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[bytes, rows.FunctionRow | rows.MappingRow]:
    """The key and row of the resource with tags that an ARN names."""
    arn = Arn.parse(inp["Resource"])
    if arn is not None and arn.resource.startswith("event-source-mapping:"):
        key = keys.mapping(arn.account, arn.region, arn.resource.partition(":")[2])
        value = await tx.get(key)
        if value is None:
            raise errors.resource_not_found()
        return key, rows.decode_mapping(value)
    try:
        ref = parse(inp["Resource"], ctx.account, ctx.region)
    except NotAName:
        raise errors.invalid_parameter(f"Invalid ARN: {inp['Resource'][:200]}") from None
    if ref.qualifier:
        raise errors.invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify either a function ARN."
        )
    return keys.function(ref.account, ref.region, ref.name), await loading.load_ref(ctx, tx, ref)


async def tag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    key, row = await _load(ctx, tx, inp)
    tags = row.tags | inp["Tags"]
    if len(tags) > TAGS_MAX:
        raise errors.invalid_parameter(f"A resource has at most {TAGS_MAX} tags.")

    tx.set(key, rows.encode(msgspec.structs.replace(row, tags=tags)))

    return {}


async def untag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    key, row = await _load(ctx, tx, inp)
    gone = set(inp["TagKeys"])

    tags = {name: value for name, value in row.tags.items() if name not in gone}
    tx.set(key, rows.encode(msgspec.structs.replace(row, tags=tags)))

    return {}


async def list_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    _, row = await _load(ctx, tx, inp)
    return {"Tags": row.tags}
