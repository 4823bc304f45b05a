"""Inline policies of users, groups and roles: they live in the row of whom they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.policy.document import parse, size_chars
from unkai.services.iam import entities, errors, limits, paging, shapes
from unkai.services.iam.entities import GROUP, ROLE, USER

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.entities import Kind
    from unkai.store.api import ReadTx, Tx


async def _put(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Adds the policy, or replaces the one of that name. The quota is on the sum of all inline policies."""
    document = inp["PolicyDocument"]
    parse(document, "identity")
    row = await entities.load_holder(ctx, tx, kind, inp)
    changed = row.inline | {inp["PolicyName"]: document}
    most = limits.INLINE_SIZE_CHARS_MAX[kind.name]
    raw = sum(map(len, changed.values()))
    if sum(map(size_chars, changed.values())) > most or raw > limits.INLINE_RAW_SIZE_CHARS_MAX:
        raise errors.inline_too_large(kind.name, row.name, most)

    entities.store(ctx, tx, kind, replace(row, inline=changed))

    return {}


async def _get(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_given(ctx, tx, kind, inp)
    name = inp["PolicyName"]
    if name not in row.inline:
        raise errors.no_such_inline_policy(kind.name, name)
    return {kind.member: row.name, "PolicyName": name, "PolicyDocument": shapes.encoded(row.inline[name])}


async def _delete(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_holder(ctx, tx, kind, inp)
    name = inp["PolicyName"]
    if name not in row.inline:
        raise errors.no_such_inline_policy(kind.name, name)

    kept = {each: text for each, text in row.inline.items() if each != name}
    entities.store(ctx, tx, kind, replace(row, inline=kept))

    return {}


async def _list(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_given(ctx, tx, kind, inp)
    page, more = paging.page_of(list(row.inline), inp, str)
    return {"PolicyNames": page, **more}


async def put_user_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put(ctx, tx, inp, USER)


async def put_group_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put(ctx, tx, inp, GROUP)


async def put_role_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put(ctx, tx, inp, ROLE)


async def get_user_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _get(ctx, tx, inp, USER)


async def get_group_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _get(ctx, tx, inp, GROUP)


async def get_role_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _get(ctx, tx, inp, ROLE)


async def delete_user_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _delete(ctx, tx, inp, USER)


async def delete_group_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _delete(ctx, tx, inp, GROUP)


async def delete_role_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _delete(ctx, tx, inp, ROLE)


async def list_user_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, USER)


async def list_group_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, GROUP)


async def list_role_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list(ctx, tx, inp, ROLE)
