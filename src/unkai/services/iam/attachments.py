"""Which managed policies are attached to whom, as permissions or as a boundary.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import entities, errors, keys, limits, paging, policies, shapes
from unkai.services.iam.entities import GROUP, HOLDERS, ROLE, USER

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.entities import Holder, Kind
    from unkai.store.api import ReadTx, Tx


def refuse_in_use(row: Holder) -> None:
    """What still has policies cannot be deleted."""
    if row.attached:
        raise errors.must_first("detach all policies")
    if row.inline:
        raise errors.must_first("delete policies")


def _add_use(ctx: Ctx, tx: Tx, arn: str, use_as: str, name: str) -> None:
    owner, _, policy = entities.policy_key(arn)
    tx.set(keys.use(ctx.account, owner, policy, use_as, name), name.encode())
    tx.add(keys.use_count(ctx.account, owner, policy, use_as.endswith("boundary")), 1)


def remove_use(ctx: Ctx, tx: Tx, arn: str, use_as: str, name: str) -> None:
    owner, _, policy = entities.policy_key(arn)
    tx.clear(keys.use(ctx.account, owner, policy, use_as, name))
    tx.add(keys.use_count(ctx.account, owner, policy, use_as.endswith("boundary")), -1)


def move_uses(ctx: Ctx, tx: Tx, use_as: str, row: Holder, old: str, new: str) -> None:
    """The entity has another name now."""
    uses = [(arn, use_as) for arn in row.attached]
    if boundary := getattr(row, "boundary", ""):
        uses.append((boundary, f"{use_as}-boundary"))
    for arn, each in uses:
        remove_use(ctx, tx, arn, each, old)
        _add_use(ctx, tx, arn, each, new)


async def add_boundary(ctx: Ctx, tx: Tx, kind: Kind, name: str, arn: str) -> None:
    """Note that the policy bounds the entity. Raises NoSuchEntity where there is no such policy."""
    if await policies.find(tx, ctx.account, arn) is None:
        raise errors.boundary_not_attachable(arn)
    _add_use(ctx, tx, arn, f"{kind.name}-boundary", name)


async def _attach(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Attaching again succeeds, as on AWS."""
    arn = inp["PolicyArn"]
    row = await entities.load_holder(ctx, tx, kind, inp)
    # Read even where nothing changes: an attachment and the deletion of its policy must conflict.
    if await policies.find(tx, ctx.account, arn) is None:
        raise errors.policy_not_attachable(arn)
    if arn in row.attached:
        return {}
    if len(row.attached) >= limits.ATTACHED_MAX:
        raise errors.quota(f"PoliciesPer{kind.name.capitalize()}", limits.ATTACHED_MAX)

    _add_use(ctx, tx, arn, kind.name, row.name)
    entities.store(ctx, tx, kind, replace(row, attached=[*row.attached, arn]))

    return {}


async def _detach(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    arn = inp["PolicyArn"]
    row = await entities.load_holder(ctx, tx, kind, inp)
    entities.policy_key(arn)
    if arn not in row.attached:
        raise errors.no_such_policy(arn)

    remove_use(ctx, tx, arn, kind.name, row.name)
    entities.store(ctx, tx, kind, replace(row, attached=[each for each in row.attached if each != arn]))

    return {}


async def _list_attached(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_given(ctx, tx, kind, inp)
    prefix = inp.get("PathPrefix", "/")
    kept = [
        each for each in shapes.attached_policies(row) if entities.policy_key(each["PolicyArn"])[1].startswith(prefix)
    ]
    # A policy of one's own may have the name of one of AWS's; the owner tells them apart.
    page, more = paging.page_of(
        kept, inp, lambda each: f"{each['PolicyName']} {entities.policy_key(each['PolicyArn'])[0]}"
    )
    return {"AttachedPolicies": page, **more}


async def attach_user_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _attach(ctx, tx, inp, USER)


async def attach_group_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _attach(ctx, tx, inp, GROUP)


async def attach_role_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _attach(ctx, tx, inp, ROLE)


async def detach_user_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _detach(ctx, tx, inp, USER)


async def detach_group_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _detach(ctx, tx, inp, GROUP)


async def detach_role_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _detach(ctx, tx, inp, ROLE)


async def list_attached_user_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list_attached(ctx, tx, inp, USER)


async def list_attached_group_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list_attached(ctx, tx, inp, GROUP)


async def list_attached_role_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _list_attached(ctx, tx, inp, ROLE)


async def _put_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_holder(ctx, tx, kind, inp)
    arn = inp["PermissionsBoundary"]

    if row.boundary:
        remove_use(ctx, tx, row.boundary, f"{kind.name}-boundary", row.name)
    await add_boundary(ctx, tx, kind, row.name, arn)
    entities.store(ctx, tx, kind, replace(row, boundary=arn))

    return {}


async def _delete_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any], kind: Kind) -> dict[str, Any]:
    row = await entities.load_holder(ctx, tx, kind, inp)
    if not row.boundary:
        raise errors.no_boundary(kind.name, row.name)

    remove_use(ctx, tx, row.boundary, f"{kind.name}-boundary", row.name)
    entities.store(ctx, tx, kind, replace(row, boundary=""))

    return {}


async def put_user_permissions_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put_boundary(ctx, tx, inp, USER)


async def put_role_permissions_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put_boundary(ctx, tx, inp, ROLE)


async def delete_user_permissions_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _delete_boundary(ctx, tx, inp, USER)


async def delete_role_permissions_boundary(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _delete_boundary(ctx, tx, inp, ROLE)


_FILTERS = {
    "User": ("user", "user-boundary"),
    "Group": ("group",),
    "Role": ("role", "role-boundary"),
    "LocalManagedPolicy": (),
    "AWSManagedPolicy": (),
}
_LISTS = {"user": "PolicyUsers", "group": "PolicyGroups", "role": "PolicyRoles"}


async def list_entities_for_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Groups, roles and users that a policy is attached to or bounds. The marker names the way of use and the entity."""
    row = await policies.load_any(ctx, tx, inp["PolicyArn"])
    owner, _, _ = entities.policy_key(inp["PolicyArn"])
    wanted = _FILTERS.get(inp.get("EntityFilter", ""), keys.USES)
    usage = inp.get("PolicyUsageFilter")
    bounds = keys.uses(ctx.account, owner, row.name)

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        use_as = keys.use_of(key)
        is_boundary = use_as.endswith("boundary")
        fits = usage is None or is_boundary == (usage == "PermissionsBoundary")
        name = f"{use_as}/{value.decode()}"
        return name, name if use_as in wanted and fits else None

    def key(marker: str) -> bytes:
        use_as, _, name = marker.partition("/")
        if use_as not in keys.USES:
            raise errors.invalid_marker()
        return keys.use(ctx.account, owner, row.name, use_as, name)

    page, more = await paging.page_of_range(tx, bounds, inp, key, read)
    out: dict[str, list[dict[str, str]]] = {name: [] for name in _LISTS.values()}
    for each in page:
        use_as, _, name = each.partition("/")
        kind = HOLDERS[use_as.removesuffix("-boundary")]
        entity = await entities.load(ctx, tx, kind, name)
        listed = {kind.member: entity.name, kind.member.replace("Name", "Id"): entity.id}
        # One that the policy is attached to and bounds is named once.
        if entity.path.startswith(inp.get("PathPrefix", "/")) and listed not in out[_LISTS[kind.name]]:
            out[_LISTS[kind.name]].append(listed)
    return {**out, **paging.truncation(more)}
