"""Function URLs: how they are made and changed. What comes in through them is in dataplane.py.

https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from unkai.kernel.clock import iso8601
from unkai.services.lambda_ import errors, keys, limits, loading, rows
from unkai.services.lambda_.names import LATEST

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import FunctionRow, SettingRow
    from unkai.store.api import ReadTx, Tx

HOST_LABEL = "lambda-url"
PATH_PREFIX = "/_lambda/"
URL_PATH_PREFIX = "/_lambda/url/"
ID_LENGTH = 32


def url_of(base_url: str, region: str, url_id: str) -> str:
    """`http://<id>.lambda-url.<region>.<host>/`, or below the address itself where the node was reached by a bare one: an
    address has no host names below it."""
    scheme, _, host = base_url.partition("://")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return f"{scheme}://{url_id}.{HOST_LABEL}.{region}.{host}/"
    return f"{base_url}{URL_PATH_PREFIX}{url_id}/"


def _show(ctx: Ctx, ref: FunctionRef, row: SettingRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "FunctionUrl": url_of(ctx.base_url, ref.region, row.value["Id"]),
        "FunctionArn": ref.qualified_arn,
        "AuthType": row.value["AuthType"],
        "CreationTime": iso8601(row.created_ms),
        "LastModifiedTime": iso8601(row.modified_ms),
        "InvokeMode": row.value["InvokeMode"],
    }
    if row.value.get("Cors"):
        out["Cors"] = row.value["Cors"]
    return out


async def _load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[FunctionRow, FunctionRef, SettingRow | None]:
    function, ref = await loading.load(ctx, tx, inp)
    await loading.resolve(tx, function, ref)
    return function, ref, await loading.get_setting(tx, function, keys.URL, ref.qualifier)


async def create_function_url_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref, before = await _load(ctx, tx, inp)
    if before is not None:
        raise errors.url_exists(ref.qualified_arn)

    url_id = ctx.ids.base32(ID_LENGTH).lower()
    value = {
        "Id": url_id,
        "AuthType": inp["AuthType"],
        "InvokeMode": inp.get("InvokeMode", "BUFFERED"),
        "Cors": inp.get("Cors", {}),
    }
    row = rows.SettingRow(ref.qualifier or LATEST, value, ctx.now_ms, ctx.now_ms)
    tx.set(keys.setting(function.id, keys.URL, row.qualifier), rows.encode(row))
    tx.set(keys.url(url_id), rows.encode(rows.UrlRow(ref.account, ref.region, ref.name, ref.qualifier)))

    shown = _show(ctx, ref, row)
    del shown["LastModifiedTime"]
    return shown


async def update_function_url_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref, before = await _load(ctx, tx, inp)
    if before is None:
        raise errors.resource_not_found()

    value = before.value | {key: inp[key] for key in ("AuthType", "InvokeMode", "Cors") if key in inp}
    row = rows.SettingRow(before.qualifier, value, before.created_ms, ctx.now_ms)
    tx.set(keys.setting(function.id, keys.URL, row.qualifier), rows.encode(row))

    return _show(ctx, ref, row)


async def get_function_url_config(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    _, ref, row = await _load(ctx, tx, inp)
    if row is None:
        raise errors.resource_not_found()
    return _show(ctx, ref, row)


async def delete_function_url_config(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _, row = await _load(ctx, tx, inp)
    if row is None:
        raise errors.resource_not_found()

    tx.clear(keys.setting(function.id, keys.URL, row.qualifier))
    tx.clear(keys.url(row.value["Id"]))

    return {}


async def list_function_url_configs(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    values, marker = await loading.page(tx, *keys.settings(function.id, keys.URL), inp, limits.LIST_MAX)
    shown = []
    for row in map(rows.decode_setting, values):
        qualified = ref if row.qualifier == LATEST else type(ref)(ref.account, ref.region, ref.name, row.qualifier)
        shown.append(_show(ctx, qualified, row))
    return {"FunctionUrlConfigs": shown, **({"NextMarker": marker} if marker else {})}
