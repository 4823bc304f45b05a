"""Long-term access keys of users and of root. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html

The secret is shown once, by CreateAccessKey. When a key was used last is written by whoever checks signatures
(`record_key_use`), seldom, so that it costs requests nothing.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import entities, errors, keys, limits, paging, rows
from unkai.services.iam.entities import USER
from unkai.services.iam.users import user_name

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

ROOT_NAME = "<root_account>"
_NOT_AVAILABLE = "N/A"


async def _root(ctx: Ctx, tx: ReadTx) -> rows.AccountRow:
    value = await tx.get(keys.account(ctx.account))
    return rows.decode_account(value) if value is not None else rows.AccountRow(ctx.account, ctx.now_ms, [])


async def _key_ids(ctx: Ctx, tx: ReadTx, name: str) -> list[str]:
    if not name:
        return (await _root(ctx, tx)).root_keys
    user: rows.UserRow = await entities.load(ctx, tx, USER, name)
    return user.keys


async def _set_key_ids(ctx: Ctx, tx: Tx, name: str, ids: list[str]) -> None:
    if name:
        user: rows.UserRow = await entities.load(ctx, tx, USER, name)
        entities.store(ctx, tx, USER, replace(user, keys=ids))
    else:
        tx.set(keys.account(ctx.account), rows.encode(replace(await _root(ctx, tx), root_keys=ids)))
        tx.add(keys.generation(ctx.account), 1)


async def _load_key(ctx: Ctx, tx: ReadTx, name: str, access_key_id: str) -> rows.KeyRow:
    """A key of the user (or of root, where `name` is empty). Raises NoSuchEntity."""
    if access_key_id not in await _key_ids(ctx, tx, name):
        raise errors.no_such_access_key(access_key_id)
    value = await tx.get(keys.access_key(access_key_id))
    assert value is not None
    return rows.decode_key(value)


async def create_access_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = user_name(ctx, inp)
    ids = await _key_ids(ctx, tx, name)
    if len(ids) >= limits.ACCESS_KEYS_MAX:
        raise errors.quota("AccessKeysPerUser", limits.ACCESS_KEYS_MAX)
    user: rows.UserRow | None = await entities.load(ctx, tx, USER, name) if name else None
    row = rows.KeyRow(
        id="AKIA" + ctx.ids.base32(16),
        account=ctx.account,
        secret=b64encode(ctx.ids.token(30)).decode(),
        created_ms=ctx.now_ms,
        user=user.name if user is not None else "",
        user_id=user.id if user is not None else "",
    )

    tx.set(keys.access_key(row.id), rows.encode(row))
    await _set_key_ids(ctx, tx, name, [*ids, row.id])

    return {"AccessKey": {**_metadata(row), "SecretAccessKey": row.secret}}


def _metadata(row: rows.KeyRow) -> dict[str, Any]:
    return {
        "UserName": row.user or ROOT_NAME,
        "AccessKeyId": row.id,
        "Status": "Active" if row.active else "Inactive",
        "CreateDate": row.created_ms,
    }


async def list_access_keys(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    name = user_name(ctx, inp)
    page, more = paging.page_of(await _key_ids(ctx, tx, name), inp, str)
    return {"AccessKeyMetadata": [_metadata(await _load_key(ctx, tx, name, each)) for each in page], **more}


async def update_access_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await _load_key(ctx, tx, user_name(ctx, inp), inp["AccessKeyId"])
    tx.set(keys.access_key(row.id), rows.encode(replace(row, active=inp["Status"] == "Active")))
    tx.add(keys.generation(ctx.account), 1)
    return {}


async def delete_access_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = user_name(ctx, inp)
    row = await _load_key(ctx, tx, name, inp["AccessKeyId"])
    ids = await _key_ids(ctx, tx, name)

    tx.clear(keys.access_key(row.id))
    tx.clear(keys.key_use(ctx.account, row.id))
    await _set_key_ids(ctx, tx, name, [each for each in ids if each != row.id])

    return {}


async def get_access_key_last_used(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    value = await tx.get(keys.access_key(inp["AccessKeyId"]))
    row = rows.decode_key(value) if value is not None else None
    if row is None or row.account != ctx.account:
        raise errors.no_such_access_key(inp["AccessKeyId"])
    used = await tx.get(keys.key_use(ctx.account, row.id))
    if used is None:
        last: dict[str, Any] = {"ServiceName": _NOT_AVAILABLE, "Region": _NOT_AVAILABLE}
    else:
        use = rows.decode_key_use(used)
        last = {"LastUsedDate": use.used_ms, "ServiceName": use.service, "Region": use.region}
    return {"UserName": row.user or ROOT_NAME, "AccessKeyLastUsed": last}


async def record_key_use(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """A step: the key `access_key_id` was used for `service` in `region` now. Blind, so it never conflicts."""
    use = rows.KeyUseRow(ctx.now_ms, inp["service"], inp["region"])
    tx.set(keys.key_use(ctx.account, inp["access_key_id"]), rows.encode(use))
    return {}
