"""Event source mappings: which queue feeds which function, and how. What polls them is pollers.py.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
Sources are told apart by the service in their ARN: a new kind (Kinesis, DynamoDB streams) is a line in SOURCES and a poller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.kernel.errors import AwsError
from unkai.kernel.service import Access
from unkai.layers.patterns import PatternError, compile_pattern
from unkai.services.lambda_ import errors, keys, limits, loading, rows
from unkai.services.lambda_.names import FunctionRef, ref_of
from unkai.services.lambda_.sessions import role_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.rows import MappingRow
    from unkai.store.api import ReadTx, Tx

SOURCES = ("sqs",)
FILTERS_MAX = 5

SETTABLE = (
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "FilterCriteria",
    "FunctionResponseTypes",
    "ScalingConfig",
    "KMSKeyArn",
    "MetricsConfig",
)


# --- access: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html


def mapping_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return ctx.arn("lambda", f"event-source-mapping:{inp['UUID']}")


def create_access(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    context = {"lambda:FunctionArn": ref_of(ctx, inp).qualified_arn}
    return (Access("lambda:CreateEventSourceMapping", "*", context, inp.get("Tags") or None),)


def update_access(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    return (Access("lambda:UpdateEventSourceMapping", mapping_arn(ctx, inp)),)


# --- rules


def check(value: Mapping[str, Any], source: Arn) -> None:
    """What the model does not say of a mapping for SQS."""
    size = value.get("BatchSize", limits.SQS_BATCH_DEFAULT)
    window_s = value.get("MaximumBatchingWindowInSeconds", 0)
    is_fifo = source.resource.endswith(".fifo")
    if size > limits.SQS_BATCH_MAX or (is_fifo and size > limits.SQS_BATCH_UNWINDOWED_MAX):
        most = limits.SQS_BATCH_UNWINDOWED_MAX if is_fifo else limits.SQS_BATCH_MAX
        raise errors.invalid_parameter(f"Batch size must be at most {most} for this event source")
    if is_fifo and window_s:
        raise errors.invalid_parameter("Batching window is not supported for FIFO queues")
    if size > limits.SQS_BATCH_UNWINDOWED_MAX and window_s < 1:
        raise errors.invalid_parameter(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    filters = value.get("FilterCriteria", {}).get("Filters", ())
    if len(filters) > FILTERS_MAX:
        raise errors.invalid_parameter(f"A mapping has at most {FILTERS_MAX} filters.")
    for one in filters:
        try:
            compile_pattern(one.get("Pattern", ""))
        except PatternError as error:
            raise errors.invalid_parameter(f"Invalid filter pattern definition. {error}") from None


def show(row: MappingRow, *, state: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {
        "UUID": row.uuid,
        "BatchSize": limits.SQS_BATCH_DEFAULT,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        **row.value,
        "EventSourceArn": row.source_arn,
        "FunctionArn": row.function_arn,
        "LastModified": row.modified_ms,
        "State": state or ("Enabled" if row.enabled else "Disabled"),
        "StateTransitionReason": "USER_INITIATED",
        "EventSourceMappingArn": f"arn:aws:lambda:{row.region}:{row.account}:event-source-mapping:{row.uuid}",
    }
    return out


def _kept(inp: Mapping[str, Any]) -> dict[str, Any]:
    return {member: inp[member] for member in SETTABLE if member in inp}


# --- operations


async def create_event_source_mapping(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """One transaction after the check that the source is there and the function's role may read it."""
    source = Arn.parse(inp.get("EventSourceArn", ""))
    if source is None:
        raise errors.invalid_parameter("Unrecognized event source, must be kinesis, dynamodb stream or sqs.")
    if source.service not in SOURCES:
        raise errors.unsupported(f"event sources of the service {source.service}")
    check(inp, source)
    ref = ref_of(ctx, inp)
    role: str = await node.run(ctx, role_of, [ref.account, ref.region, ref.name, ref.qualifier])
    await _check_source(node, source, ref, role)
    out: dict[str, Any] = await node.run(ctx, insert_mapping, inp)
    return out


async def role_of(ctx: Ctx, tx: Tx, inp: list[str]) -> str:
    """A step that only reads: the role of what the mapping feeds."""
    ref = FunctionRef(*inp)
    function = await loading.load_ref(ctx, tx, ref)
    version, _ = await loading.resolve(tx, function, ref)
    return str(version.config["Role"])


async def _check_source(node: Node, source: Arn, ref: FunctionRef, role: str) -> None:
    url = f"https://sqs.{source.region}.amazonaws.com/{source.account}/{source.resource}"
    try:
        session = await role_session(node, role, ref.account, ref.region, ref.name, ref.arn)
        asked = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
        await node.call("sqs", "GetQueueAttributes", asked, as_=session.caller, region=source.region)
    except AwsError as error:
        if not error.sender_fault:
            raise
        if error.code == "AccessDenied":
            raise errors.invalid_parameter(
                "The function execution role does not have permissions to call GetQueueAttributes on SQS"
            ) from None
        raise errors.invalid_parameter(
            f"Error occurred while ReceiveMessage. SQS Error Code: {error.code}. SQS Error Message: {error.message}"
        ) from None


async def _mappings(tx: ReadTx, account: str, region: str) -> list[MappingRow]:
    begin, end = keys.mappings(account, region)
    found: list[MappingRow] = []
    while pairs := await tx.get_range(begin, end, limit=1000):
        found += [rows.decode_mapping(value) for _, value in pairs]
        begin = pairs[-1][0] + b"\0"
    return found


async def insert_mapping(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    ref = ref_of(ctx, inp)
    for other in await _mappings(tx, ref.account, ref.region):
        if (other.source_arn, other.function_arn) == (inp["EventSourceArn"], ref.qualified_arn):
            raise errors.mapping_exists(other.source_arn, other.function_arn, other.uuid)

    row = rows.MappingRow(
        uuid=ctx.ids.uuid(),
        account=ref.account,
        region=ref.region,
        source_arn=inp["EventSourceArn"],
        function_arn=ref.qualified_arn,
        enabled=inp.get("Enabled", True),
        modified_ms=ctx.now_ms,
        value=_kept(inp),
        tags=inp.get("Tags", {}),
    )
    _write(tx, row)

    return show(row, state="Creating")


def _write(tx: Tx, row: MappingRow) -> None:
    tx.set(keys.mapping(row.account, row.region, row.uuid), rows.encode(row))
    tx.signal(keys.MAPPINGS_CHANNEL)


async def _load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> MappingRow:
    value = await tx.get(keys.mapping(ctx.account, ctx.region, inp["UUID"])) if len(inp["UUID"]) <= 64 else None
    if value is None:
        raise errors.resource_not_found()
    return rows.decode_mapping(value)


async def get_event_source_mapping(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return show(await _load(ctx, tx, inp))


async def update_event_source_mapping(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    before = await _load(ctx, tx, inp)
    value = before.value | _kept(inp)
    source = Arn.parse(before.source_arn)
    assert source is not None, "checked when it was made"
    check(value, source)
    function_arn = before.function_arn
    if "FunctionName" in inp:
        ref = ref_of(ctx, inp)
        await loading.resolve(tx, await loading.load_ref(ctx, tx, ref), ref)
        function_arn = ref.qualified_arn

    row = msgspec.structs.replace(
        before,
        function_arn=function_arn,
        enabled=inp.get("Enabled", before.enabled),
        modified_ms=ctx.now_ms,
        value=value,
        change=before.change + 1,
    )
    _write(tx, row)

    state = "Updating" if row.enabled == before.enabled else "Enabling" if row.enabled else "Disabling"
    return show(row, state=state)


async def delete_event_source_mapping(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await _load(ctx, tx, inp)

    tx.clear(keys.mapping(row.account, row.region, row.uuid))
    tx.signal(keys.MAPPINGS_CHANNEL)

    return show(row, state="Deleting")


async def list_event_source_mappings(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    begin, end = keys.mappings(ctx.account, ctx.region)
    values, marker = await loading.page(tx, begin, end, inp, 100)
    source = inp.get("EventSourceArn")
    function = ref_of(ctx, inp).qualified_arn if "FunctionName" in inp else None
    shown = [
        show(row)
        for row in map(rows.decode_mapping, values)
        if source in (None, row.source_arn) and function in (None, row.function_arn)
    ]
    return {"EventSourceMappings": shown, **({"NextMarker": marker} if marker else {})}
