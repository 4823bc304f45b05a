"""Instance profiles: a role for EC2 in a wrapper of its own.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_switch-role-ec2_instance-profiles.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import entities, errors, keys, paging, rows, shapes
from unkai.services.iam.entities import PROFILE, ROLE

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx


async def shown(ctx: Ctx, tx: ReadTx, row: rows.ProfileRow, *, whole: bool = True) -> dict[str, Any]:
    role = await entities.find(tx, ctx.account, ROLE, row.role) if row.role else None
    return shapes.profile(ctx.account, row, role, whole=whole)


async def create_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = rows.ProfileRow(
        id=entities.unique_id(ctx, PROFILE),
        name=inp["InstanceProfileName"],
        path=inp.get("Path", "/"),
        created_ms=ctx.now_ms,
        tags=entities.tags_of(inp.get("Tags", ())),
    )
    await entities.insert(ctx, tx, PROFILE, row)
    return {"InstanceProfile": shapes.profile(ctx.account, row, None)}


async def get_instance_profile(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.ProfileRow = await entities.load_given(ctx, tx, PROFILE, inp)
    return {"InstanceProfile": await shown(ctx, tx, row)}


async def delete_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.ProfileRow = await entities.load_given(ctx, tx, PROFILE, inp)
    if row.role:
        raise errors.must_first("remove roles from instance profile")
    entities.remove(ctx, tx, PROFILE, row.name)
    return {}


async def list_instance_profiles(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    prefix = inp.get("PathPrefix", "/")

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = rows.decode_profile(value)
        return row.name, row if row.path.startswith(prefix) else None

    page, more = await paging.page_of_range(
        tx, keys.entities(ctx.account, "profile"), inp, lambda name: keys.entity(ctx.account, "profile", name), read
    )
    return {"InstanceProfiles": [await shown(ctx, tx, row, whole=False) for row in page], **paging.truncation(more)}


async def list_instance_profiles_for_role(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    role: rows.RoleRow = await entities.load_given(ctx, tx, ROLE, inp)

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        name = keys.last_part(key)
        return name, name

    names, more = await paging.page_of_range(
        tx,
        keys.in_profiles(ctx.account, role.name),
        inp,
        lambda name: keys.in_profile(ctx.account, role.name, name),
        read,
    )
    found = [await entities.load(ctx, tx, PROFILE, name) for name in names]
    return {"InstanceProfiles": [await shown(ctx, tx, row, whole=False) for row in found], **paging.truncation(more)}


async def add_role_to_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.ProfileRow = await entities.load_given(ctx, tx, PROFILE, inp)
    role = await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    if row.role:
        raise errors.quota("InstanceSessionsPerInstanceProfile", 1)

    tx.set(keys.in_profile(ctx.account, role.name, row.name), b"")
    entities.store(ctx, tx, PROFILE, replace(row, role=role.name))

    return {}


async def remove_role_from_instance_profile(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.ProfileRow = await entities.load_given(ctx, tx, PROFILE, inp)
    role = await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    if row.role != role.name:
        raise errors.not_in_profile(role.name, row.name)

    tx.clear(keys.in_profile(ctx.account, role.name, row.name))
    entities.store(ctx, tx, PROFILE, replace(row, role=""))

    return {}
