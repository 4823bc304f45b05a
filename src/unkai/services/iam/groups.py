"""Groups and who is in them. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_groups.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import attachments, entities, errors, keys, limits, paging, rows, shapes
from unkai.services.iam.entities import GROUP, USER

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx


async def create_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = rows.GroupRow(entities.unique_id(ctx, GROUP), inp["GroupName"], inp.get("Path", "/"), ctx.now_ms)
    await entities.insert(ctx, tx, GROUP, row)
    return {"Group": shapes.group(ctx.account, row)}


async def get_group(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    group: rows.GroupRow = await entities.load_given(ctx, tx, GROUP, inp)

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        name = keys.last_part(key)
        return name, name

    page, more = await paging.page_of_range(
        tx,
        keys.members(ctx.account, group.name),
        inp,
        lambda name: keys.member(ctx.account, group.name, name),
        read,
    )
    users = [shapes.user(ctx.account, await entities.load(ctx, tx, USER, name), whole=False) for name in page]
    return {"Group": shapes.group(ctx.account, group), "Users": users, **paging.truncation(more)}


async def delete_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.GroupRow = await entities.load_given(ctx, tx, GROUP, inp)
    if await tx.get_range(*keys.members(ctx.account, row.name), limit=1):
        raise errors.must_first("remove users from group")
    attachments.refuse_in_use(row)

    entities.remove(ctx, tx, GROUP, row.name)

    return {}


async def list_groups(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    prefix = inp.get("PathPrefix", "/")

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = rows.decode_group(value)
        return row.name, shapes.group(ctx.account, row) if row.path.startswith(prefix) else None

    page, more = await paging.page_of_range(
        tx, keys.entities(ctx.account, "group"), inp, lambda name: keys.entity(ctx.account, "group", name), read
    )
    return {"Groups": page, **paging.truncation(more)}


async def list_groups_for_user(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    user: rows.UserRow = await entities.load_given(ctx, tx, USER, inp)
    page, more = paging.page_of(user.groups, inp, str)
    groups = [shapes.group(ctx.account, await entities.load(ctx, tx, GROUP, name)) for name in page]
    return {"Groups": groups, **more}


async def update_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """A renamed group keeps its members, each of whom has the group's name in its row."""
    row: rows.GroupRow = await entities.load_given(ctx, tx, GROUP, inp)
    changed = replace(row, name=inp.get("NewGroupName", row.name), path=inp.get("NewPath", row.path))
    await entities.rename(ctx, tx, GROUP, row.name, changed)
    if changed.name != row.name:
        # As many members as an account has users, at most.
        for key, _ in await tx.get_range(*keys.members(ctx.account, row.name), limit=limits.ENTITIES_MAX["user"]):
            user: rows.UserRow = await entities.load(ctx, tx, USER, keys.last_part(key))
            groups = [changed.name if name == row.name else name for name in user.groups]
            tx.clear(key)
            tx.set(keys.member(ctx.account, changed.name, user.name), b"")
            entities.store(ctx, tx, USER, replace(user, groups=groups))
        attachments.move_uses(ctx, tx, "group", row, row.name, changed.name)

    return {}


async def add_user_to_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Adding a member again succeeds, as on AWS."""
    group: rows.GroupRow = await entities.load_given(ctx, tx, GROUP, inp)
    user: rows.UserRow = await entities.load_given(ctx, tx, USER, inp)
    if group.name in user.groups:
        return {}
    if len(user.groups) >= limits.GROUPS_PER_USER_MAX:
        raise errors.quota("GroupsPerUser", limits.GROUPS_PER_USER_MAX)

    tx.set(keys.member(ctx.account, group.name, user.name), b"")
    entities.store(ctx, tx, USER, replace(user, groups=[*user.groups, group.name]))

    return {}


async def remove_user_from_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group: rows.GroupRow = await entities.load_given(ctx, tx, GROUP, inp)
    user: rows.UserRow = await entities.load_given(ctx, tx, USER, inp)
    if group.name not in user.groups:
        raise errors.no_such_member(group.name, user.name)

    tx.clear(keys.member(ctx.account, group.name, user.name))
    entities.store(ctx, tx, USER, replace(user, groups=[name for name in user.groups if name != group.name]))

    return {}
