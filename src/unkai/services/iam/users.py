"""Users. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_users.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import attachments, entities, errors, identity, keys, paging, rows, shapes
from unkai.services.iam.entities import USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx


def user_name(ctx: Ctx, inp: Mapping[str, Any]) -> str:
    """The user that a call is about: named, or the caller. Empty: the account's root."""
    if name := inp.get("UserName", ""):
        return str(name)
    if ctx.caller.type == "User":
        return ctx.caller.arn.rpartition("/")[2]
    if ctx.caller.type == "Root":
        return ""
    raise errors.must_name_user()


async def create_user(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    boundary = inp.get("PermissionsBoundary", "")
    row = rows.UserRow(
        id=entities.unique_id(ctx, USER),
        name=inp["UserName"],
        path=inp.get("Path", "/"),
        created_ms=ctx.now_ms,
        tags=entities.tags_of(inp.get("Tags", ())),
        boundary=boundary,
    )
    await entities.insert(ctx, tx, USER, row)
    if boundary:
        await attachments.add_boundary(ctx, tx, USER, row.name, boundary)

    return {"User": shapes.user(ctx.account, row)}


async def get_user(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    name = user_name(ctx, inp)
    if name:
        return {"User": shapes.user(ctx.account, await entities.load(ctx, tx, USER, name))}
    value = await tx.get(keys.account(ctx.account))
    created_ms = rows.decode_account(value).created_ms if value is not None else 0
    root = {"UserId": ctx.account, "Arn": identity.root_arn(ctx.account), "CreateDate": created_ms}
    return {"User": root}


async def delete_user(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.UserRow = await entities.load_given(ctx, tx, USER, inp)
    if row.groups:
        raise errors.must_first("remove users from group")
    if row.keys:
        raise errors.must_first("delete access keys")
    attachments.refuse_in_use(row)

    if row.boundary:
        attachments.remove_use(ctx, tx, row.boundary, "user-boundary", row.name)
    entities.remove(ctx, tx, USER, row.name)

    return {}


async def list_users(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    prefix = inp.get("PathPrefix", "/")

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = rows.decode_user(value)
        return row.name, shapes.user(ctx.account, row, whole=False) if row.path.startswith(prefix) else None

    page, more = await paging.page_of_range(
        tx, keys.entities(ctx.account, "user"), inp, lambda name: keys.entity(ctx.account, "user", name), read
    )
    return {"Users": page, **paging.truncation(more)}


async def update_user(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """A renamed user stays the same principal: groups, keys and attachments go along."""
    row: rows.UserRow = await entities.load_given(ctx, tx, USER, inp)
    changed = replace(row, name=inp.get("NewUserName", row.name), path=inp.get("NewPath", row.path))
    await entities.rename(ctx, tx, USER, row.name, changed)
    if changed.name != row.name:
        for group in row.groups:
            tx.clear(keys.member(ctx.account, group, row.name))
            tx.set(keys.member(ctx.account, group, changed.name), b"")
        for access_key_id in row.keys:
            value = await tx.get(keys.access_key(access_key_id))
            assert value is not None
            key = rows.decode_key(value)
            tx.set(keys.access_key(access_key_id), rows.encode(replace(key, user=changed.name)))
        attachments.move_uses(ctx, tx, "user", row, row.name, changed.name)

    return {}
