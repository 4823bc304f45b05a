"""Settings of functions and their qualifiers: concurrency, asynchronous invocation, recursion, runtime management.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.services.lambda_ import configuration, errors, keys, limits, loading, rows
from unkai.services.lambda_.names import LATEST
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import FunctionRow, SettingRow
    from unkai.store.api import ReadTx, Tx

DESTINATIONS = ("sqs", "sns", "lambda", "events", "s3")


def _write_function(tx: Tx, function: FunctionRow) -> None:
    tx.set(keys.function(function.account, function.region, function.name), rows.encode(function))


# --- reserved concurrency


async def put_function_concurrency(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    wanted = inp["ReservedConcurrentExecutions"]
    total = read_counter(await tx.get(keys.reserved(function.account, function.region)))
    grown = wanted - (function.reserved or 0)
    if limits.CONCURRENCY - total - grown < limits.UNRESERVED_CONCURRENCY_MIN:
        raise errors.invalid_parameter(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
            f"its minimum value of [{limits.UNRESERVED_CONCURRENCY_MIN}]."
        )

    tx.add(keys.reserved(function.account, function.region), grown)
    _write_function(tx, msgspec.structs.replace(function, reserved=wanted))

    return {"ReservedConcurrentExecutions": wanted}


async def delete_function_concurrency(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)

    if function.reserved is not None:
        tx.add(keys.reserved(function.account, function.region), -function.reserved)
        _write_function(tx, msgspec.structs.replace(function, reserved=None))

    return {}


async def get_function_concurrency(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}


# --- provisioned concurrency: kept and given back; see docs/services/lambda.md for what it does here


async def put_provisioned_concurrency_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    if ref.qualifier in ("", LATEST):
        raise errors.invalid_parameter(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    await loading.resolve(tx, function, ref)

    value = {"Requested": inp["ProvisionedConcurrentExecutions"]}
    row = rows.SettingRow(ref.qualifier, value, ctx.now_ms, ctx.now_ms)
    tx.set(keys.setting(function.id, keys.PROVISIONED, ref.qualifier), rows.encode(row))

    return _show_provisioned(row)


def _show_provisioned(row: SettingRow) -> dict[str, Any]:
    wanted = row.value["Requested"]
    return {
        "RequestedProvisionedConcurrentExecutions": wanted,
        "AvailableProvisionedConcurrentExecutions": wanted,
        "AllocatedProvisionedConcurrentExecutions": wanted,
        "Status": "READY",
        "LastModified": configuration.modified(row.modified_ms),
    }


async def get_provisioned_concurrency_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    row = await loading.get_setting(tx, function, keys.PROVISIONED, ref.qualifier)
    if row is None:
        raise errors.provisioned_not_found()
    return _show_provisioned(row)


async def delete_provisioned_concurrency_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)

    tx.clear(keys.setting(function.id, keys.PROVISIONED, ref.qualifier or LATEST))

    return {}


async def list_provisioned_concurrency_configs(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    values, marker = await loading.page(tx, *keys.settings(function.id, keys.PROVISIONED), inp, limits.LIST_MAX)
    shown = [
        _show_provisioned(row) | {"FunctionArn": f"{ref.arn}:{row.qualifier}"}
        for row in map(rows.decode_setting, values)
    ]
    return {"ProvisionedConcurrencyConfigs": shown, **({"NextMarker": marker} if marker else {})}


# --- asynchronous invocation


def _check_destinations(given: dict[str, Any], ref: FunctionRef) -> None:
    for side in ("OnSuccess", "OnFailure"):
        arn = given.get(side, {}).get("Destination")
        if not arn:
            continue
        parsed = Arn.parse(arn)
        if parsed is None or parsed.service not in DESTINATIONS:
            raise errors.invalid_parameter(
                f"The provided destination config DestinationConfig({side}={side}(destination={arn})) is invalid."
            )
        if parsed.service in ("events", "s3"):
            raise errors.unsupported(f"destinations of the service {parsed.service}")
        if arn == ref.arn:
            raise errors.invalid_parameter("You can't specify the function as a destination for itself.")


def _show_event(row: SettingRow, ref: FunctionRef) -> dict[str, Any]:
    numbers = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
    shown = {key: value for key, value in row.value.items() if key in numbers}
    destinations = row.value.get("DestinationConfig", {})
    return shown | {
        "LastModified": row.modified_ms,
        "FunctionArn": f"{ref.arn}:{row.qualifier}",
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}, **destinations},
    }


async def _put_event(ctx: Ctx, tx: Tx, inp: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    await loading.resolve(tx, function, ref)
    before = await loading.get_setting(tx, function, keys.EVENT, ref.qualifier)
    if keep and before is None:
        raise errors.event_config_not_found(f"{ref.arn}:{ref.qualifier or LATEST}")
    _check_destinations(inp.get("DestinationConfig", {}), ref)

    value = dict(before.value) if keep and before is not None else {}
    for member in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"):
        if member in inp:
            value[member] = inp[member]
    row = rows.SettingRow(ref.qualifier or LATEST, value, ctx.now_ms, ctx.now_ms)
    tx.set(keys.setting(function.id, keys.EVENT, row.qualifier), rows.encode(row))

    return _show_event(row, ref)


async def put_function_event_invoke_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put_event(ctx, tx, inp, keep=False)


async def update_function_event_invoke_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _put_event(ctx, tx, inp, keep=True)


async def get_function_event_invoke_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    row = await loading.get_setting(tx, function, keys.EVENT, ref.qualifier)
    if row is None:
        raise errors.event_config_not_found(f"{ref.arn}:{ref.qualifier or LATEST}")
    return _show_event(row, ref)


async def delete_function_event_invoke_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    key = keys.setting(function.id, keys.EVENT, ref.qualifier or LATEST)
    if await tx.get(key) is None:
        raise errors.event_config_not_found(f"{ref.arn}:{ref.qualifier or LATEST}")

    tx.clear(key)

    return {}


async def list_function_event_invoke_configs(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    values, marker = await loading.page(tx, *keys.settings(function.id, keys.EVENT), inp, limits.LIST_MAX)
    shown = [_show_event(rows.decode_setting(value), ref) for value in values]
    return {"FunctionEventInvokeConfigs": shown, **({"NextMarker": marker} if marker else {})}


# --- what is kept and given back


async def put_function_recursion_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)

    _write_function(tx, msgspec.structs.replace(function, recursive_loop=inp["RecursiveLoop"]))

    return {"RecursiveLoop": inp["RecursiveLoop"]}


async def get_function_recursion_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    return {"RecursiveLoop": function.recursive_loop}


async def put_runtime_management_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    await loading.resolve(tx, function, ref)
    if inp["UpdateRuntimeOn"] == "Manual" and not inp.get("RuntimeVersionArn"):
        raise errors.invalid_parameter("A RuntimeVersionArn must be provided when UpdateRuntimeOn is set to Manual.")

    value: dict[str, Any] = {key: inp[key] for key in ("UpdateRuntimeOn", "RuntimeVersionArn") if key in inp}
    row = rows.SettingRow(ref.qualifier or LATEST, value, ctx.now_ms, ctx.now_ms)
    tx.set(keys.setting(function.id, keys.RUNTIME, row.qualifier), rows.encode(row))

    return value | {"FunctionArn": ref.qualified_arn}


async def get_runtime_management_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    await loading.resolve(tx, function, ref)
    row = await loading.get_setting(tx, function, keys.RUNTIME, ref.qualifier)
    value = row.value if row is not None else {"UpdateRuntimeOn": "Auto"}
    return value | {"FunctionArn": ref.qualified_arn}


async def get_function_code_signing_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """No function has one: what would set it is not there."""
    function, _ = await loading.load(ctx, tx, inp)
    return {"CodeSigningConfigArn": "", "FunctionName": function.name}
