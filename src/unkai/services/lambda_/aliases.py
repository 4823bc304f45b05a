"""Aliases: names for versions, and how traffic is split between two of them.

https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from unkai.services.lambda_ import errors, keys, limits, loading, rows
from unkai.services.lambda_.names import LATEST, is_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import AliasRow, FunctionRow
    from unkai.store.api import ReadTx, Tx


def choose_version(version: str, weights: Mapping[str, float], request_id: str) -> str:
    """Which version serves a request: a function of the request's id alone, so that its retries meet the same code. Pure."""
    if not weights:
        return version
    digest = hashlib.sha256(request_id.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    for other in sorted(weights):
        if share < weights[other]:
            return other
        share -= weights[other]
    return version


async def _check(
    tx: ReadTx, function: FunctionRow, ref: FunctionRef, version: str, weights: Mapping[str, float]
) -> None:
    for wanted in (version, *weights):
        if wanted != LATEST and not is_version(wanted):
            raise errors.invalid_parameter(f"Version {wanted} is not a version of the function.")
        if await loading.get_version(tx, function, wanted) is None:
            raise errors.function_not_found(f"{ref.arn}:{wanted}")
    if len(weights) > 1:
        raise errors.invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if weights and (LATEST in weights or version == LATEST):
        raise errors.invalid_parameter("$LATEST is not supported for an alias pointing to more than 1 version")
    if version in weights:
        raise errors.invalid_parameter(
            f"Invalid function version {version}. Function version {version} is already included in routing configuration."
        )


def _show(function: FunctionRow, alias: AliasRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "AliasArn": f"arn:aws:lambda:{function.region}:{function.account}:function:{function.name}:{alias.name}",
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    }
    if alias.weights:
        out["RoutingConfig"] = {"AdditionalVersionWeights": alias.weights}
    return out


async def create_alias(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    weights = inp.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    if await loading.get_alias(tx, function, inp["Name"]) is not None:
        raise errors.alias_exists(f"{ref.arn}:{inp['Name']}")
    await _check(tx, function, ref, inp["FunctionVersion"], weights)

    alias = rows.AliasRow(inp["Name"], inp["FunctionVersion"], inp.get("Description", ""), ctx.ids.uuid(), weights)
    tx.set(keys.alias(function.id, alias.name), rows.encode(alias))

    return _show(function, alias)


async def update_alias(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref, old = await _load(ctx, tx, inp)
    loading.check_revision(inp.get("RevisionId"), old.revision)
    version = inp.get("FunctionVersion", old.version)
    weights = old.weights
    if "RoutingConfig" in inp:
        weights = inp["RoutingConfig"].get("AdditionalVersionWeights", {})
    await _check(tx, function, ref, version, weights)

    alias = rows.AliasRow(old.name, version, inp.get("Description", old.description), ctx.ids.uuid(), weights)
    tx.set(keys.alias(function.id, alias.name), rows.encode(alias))

    return _show(function, alias)


async def _load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[FunctionRow, FunctionRef, AliasRow]:
    function, ref = await loading.load(ctx, tx, inp)
    alias = await loading.get_alias(tx, function, inp["Name"])
    if alias is None:
        raise errors.alias_not_found(f"{ref.arn}:{inp['Name']}")
    return function, ref, alias


async def get_alias(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _, alias = await _load(ctx, tx, inp)
    return _show(function, alias)


async def delete_alias(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Deleting what is not there is no error. What is set for the alias goes with it."""
    function, _ = await loading.load(ctx, tx, inp)
    name = inp["Name"]

    tx.clear(keys.alias(function.id, name))
    url = await loading.get_setting(tx, function, keys.URL, name)
    if url is not None:
        tx.clear(keys.url(url.value["Id"]))
    for kind in (keys.POLICY, keys.EVENT, keys.URL, keys.PROVISIONED):
        tx.clear(keys.setting(function.id, kind, name))

    return {}


async def list_aliases(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    begin, end = keys.aliases(function.id)
    values, marker = await loading.page(tx, begin, end, inp, limits.LIST_MAX)
    wanted = inp.get("FunctionVersion")
    aliases = [rows.decode_alias(value) for value in values]
    shown = [
        _show(function, alias)
        for alias in aliases
        if wanted is None or wanted == alias.version or wanted in alias.weights
    ]
    return {"Aliases": shown, **({"NextMarker": marker} if marker else {})}
