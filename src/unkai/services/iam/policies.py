"""Managed policies and their versions. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.policy.document import parse
from unkai.services.iam import aws_managed, entities, errors, keys, limits, paging, rows, shapes
from unkai.services.iam.entities import POLICY
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.rows import PolicyRow
    from unkai.store.api import ReadTx, Tx

_VERSION = re.compile(r"v([1-9][0-9]{0,8})\Z")


async def find(tx: ReadTx, account: str, arn: str) -> PolicyRow | None:
    """The policy that `arn` names, as seen from `account`: its own or AWS's. Raises InvalidInput."""
    owner, path, name = entities.policy_key(arn)
    if owner == aws_managed.OWNER:
        return aws_managed.policies().get(arn)
    row: PolicyRow | None = await entities.find(tx, account, POLICY, name) if owner == account else None
    return row if row is not None and (row.path, row.name) == (path, name) else None


async def load_any(ctx: Ctx, tx: ReadTx, arn: str) -> PolicyRow:
    row = await find(tx, ctx.account, arn)
    if row is None:
        raise errors.no_such_policy(arn)
    return row


async def load_own(ctx: Ctx, tx: ReadTx, arn: str) -> PolicyRow:
    """A policy to change. AWS's are nobody's to change."""
    owner, _, _ = entities.policy_key(arn)
    if owner == aws_managed.OWNER:
        raise errors.not_own_policy(arn)
    return await load_any(ctx, tx, arn)


async def usage(tx: ReadTx, account: str, owner: str, name: str) -> tuple[int, int]:
    """How many entities a policy is attached to, and of how many it is the boundary."""
    values = [await tx.get(keys.use_count(account, owner, name, boundary)) for boundary in (False, True)]
    return read_counter(values[0]), read_counter(values[1])


async def shape(tx: ReadTx, account: str, owner: str, row: PolicyRow, *, whole: bool = True) -> dict[str, Any]:
    return shapes.policy(owner, row, *await usage(tx, account, owner, row.name), whole=whole)


def _version_number(arn: str, row: PolicyRow, version: str) -> int:
    match = _VERSION.match(version)
    number = int(match.group(1)) if match else 0
    if number not in row.versions:
        raise errors.no_such_version(arn, version)
    return number


async def create_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    parse(inp["PolicyDocument"], "identity", size_max_chars=limits.POLICY_SIZE_CHARS_MAX)
    row = rows.PolicyRow(
        id=entities.unique_id(ctx, POLICY),
        name=inp["PolicyName"],
        path=inp.get("Path", "/"),
        created_ms=ctx.now_ms,
        updated_ms=ctx.now_ms,
        versions={1: rows.VersionRow(inp["PolicyDocument"], ctx.now_ms)},
        tags=entities.tags_of(inp.get("Tags", ())),
        description=inp.get("Description", ""),
    )
    await entities.insert(ctx, tx, POLICY, row)

    out = shapes.policy(ctx.account, row, 0, 0)
    out.pop("Description", None)  # CreatePolicy alone does not give it back
    return {"Policy": out}


async def get_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_any(ctx, tx, inp["PolicyArn"])
    owner, _, _ = entities.policy_key(inp["PolicyArn"])
    return {"Policy": await shape(tx, ctx.account, owner, row)}


async def delete_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_own(ctx, tx, inp["PolicyArn"])
    if await tx.get_range(*keys.uses(ctx.account, ctx.account, row.name), limit=1):
        raise errors.policy_in_use()
    if len(row.versions) > 1:
        raise errors.policy_has_versions()

    entities.remove(ctx, tx, POLICY, row.name)

    return {}


async def list_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Customers' first, then AWS's, each in order of name; markers of the second part begin with AWS's owner."""
    scope = inp.get("Scope", "All")
    marker = inp.get("Marker", "")
    found: list[tuple[str, PolicyRow]] = []
    more = None
    prefix = inp.get("PathPrefix", "/")
    limit = inp.get("MaxItems", limits.PAGE_DEFAULT)
    if scope != "AWS" and not marker.startswith("aws:"):
        found, more = await _own(ctx, tx, inp, prefix)
    if scope != "Local" and more is None:
        after = marker.removeprefix("aws:") if marker.startswith("aws:") else ""
        rest = [row for row in aws_managed.policies().values() if row.name > after and row.path.startswith(prefix)]
        kept = [row for row in sorted(rest, key=lambda row: row.name) if await _wanted(ctx, tx, inp, "aws", row)]
        room = limit - len(found)
        found += [("aws", row) for row in kept[:room]]
        if len(kept) > room:
            # With no room left for any of AWS's, the next page begins before the first of them.
            more = f"aws:{kept[room - 1].name}" if room > 0 else "aws:"
    out = [await shape(tx, ctx.account, owner, row, whole=False) for owner, row in found]
    return {"Policies": out, **paging.truncation(more)}


async def _own(
    ctx: Ctx, tx: ReadTx, inp: Mapping[str, Any], prefix: str
) -> tuple[list[tuple[str, PolicyRow]], str | None]:
    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = rows.decode_policy(value)
        return row.name, row if row.path.startswith(prefix) else None

    page, more = await paging.page_of_range(
        tx,
        keys.entities(ctx.account, POLICY.name),
        inp,
        lambda name: keys.entity(ctx.account, POLICY.name, name),
        read,
    )
    return [(ctx.account, row) for row in page if await _wanted(ctx, tx, inp, ctx.account, row)], more


async def _wanted(ctx: Ctx, tx: ReadTx, inp: Mapping[str, Any], owner: str, row: PolicyRow) -> bool:
    filter_by = inp.get("PolicyUsageFilter")
    if not inp.get("OnlyAttached") and filter_by is None:
        return True
    attached, bounds = await usage(tx, ctx.account, owner, row.name)
    return bounds > 0 if filter_by == "PermissionsBoundary" else attached > 0


async def create_policy_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    parse(inp["PolicyDocument"], "identity", size_max_chars=limits.POLICY_SIZE_CHARS_MAX)
    row = await load_own(ctx, tx, inp["PolicyArn"])
    if len(row.versions) >= limits.VERSIONS_MAX:
        raise errors.too_many_versions(limits.VERSIONS_MAX)

    # Version numbers are never used again, also not after the newest one was deleted.
    number = row.newest + 1
    changed = replace(
        row,
        versions=row.versions | {number: rows.VersionRow(inp["PolicyDocument"], ctx.now_ms)},
        default=number if inp.get("SetAsDefault") else row.default,
        newest=number,
        updated_ms=ctx.now_ms,
    )
    entities.store(ctx, tx, POLICY, changed)

    return {"PolicyVersion": shapes.version(changed, number, whole=False)}


async def get_policy_version(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_any(ctx, tx, inp["PolicyArn"])
    return {"PolicyVersion": shapes.version(row, _version_number(inp["PolicyArn"], row, inp["VersionId"]))}


async def list_policy_versions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_any(ctx, tx, inp["PolicyArn"])
    # Newest first, and at most five: paging needs an order of its own.
    newest_first = sorted(row.versions, reverse=True)
    page, more = paging.page_of(newest_first, inp, lambda number: f"{10**9 - number:09}")
    return {"Versions": [shapes.version(row, number, whole=False) for number in page], **more}


async def delete_policy_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_own(ctx, tx, inp["PolicyArn"])
    number = _version_number(inp["PolicyArn"], row, inp["VersionId"])
    if number == row.default:
        raise errors.default_version()

    kept = {at: version for at, version in row.versions.items() if at != number}
    entities.store(ctx, tx, POLICY, replace(row, versions=kept))

    return {}


async def set_default_policy_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await load_own(ctx, tx, inp["PolicyArn"])
    number = _version_number(inp["PolicyArn"], row, inp["VersionId"])

    entities.store(ctx, tx, POLICY, replace(row, default=number, updated_ms=ctx.now_ms))

    return {}
