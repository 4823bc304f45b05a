"""Subscription filters: kept in the group's row, matched by every put, delivered to Lambda by a task written with the events.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.kernel.caller import service_caller
from unkai.kernel.errors import AwsError
from unkai.kernel.tasks import Done, Retry, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.logs import arns, chunks, errors, limits, metric_filters, rows
from unkai.services.logs.arns import load_group
from unkai.services.logs.groups import save
from unkai.services.logs.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.logs.chunks import Batch
    from unkai.services.logs.rows import GroupRow, SubscriptionRow
    from unkai.store.api import ReadTx, Tx

log = logging.getLogger(__name__)

DELIVER = "logs.deliver"
"""The task kind that invokes a subscription filter's function."""

DELIVERY_SIZE_BYTES_MAX = 256 * 1024
"""How much text one invocation carries, unless a single event has more: its base64 stays below Lambda's asynchronous limit."""

RETRY_FOR_MS = limits.DAY_MS
"""As AWS does: what cannot be delivered for 24 hours is dropped."""

NEVER_AGAIN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ResourceNotFoundException",
        "InvalidRequestContentException",
        "RequestTooLargeException",
        "RequestEntityTooLarge",
    }
)
"""Refusals that trying again does not mend."""


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """A task's payload. `events` are (place, timestamp, message)."""

    group: str
    stream: str
    filter: str
    destination_arn: str
    events: list[tuple[bytes, int, str]]


_decode_delivery = msgspec.msgpack.Decoder(Delivery).decode


async def put_subscription_filter(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Ask the function first whether it may be invoked, then write. A crash between the two leaves no filter."""
    compile_pattern(inp["filterPattern"])
    _check_destination(ctx, inp)
    for member in ("fieldSelectionCriteria", "emitSystemFields"):
        if inp.get(member):
            raise errors.not_supported(f"subscription filters with {member}")
    await node.run(ctx, check_group, inp)
    try:
        await _invoke(
            ctx, node, inp["logGroupName"], {"FunctionName": inp["destinationArn"], "InvocationType": "DryRun"}
        )
    except AwsError as error:
        if error.code in NEVER_AGAIN:
            raise errors.could_not_execute() from None
        raise
    await node.run(ctx, store_subscription, inp)
    return {}


def _check_destination(ctx: Ctx, inp: dict[str, Any]) -> None:
    parsed = Arn.parse(inp["destinationArn"])
    if parsed is None:
        raise errors.invalid_parameter("Invalid destinationArn specified.")
    if parsed.service in ("kinesis", "firehose"):
        if "roleArn" not in inp:
            raise errors.invalid_parameter(f"destinationArn for vendor {parsed.service} cannot be used without roleArn")
        raise errors.not_supported(f"subscription filters to {parsed.service}")
    if parsed.service == "logs":
        raise errors.not_supported("subscription filters to destinations of other accounts")
    if parsed.service != "lambda" or not parsed.resource.startswith("function:"):
        raise errors.invalid_parameter("Invalid destinationArn specified.")
    if parsed.account != ctx.account:
        raise errors.cross_account_lambda()
    if parsed.region != ctx.region:
        raise errors.could_not_execute()
    if "roleArn" in inp:
        raise errors.invalid_parameter("destinationArn for vendor lambda cannot be used with roleArn")


async def check_group(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """Raise what the group has against one more filter, before anything is invoked."""
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    await _checked(tx, group, inp)


async def _checked(tx: ReadTx, group: GroupRow, inp: dict[str, Any]) -> list[SubscriptionRow]:
    """The other filters of the group."""
    metric_filters.refuse_class(group)
    others = [row for row in group.subscriptions if row.name != inp["filterName"]]
    if len(others) >= limits.SUBSCRIPTION_FILTERS_MAX:
        raise errors.limit_exceeded()
    if compile_pattern(inp["filterPattern"]).has_regex:
        count = await metric_filters.count_regexes(tx, group, except_subscription=inp["filterName"])
        if count >= limits.REGEX_PATTERNS_MAX:
            raise errors.limit_exceeded()
    return others


async def store_subscription(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    others = await _checked(tx, group, inp)
    earlier = next((row for row in group.subscriptions if row.name == inp["filterName"]), None)

    row = rows.SubscriptionRow(
        name=inp["filterName"],
        pattern=inp["filterPattern"],
        destination_arn=inp["destinationArn"],
        created_ms=earlier.created_ms if earlier else ctx.now_ms,
        distribution=inp.get("distribution", "ByLogStream"),
        apply_on_transformed=inp.get("applyOnTransformedLogs", False),
    )
    save(tx, group, subscriptions=tuple(sorted((*others, row), key=lambda row: row.name)))


async def delete_subscription_filter(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    others = tuple(row for row in group.subscriptions if row.name != inp["filterName"])
    if len(others) == len(group.subscriptions):
        raise errors.not_found("subscription filter")

    save(tx, group, subscriptions=others)

    return {}


async def describe_subscription_filters(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """At most two, so there is never a second page but for those who ask for pages of one."""
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    prefix, after = inp.get("filterNamePrefix", ""), inp.get("nextToken", "")
    found = [row for row in group.subscriptions if row.name.startswith(prefix) and row.name > after]
    limit = inp.get("limit", limits.DESCRIBE_MAX)

    out: dict[str, Any] = {"subscriptionFilters": [_described(group, row) for row in found[:limit]]}
    if len(found) > limit:
        out["nextToken"] = found[limit - 1].name
    return out


def _described(group: GroupRow, row: SubscriptionRow) -> dict[str, Any]:
    return {
        "filterName": row.name,
        "logGroupName": group.name,
        "filterPattern": row.pattern,
        "destinationArn": row.destination_arn,
        "distribution": row.distribution,
        "applyOnTransformedLogs": row.apply_on_transformed,
        "creationTime": row.created_ms,
    }


# Delivery


def deliver_later(
    ctx: Ctx, tx: Tx, group: GroupRow, row: SubscriptionRow, stream: str, batch: Batch, stamp: bytes
) -> None:
    """Write the tasks that hand the batch's matching events to the filter's function."""
    for events in _portions(row, batch, stamp):
        delivery = Delivery(group.name, stream, row.name, row.destination_arn, events)
        add_task(ctx, tx, DELIVER, rows.encode(delivery))


def _portions(row: SubscriptionRow, batch: Batch, stamp: bytes) -> Iterator[list[tuple[bytes, int, str]]]:
    matches = compile_pattern(row.pattern).matches
    portion: list[tuple[bytes, int, str]] = []
    size_bytes = 0
    for number, event in enumerate(batch.events, batch.start):
        ms, message = event["timestamp"], event["message"]
        if not matches(message):
            continue
        length = len(message.encode()) + limits.EVENT_OVERHEAD_BYTES
        if portion and size_bytes + length > DELIVERY_SIZE_BYTES_MAX:
            yield portion
            portion, size_bytes = [], 0
        portion.append((chunks.place(ms, stamp, number), ms, message))
        size_bytes += length
    if portion:
        yield portion


async def deliver(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """At least once, as on AWS: a crash between the invocation and the task's end delivers again."""
    delivery = _decode_delivery(task.payload)
    inp = {
        "FunctionName": delivery.destination_arn,
        "InvocationType": "Event",
        "Payload": payload_of(ctx.account, delivery),
    }
    try:
        await _invoke(ctx, node, delivery.group, inp)
    except AwsError as error:
        if error.code in NEVER_AGAIN or ctx.now_ms - task.created_ms >= RETRY_FOR_MS:
            log.warning("subscription filter delivery dropped", extra={"code": error.code, "group": delivery.group})
            return Done()
        return Retry(ctx.now_ms + min(300_000, 1000 << min(task.attempt, 10)))
    return Done()


def payload_of(account: str, delivery: Delivery) -> bytes:
    """What the function gets: `{"awslogs": {"data": base64 of gzip of JSON}}`."""
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": account,
        "logGroup": delivery.group,
        "logStream": delivery.stream,
        "subscriptionFilters": [delivery.filter],
        "logEvents": [
            {"id": chunks.event_id(place), "timestamp": ms, "message": message}
            for place, ms, message in delivery.events
        ],
    }
    packed = gzip.compress(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), 6, mtime=0)
    return b'{"awslogs":{"data":"' + base64.b64encode(packed) + b'"}}'


async def _invoke(ctx: Ctx, node: Node, group_name: str, inp: dict[str, Any]) -> None:
    """As Logs, on behalf of the group. Permissions may name the service, or the service in its region."""
    source_arn = arns.bare_arn(ctx.account, ctx.region, group_name) + ":*"
    try:
        caller = service_caller("logs.amazonaws.com", ctx.account, source_arn)
        await node.call("lambda", "Invoke", inp, as_=caller, region=ctx.region)
    except AwsError as error:
        if error.code not in ("AccessDenied", "AccessDeniedException"):
            raise
        regional = service_caller(f"logs.{ctx.region}.amazonaws.com", ctx.account, source_arn)
        await node.call("lambda", "Invoke", inp, as_=regional, region=ctx.region)
