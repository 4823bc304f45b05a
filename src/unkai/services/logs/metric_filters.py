"""Metric filters: kept, given back and tested. They make no metrics until CloudWatch is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.logs import errors, keys, limits, rows
from unkai.services.logs.arns import load_group
from unkai.services.logs.patterns import compile_pattern

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import GroupRow, MetricFilterRow
    from unkai.store.api import ReadTx, Tx

SETTINGS = ("metricTransformations", "fieldSelectionCriteria", "emitSystemFieldDimensions")
DIMENSIONS_MAX = 3
GROUPS_LOOK_MAX = 200


def refuse_class(group: GroupRow) -> None:
    if group.log_class != "STANDARD":
        raise errors.invalid_operation(f"The operation is not supported for log groups of class {group.log_class}.")


async def _all(tx: ReadTx, group: GroupRow, prefix: str = "") -> list[MetricFilterRow]:
    pairs = await tx.get_range(*keys.metric_filters(group.id, prefix), limit=limits.METRIC_FILTERS_MAX)
    found = [rows.decode_metric_filter(value) for _, value in pairs]
    return [row for row in found if row.name.startswith(prefix)]


async def count_regexes(tx: ReadTx, group: GroupRow, *, except_metric: str = "", except_subscription: str = "") -> int:
    """How many of the group's filters use regular expressions."""
    patterns = [row.pattern for row in await _all(tx, group) if row.name != except_metric]
    patterns += [row.pattern for row in group.subscriptions if row.name != except_subscription]
    return sum(compile_pattern(pattern).has_regex for pattern in patterns)


async def put_metric_filter(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    pattern = compile_pattern(inp["filterPattern"])
    for transformation in inp["metricTransformations"]:
        _check_transformation(transformation)
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    refuse_class(group)
    name = inp["filterName"]
    key = keys.metric_filter(group.id, name)
    earlier = await tx.get(key)
    if earlier is None and len(await _all(tx, group)) >= limits.METRIC_FILTERS_MAX:
        raise errors.limit_exceeded()
    if pattern.has_regex and await count_regexes(tx, group, except_metric=name) >= limits.REGEX_PATTERNS_MAX:
        raise errors.limit_exceeded()

    row = rows.MetricFilterRow(
        name=name,
        pattern=inp["filterPattern"],
        created_ms=rows.decode_metric_filter(earlier).created_ms if earlier is not None else ctx.now_ms,
        settings={
            "applyOnTransformedLogs": inp.get("applyOnTransformedLogs", False),
            **{member: inp[member] for member in SETTINGS if member in inp},
        },
    )
    tx.set(key, rows.encode(row))

    return {}


def _check_transformation(transformation: dict[str, Any]) -> None:
    dimensions = transformation.get("dimensions")
    if not dimensions:
        return
    if "defaultValue" in transformation:
        raise errors.invalid_parameter(
            "Invalid metric transformation: dimensions and default value are mutually exclusive properties."
        )
    if len(dimensions) > DIMENSIONS_MAX:
        raise errors.invalid_parameter(f"A metric transformation can have at most {DIMENSIONS_MAX} dimensions.")


async def delete_metric_filter(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    key = keys.metric_filter(group.id, inp["filterName"])
    if await tx.get(key) is None:
        raise errors.not_found("metric filter")

    tx.clear(key)

    return {}


async def describe_metric_filters(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Of one group, or of all groups: in order of group, then of name."""
    if ("metricName" in inp) != ("metricNamespace" in inp):
        raise errors.invalid_parameter("metricName and metricNamespace must be given together.")
    limit = inp.get("limit", limits.DESCRIBE_MAX)
    after_group, _, after_name = inp.get("nextToken", "").partition("\n")
    groups, has_more = await _groups(ctx, tx, inp, after_group)

    found: list[tuple[GroupRow, MetricFilterRow]] = []
    for group in groups:
        for row in await _all(tx, group, inp.get("filterNamePrefix", "")):
            if (group.name != after_group or row.name > after_name) and _is_for(row, inp):
                found.append((group, row))
        if len(found) > limit:
            break

    out: dict[str, Any] = {"metricFilters": [_described(group, row) for group, row in found[:limit]]}
    if len(found) > limit:
        out["nextToken"] = f"{found[limit - 1][0].name}\n{found[limit - 1][1].name}"
    elif has_more:
        out["nextToken"] = f"{groups[-1].name}\n\U0010ffff"
    return out


async def _groups(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], after: str) -> tuple[list[GroupRow], bool]:
    """The groups to look at, and whether there are more behind them."""
    if "logGroupName" in inp:
        return [await load_group(ctx, tx, ctx.account, inp["logGroupName"])], False
    begin, end = keys.groups(ctx.account, ctx.region)
    if after:
        begin = max(begin, keys.group(ctx.account, ctx.region, after))
    pairs = await tx.get_range(begin, end, limit=GROUPS_LOOK_MAX)
    return [rows.decode_group(value) for _, value in pairs], len(pairs) == GROUPS_LOOK_MAX


def _is_for(row: MetricFilterRow, inp: dict[str, Any]) -> bool:
    if "metricName" not in inp:
        return True
    return any(
        given["metricName"] == inp["metricName"] and given["metricNamespace"] == inp["metricNamespace"]
        for given in row.settings["metricTransformations"]
    )


def _described(group: GroupRow, row: MetricFilterRow) -> dict[str, Any]:
    return {
        "filterName": row.name,
        "filterPattern": row.pattern,
        "creationTime": row.created_ms,
        "logGroupName": group.name,
        **row.settings,
    }


async def test_metric_filter(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """It tests the pattern, nothing else."""
    pattern = compile_pattern(inp["filterPattern"])
    return {
        "matches": [
            {"eventNumber": number, "eventMessage": message, "extractedValues": dict(pattern.extract(message))}
            for number, message in enumerate(inp["logEventMessages"], 1)
            if pattern.matches(message)
        ]
    }
