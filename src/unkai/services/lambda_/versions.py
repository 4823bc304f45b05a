"""Published versions: $LATEST as it was, for ever. https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.services.lambda_ import configuration, errors, keys, limits, loading, packages, rows
from unkai.services.lambda_.names import LATEST

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.rows import FunctionRow, VersionRow
    from unkai.store.api import ReadTx, Tx


async def publish(ctx: Ctx, tx: Tx, function: FunctionRow, description: str) -> tuple[FunctionRow, VersionRow]:
    """A version of what $LATEST is, or the last one where nothing has changed since. The caller writes the function."""
    last = await tx.get_range(*keys.versions(function.id), limit=1, reverse=True)
    if last:
        before = rows.decode_version(last[0][1])
        if configuration.is_same(function.latest, before):
            return function, before
    number = function.next_version
    latest = function.latest
    version = rows.VersionRow(
        str(number),
        latest.config | {"Description": description},
        latest.code,
        latest.layers,
        ctx.now_ms,
        ctx.ids.uuid(),
    )
    tx.set(keys.version(function.id, number), rows.encode(version))
    user = keys.function_user(function.id, version.version)
    for package in (version.code, *version.layers):
        packages.use(tx, package, user)
    return msgspec.structs.replace(function, next_version=number + 1), version


async def publish_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    latest = function.latest
    loading.check_revision(inp.get("RevisionId"), latest.revision)
    current = packages.shown_sha256(latest.code)
    if inp.get("CodeSha256", current) != current:
        raise errors.invalid_parameter(
            f"CodeSHA256 ({inp['CodeSha256']}) is different from current CodeSHA256 in $LATEST ({current}). Please try "
            "again with the CodeSHA256 in $LATEST."
        )

    function, version = await publish(ctx, tx, function, inp.get("Description") or latest.config["Description"])
    tx.set(keys.function(function.account, function.region, function.name), rows.encode(function))

    return configuration.show(function, version, arn=configuration.shown_arn(function, version))


async def list_versions_by_function(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    begin, end = keys.versions(function.id)
    first = [] if inp.get("Marker") else [function.latest]
    limit = {"MaxItems": max(1, (inp.get("MaxItems") or limits.LIST_MAX) - len(first))}
    values, marker = await loading.page(tx, begin, end, inp | limit, limits.LIST_MAX)
    shown = [
        configuration.show(function, version, arn=f"{ref.arn}:{version.version}")
        for version in (*first, *map(rows.decode_version, values))
    ]
    listed = [{key: value for key, value in one.items() if key not in ("State", "LastUpdateStatus")} for one in shown]
    assert not first or listed[0]["Version"] == LATEST
    return {"Versions": listed, **({"NextMarker": marker} if marker else {})}
