"""Tags of users, roles, customer policies and instance profiles. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import entities, paging, policies, shapes
from unkai.services.iam.entities import POLICY, PROFILE, ROLE, USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.entities import Kind
    from unkai.store.api import ReadTx, Tx


async def _row(ctx: Ctx, tx: ReadTx, kind: Kind, inp: Mapping[str, Any]) -> Any:
    if kind is POLICY:
        return await policies.load_own(ctx, tx, inp["PolicyArn"])
    if kind is ROLE:
        return await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    return await entities.load_given(ctx, tx, kind, inp)


async def _tag(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await _row(ctx, tx, kind, inp)
    entities.store(ctx, tx, kind, replace(row, tags=entities.tags_of(inp["Tags"], row.tags)))
    return {}


async def _untag(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await _row(ctx, tx, kind, inp)
    gone = {key.lower() for key in inp["TagKeys"]}
    kept = {key: value for key, value in row.tags.items() if key.lower() not in gone}
    entities.store(ctx, tx, kind, replace(row, tags=kept))
    return {}


async def _list(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    if kind is POLICY:
        row = await policies.load_any(ctx, tx, inp["PolicyArn"])
    else:
        row = await entities.load_given(ctx, tx, kind, inp)
    in_order = sorted(shapes.tag_list(row.tags), key=lambda tag: tag["Key"])
    page, more = paging.page_by_position(in_order, inp)
    return {"Tags": page, **more}


async def tag_user(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _tag(ctx, tx, inp, USER)


async def tag_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _tag(ctx, tx, inp, ROLE)


async def tag_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _tag(ctx, tx, inp, POLICY)


async def tag_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _tag(ctx, tx, inp, PROFILE)


async def untag_user(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _untag(ctx, tx, inp, USER)


async def untag_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _untag(ctx, tx, inp, ROLE)


async def untag_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _untag(ctx, tx, inp, POLICY)


async def untag_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _untag(ctx, tx, inp, PROFILE)


async def list_user_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, USER)


async def list_role_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, ROLE)


async def list_policy_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, POLICY)


async def list_instance_profile_tags(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, PROFILE)
