"""Operations on log groups. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.layers.tasks import add_task, clear_timer, set_timer
from unkai.services.logs import arns, errors, keys, limits, rows
from unkai.services.logs.arns import load_group
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import ReadTx, Tx

CLEAN_UP = "logs.clean_up"
"""The task kind that removes what a deleted group or stream held, a page at a time."""

EXPIRE = "logs.expire"
"""The timer kind that removes what a group's retention has ended."""


def key_of(group: GroupRow) -> bytes:
    return keys.group(group.account, group.region, group.name)


def save(tx: Tx, group: GroupRow, **changes: Any) -> GroupRow:
    changed = msgspec.structs.replace(group, **changes)
    tx.set(key_of(group), rows.encode(changed))
    return changed


def timer_name(group_id: bytes) -> str:
    return group_id.hex()


def retention_ms(group: GroupRow) -> int:
    return group.retention_days * limits.DAY_MS


async def create_log_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["logGroupName"]
    key = keys.group(ctx.account, ctx.region, name)
    if await tx.get(key) is not None:
        raise errors.already_exists("log group")

    row = rows.GroupRow(
        id=ctx.ids.token(keys.ID_SIZE_BYTES),
        name=name,
        account=ctx.account,
        region=ctx.region,
        created_ms=ctx.now_ms,
        log_class=inp.get("logGroupClass", "STANDARD"),
        kms_key_id=inp.get("kmsKeyId", ""),
        tags=inp.get("tags", {}),
        is_protected=inp.get("deletionProtectionEnabled", False),
    )
    tx.set(key, rows.encode(row))

    return {}


async def delete_log_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Gone at once; a task removes what it held."""
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    refuse_if_protected(group)

    tx.clear(key_of(group))
    await clear_timer(tx, EXPIRE, timer_name(group.id))
    add_task(ctx, tx, CLEAN_UP, group.id)

    return {}


def refuse_if_protected(group: GroupRow) -> None:
    if group.is_protected:
        raise errors.validation("The specified log group has deletion protection enabled.")


async def put_log_group_deletion_protection(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await load_group(ctx, tx, *arns.account_and_name(ctx, inp))

    save(tx, group, is_protected=inp["deletionProtectionEnabled"])

    return {}


async def put_retention_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """What is older is hidden at once and removed by a timer, which is due now, since events may have ended already."""
    days = inp["retentionInDays"]
    if days not in limits.RETENTION_DAYS:
        raise errors.invalid_parameter(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            "Member must satisfy enum value set: "
            f"[{', '.join(str(day) for day in sorted(limits.RETENTION_DAYS))}]"
        )
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])

    save(tx, group, retention_days=days)
    await set_timer(ctx, tx, EXPIRE, timer_name(group.id), ctx.now_ms, timer_payload(group))

    return {}


def timer_payload(group: GroupRow) -> bytes:
    return rows.encode((group.name, group.id))


async def delete_retention_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])

    save(tx, group, retention_days=0)
    await clear_timer(tx, EXPIRE, timer_name(group.id))

    return {}


async def associate_kms_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The key's id is kept and given back; nothing is encrypted with it (see docs/services/logs.md)."""
    group = await _kms_group(ctx, tx, inp)

    save(tx, group, kms_key_id=inp["kmsKeyId"])

    return {}


async def disassociate_kms_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await _kms_group(ctx, tx, inp)

    save(tx, group, kms_key_id="")

    return {}


async def _kms_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> GroupRow:
    name, identifier = inp.get("logGroupName"), inp.get("resourceIdentifier")
    if (name is None) == (identifier is None):
        raise errors.invalid_parameter("Specify either logGroupName or resourceIdentifier.")
    account, name = (ctx.account, name) if name is not None else arns.of_resource(ctx, identifier or "")
    return await load_group(ctx, tx, account, name)


async def describe_log_groups(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    prefix, part = inp.get("logGroupNamePrefix", ""), inp.get("logGroupNamePattern", "")
    if prefix and part:
        raise errors.invalid_parameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if "logGroupIdentifiers" in inp:
        found = await _identified(ctx, tx, inp["logGroupIdentifiers"])
        return {"logGroups": [await _described(tx, group) for group in found]}

    wanted_class = inp.get("logGroupClass")

    def is_wanted(group: GroupRow) -> bool:
        return part in group.name and wanted_class in (None, group.log_class)

    found, token = await _page(ctx, tx, prefix, inp.get("nextToken"), inp.get("limit", limits.DESCRIBE_MAX), is_wanted)

    out: dict[str, Any] = {"logGroups": [await _described(tx, group) for group in found]}
    if token:
        out["nextToken"] = token
    return out


async def list_log_groups(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The pattern is up to five alternatives, each a part of the name, or its beginning behind `^`."""
    for member in ("dataSources", "fieldIndexNames", "logGroupTags"):
        if member in inp:
            raise errors.not_supported(f"ListLogGroups by {member}")
    alternatives = [
        re.compile(("^" if part.startswith("^") else "") + re.escape(part.removeprefix("^")))
        for part in inp.get("logGroupNamePattern", "").split("|")
    ]
    wanted_class = inp.get("logGroupClass")

    def is_wanted(group: GroupRow) -> bool:
        return wanted_class in (None, group.log_class) and any(part.search(group.name) for part in alternatives)

    found, token = await _page(ctx, tx, "", inp.get("nextToken"), inp.get("limit", limits.DESCRIBE_MAX), is_wanted)

    out: dict[str, Any] = {
        "logGroups": [
            {
                "logGroupName": group.name,
                "logGroupArn": arns.bare_arn(group.account, group.region, group.name),
                "logGroupClass": group.log_class,
            }
            for group in found
        ]
    }
    if token:
        out["nextToken"] = token
    return out


async def _identified(ctx: Ctx, tx: ReadTx, identifiers: list[str]) -> list[GroupRow]:
    found = []
    for identifier in identifiers:
        account, name = arns.account_and_name(ctx, {"logGroupIdentifier": identifier})
        value = await tx.get(keys.group(account, ctx.region, name)) if account == ctx.account else None
        if value is not None:
            found.append(rows.decode_group(value))
    return found


async def _page(
    ctx: Ctx, tx: ReadTx, prefix: str, token: str | None, limit: int, is_wanted: Callable[[GroupRow], bool]
) -> tuple[list[GroupRow], str]:
    """Groups by name, and the token of the next page: the last name looked at, so that pages stay right meanwhile."""
    begin, end = keys.groups(ctx.account, ctx.region, prefix)
    if token:
        begin = max(begin, keys.group(ctx.account, ctx.region, token) + b"\0")
    pairs = await tx.get_range(begin, end, limit=limits.LOOK_MAX)
    found: list[GroupRow] = []
    for at, (_, value) in enumerate(pairs):
        group = rows.decode_group(value)
        if group.name.startswith(prefix) and is_wanted(group):
            found.append(group)
        if len(found) == limit and at + 1 < len(pairs):
            return found, group.name
    return found, rows.decode_group(pairs[-1][1]).name if len(pairs) == limits.LOOK_MAX else ""


async def _described(tx: ReadTx, group: GroupRow) -> dict[str, Any]:
    arn = arns.bare_arn(group.account, group.region, group.name)
    filters = await tx.get_range(*keys.metric_filters(group.id), limit=limits.METRIC_FILTERS_MAX)
    out: dict[str, Any] = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": len(filters),
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": read_counter(await tx.get(keys.stored_bytes(group.id))),
        "logGroupClass": group.log_class,
        "deletionProtectionEnabled": group.is_protected,
    }
    if group.retention_days:
        out["retentionInDays"] = group.retention_days
    if group.kms_key_id:
        out["kmsKeyId"] = group.kms_key_id
    return out
