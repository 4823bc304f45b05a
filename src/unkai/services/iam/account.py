"""What is true of the whole account: its alias, its summary, and all its principals with their policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import (
    aws_managed,
    entities,
    errors,
    keys,
    limits,
    paging,
    policies,
    profiles,
    roles,
    rows,
    shapes,
)
from unkai.services.iam.entities import GROUP, POLICY, PROFILE, ROLE, USER
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.entities import Kind
    from unkai.store.api import ReadTx, Tx


async def _load(ctx: Ctx, tx: ReadTx) -> rows.AccountRow:
    value = await tx.get(keys.account(ctx.account))
    return rows.decode_account(value) if value is not None else rows.AccountRow(ctx.account, ctx.now_ms, [])


async def create_account_alias(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """An account has one alias; a new one takes the old one's place. No two accounts of a node have the same."""
    alias = inp["AccountAlias"]
    row = await _load(ctx, tx)
    taken = await tx.get(keys.alias(alias))
    if taken is not None and taken != ctx.account.encode():
        raise errors.alias_taken(alias)

    if row.alias:
        tx.clear(keys.alias(row.alias))
    tx.set(keys.alias(alias), ctx.account.encode())
    tx.set(keys.account(ctx.account), rows.encode(replace(row, alias=alias)))

    return {}


async def delete_account_alias(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await _load(ctx, tx)
    if row.alias != inp["AccountAlias"]:
        raise errors.no_such_alias(inp["AccountAlias"])

    tx.clear(keys.alias(row.alias))
    tx.set(keys.account(ctx.account), rows.encode(replace(row, alias="")))

    return {}


async def list_account_aliases(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    alias = (await _load(ctx, tx)).alias
    return {"AccountAliases": [alias] if alias else [], "IsTruncated": False}


async def get_account_summary(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    counts = {
        kind.name: read_counter(await tx.get(keys.count(ctx.account, kind.name)))
        for kind in (USER, GROUP, ROLE, POLICY, PROFILE)
    }
    own = await tx.get_range(*keys.entities(ctx.account, POLICY.name), limit=limits.ENTITIES_MAX["policy"])
    root_keys = (await _load(ctx, tx)).root_keys
    summary = {
        "Users": counts["user"],
        "UsersQuota": limits.ENTITIES_MAX["user"],
        "Groups": counts["group"],
        "GroupsQuota": limits.ENTITIES_MAX["group"],
        "Roles": counts["role"],
        "RolesQuota": limits.ENTITIES_MAX["role"],
        "Policies": counts["policy"],
        "PoliciesQuota": limits.ENTITIES_MAX["policy"],
        "InstanceProfiles": counts["profile"],
        "InstanceProfilesQuota": limits.ENTITIES_MAX["profile"],
        "PolicyVersionsInUse": sum(len(rows.decode_policy(value).versions) for _, value in own),
        "PolicyVersionsInUseQuota": 10_000,
        "VersionsPerPolicyQuota": limits.VERSIONS_MAX,
        "PolicySizeQuota": limits.POLICY_SIZE_CHARS_MAX,
        "AssumeRolePolicySizeQuota": limits.TRUST_SIZE_CHARS_MAX,
        "UserPolicySizeQuota": limits.INLINE_SIZE_CHARS_MAX["user"],
        "GroupPolicySizeQuota": limits.INLINE_SIZE_CHARS_MAX["group"],
        "RolePolicySizeQuota": limits.INLINE_SIZE_CHARS_MAX["role"],
        "AttachedPoliciesPerUserQuota": limits.ATTACHED_MAX,
        "AttachedPoliciesPerGroupQuota": limits.ATTACHED_MAX,
        "AttachedPoliciesPerRoleQuota": limits.ATTACHED_MAX,
        "GroupsPerUserQuota": limits.GROUPS_PER_USER_MAX,
        "AccessKeysPerUserQuota": limits.ACCESS_KEYS_MAX,
        "AccountAccessKeysPresent": int(bool(root_keys)),
        "AccountMFAEnabled": 0,
        "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0,
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "Providers": 0,
        "ServerCertificates": 0,
        "ServerCertificatesQuota": 20,
        "SigningCertificatesPerUserQuota": 2,
        "GlobalEndpointTokenVersion": 2,
    }
    return {"SummaryMap": summary}


_PARTS: tuple[tuple[str, Kind], ...] = (
    ("User", USER),
    ("Group", GROUP),
    ("Role", ROLE),
    ("LocalManagedPolicy", POLICY),
)
_LISTS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


async def get_account_authorization_details(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """One list after the other, in pages; the marker is a list's name and its last item's. Of AWS's policies, those in use."""
    wanted = inp.get("Filter") or list(_LISTS)
    at, _, after = inp.get("Marker", "User/").partition("/")
    if at not in _LISTS:
        raise errors.invalid_marker()
    out: dict[str, Any] = {name: [] for name in dict.fromkeys(_LISTS.values())}
    room = inp.get("MaxItems", limits.PAGE_DEFAULT)
    begun = False
    for part, kind in _PARTS:
        begun = begun or part == at
        if not begun or part not in wanted:
            continue
        if room == 0:
            return {**out, **paging.truncation(f"{part}/")}
        page, more = await _page(tx, ctx.account, kind, after if part == at else "", room)
        out[_LISTS[part]] += [await _detail(ctx, tx, kind, row) for row in page]
        room -= len(page)
        if more is not None:
            return {**out, **paging.truncation(f"{part}/{more}")}
    if "AWSManagedPolicy" in wanted:
        rest = await _aws_in_use(ctx, tx, after if at == "AWSManagedPolicy" else "")
        out["Policies"] += [await _policy_detail(ctx, tx, aws_managed.OWNER, row) for row in rest[:room]]
        if len(rest) > room:
            return {**out, **paging.truncation(f"AWSManagedPolicy/{rest[room - 1].name if room else ''}")}
    return {**out, **paging.truncation(None)}


async def _page(tx: ReadTx, account: str, kind: Kind, after: str, room: int) -> tuple[list[Any], str | None]:
    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = kind.decode(value)
        return row.name, row

    inp = {"MaxItems": room, **({"Marker": after} if after else {})}
    bounds = keys.entities(account, kind.name)
    return await paging.page_of_range(tx, bounds, inp, lambda name: keys.entity(account, kind.name, name), read)


async def _aws_in_use(ctx: Ctx, tx: ReadTx, after: str) -> list[rows.PolicyRow]:
    found = []
    for row in sorted(aws_managed.policies().values(), key=lambda row: row.name):
        if row.name > after and any(await policies.usage(tx, ctx.account, aws_managed.OWNER, row.name)):
            found.append(row)
    return found


async def _detail(ctx: Ctx, tx: ReadTx, kind: Kind, row: Any) -> dict[str, Any]:
    if kind is POLICY:
        return await _policy_detail(ctx, tx, ctx.account, row)
    attached = {"AttachedManagedPolicies": shapes.attached_policies(row)}
    if kind is USER:
        lists = {"UserPolicyList": shapes.inline_policies(row), "GroupList": row.groups}
        return {**shapes.user(ctx.account, row), **lists, **attached}
    if kind is GROUP:
        return {**shapes.group(ctx.account, row), "GroupPolicyList": shapes.inline_policies(row), **attached}
    out = await roles.shown(ctx, tx, row)
    del out["MaxSessionDuration"]
    out.pop("Description", None)
    pairs = await tx.get_range(*keys.in_profiles(ctx.account, row.name), limit=limits.PAGE_DEFAULT)
    found = [await entities.load(ctx, tx, PROFILE, keys.last_part(key)) for key, _ in pairs]
    out["InstanceProfileList"] = [await profiles.shown(ctx, tx, each, whole=False) for each in found]
    return {**out, "RolePolicyList": shapes.inline_policies(row), **attached}


async def _policy_detail(ctx: Ctx, tx: ReadTx, owner: str, row: rows.PolicyRow) -> dict[str, Any]:
    out = await policies.shape(tx, ctx.account, owner, row)
    out.pop("Tags", None)
    out["PolicyVersionList"] = [shapes.version(row, number) for number in sorted(row.versions, reverse=True)]
    return out
