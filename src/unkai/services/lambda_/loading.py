"""From a function's reference to its rows: every operation begins here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.lambda_ import errors, keys, rows
from unkai.services.lambda_.names import LATEST, FunctionRef, is_account, is_version, ref_of

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.rows import AliasRow, FunctionRow, LayerVersionRow, VersionRow
    from unkai.store.api import ReadTx


async def find(tx: ReadTx, ref: FunctionRef) -> FunctionRow | None:
    value = await tx.get(keys.function(ref.account, ref.region, ref.name))
    return None if value is None else rows.decode_function(value)


async def load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[FunctionRow, FunctionRef]:
    """The function that the input names. Raises ResourceNotFoundException."""
    ref = ref_of(ctx, inp)
    return await load_ref(ctx, tx, ref), ref


async def load_ref(ctx: Ctx, tx: ReadTx, ref: FunctionRef) -> FunctionRow:
    if ref.region != ctx.region:
        raise errors.invalid_parameter(
            f"Functions from '{ref.region}' are not reachable in this region ('{ctx.region}')"
        )
    function = await find(tx, ref)
    if function is None:
        raise errors.function_not_found(ref.qualified_arn)
    return function


async def get_version(tx: ReadTx, function: FunctionRow, version: str) -> VersionRow | None:
    if version in ("", LATEST):
        return function.latest
    value = await tx.get(keys.version(function.id, int(version))) if len(version) < 19 else None
    return None if value is None else rows.decode_version(value)


async def get_alias(tx: ReadTx, function: FunctionRow, name: str) -> AliasRow | None:
    value = await tx.get(keys.alias(function.id, name))
    return None if value is None else rows.decode_alias(value)


async def resolve(tx: ReadTx, function: FunctionRow, ref: FunctionRef) -> tuple[VersionRow, AliasRow | None]:
    """The version that a qualifier names, by itself or through an alias. Raises ResourceNotFoundException."""
    alias: AliasRow | None = None
    wanted = ref.qualifier
    if wanted not in ("", LATEST) and not is_version(wanted):
        alias = await get_alias(tx, function, wanted)
        if alias is None:
            raise errors.alias_not_found(ref.qualified_arn)
        wanted = alias.version
    version = await get_version(tx, function, wanted)
    if version is None:
        raise errors.function_not_found(ref.qualified_arn)
    return version, alias


def check_revision(given: str | None, revision: str) -> None:
    if given is not None and given != revision:
        raise errors.revision_mismatch()


async def get_setting(tx: ReadTx, function: FunctionRow, kind: str, qualifier: str) -> rows.SettingRow | None:
    value = await tx.get(keys.setting(function.id, kind, qualifier or LATEST))
    return None if value is None else rows.decode_setting(value)


async def page(
    tx: ReadTx, begin: bytes, end: bytes, inp: dict[str, Any], limit_max: int
) -> tuple[list[bytes], str | None]:
    """A page of values and the marker of the next. The marker is the last key: a position that stays right whatever changes."""
    limit = min(inp.get("MaxItems") or limit_max, limit_max)
    if marker := inp.get("Marker"):
        try:
            begin = max(begin, bytes.fromhex(marker) + b"\0")
        except ValueError:
            raise errors.invalid_parameter("Invalid Marker") from None
        if begin >= end:
            return [], None
    pairs = await tx.get_range(begin, end, limit=limit + 1)
    return [value for _, value in pairs[:limit]], pairs[limit - 1][0].hex() if len(pairs) > limit else None


def parse_layer_version(arn: str) -> tuple[str, str, str, int] | None:
    """Account, region, layer and version; None where `arn` names no layer version."""
    parts = arn.split(":")
    if len(parts) != 8 or parts[2] != "lambda" or parts[5] != "layer" or not is_account(parts[4]):
        return None
    if not parts[3] or not parts[6] or not is_version(parts[7]) or len(parts[7]) > 18:
        return None
    return parts[4], parts[3], parts[6], int(parts[7])


async def find_layer_version(tx: ReadTx, arn: str) -> LayerVersionRow | None:
    place = parse_layer_version(arn)
    value = None if place is None else await tx.get(keys.layer_version(*place))
    return None if value is None else rows.decode_layer_version(value)
