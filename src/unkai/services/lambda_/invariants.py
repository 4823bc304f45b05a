"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.layers.blobs import referred
from unkai.services.lambda_ import keys, rows
from unkai.services.lambda_.packages import OWNER
from unkai.store.api import read_counter
from unkai.store.tuples import pack, prefix_end, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unkai.services.lambda_.rows import FunctionRow, VersionRow
    from unkai.store.api import ReadTx

Use = tuple[bytes, str]


async def check(tx: ReadTx) -> list[str]:
    """LAMBDA-1 to LAMBDA-5."""
    functions = [rows.decode_function(value) for _, value in await tx.get_range(*keys.every_function())]
    expected = {(layer.package.blob, keys.layer_user(layer.arn)) for layer in await _layers(tx)}
    broken: list[str] = []
    for function in functions:
        expected |= _uses_of(function.id, function.latest)
        broken += await _check_aliases(tx, function)
    # Versions of functions that are gone stay until the clean-up has come to them.
    for function_id, version in await _versions(tx):
        expected |= _uses_of(function_id, version)
    stored = {(bytes(_blob(key)), str(unpack(key)[2])) for key, _ in await _all(tx, "lamb")}
    broken += [f"LAMBDA-1 {user} uses a package without a row of use" for _, user in sorted(expected - stored)]
    broken += [f"LAMBDA-1 a row of use without {user}" for _, user in sorted(stored - expected)]
    for blob in await referred(tx, OWNER) ^ {blob for blob, _ in stored}:
        broken.append(f"LAMBDA-2 package {blob.hex()}: used and not kept, or kept and not used")
    broken += await _check_reserved(tx, functions)
    broken += await _check_urls(tx, functions)
    return broken


async def _all(tx: ReadTx, head: str) -> list[tuple[bytes, bytes]]:
    begin = pack(head)
    return await tx.get_range(begin, prefix_end(begin))


def _blob(key: bytes) -> bytes:
    blob = unpack(key)[1]
    assert isinstance(blob, bytes)
    return blob


async def _layers(tx: ReadTx) -> list[rows.LayerVersionRow]:
    return [rows.decode_layer_version(value) for _, value in await _all(tx, "lamlv")]


async def _versions(tx: ReadTx) -> list[tuple[bytes, VersionRow]]:
    return [
        (_blob(key), rows.decode_version(value)) for key, value in await _all(tx, "lamf") if keys.kind_of(key) == "v"
    ]


def _uses_of(function_id: bytes, version: VersionRow) -> set[Use]:
    user = keys.function_user(function_id, version.version)
    return {(package.blob, user) for package in (version.code, *version.layers)}


async def _check_aliases(tx: ReadTx, function: FunctionRow) -> list[str]:
    broken: list[str] = []
    for _, value in await tx.get_range(*keys.aliases(function.id)):
        alias = rows.decode_alias(value)
        for version in (alias.version, *alias.weights):
            if version != "$LATEST" and await tx.get(keys.version(function.id, int(version))) is None:
                broken.append(f"LAMBDA-4 {function.name}:{alias.name} names version {version}, which is not there")
    return broken


async def _check_reserved(tx: ReadTx, functions: Iterable[FunctionRow]) -> list[str]:
    totals: dict[bytes, int] = {}
    for function in functions:
        key = keys.reserved(function.account, function.region)
        totals[key] = totals.get(key, 0) + (function.reserved or 0)
    stored = {key: read_counter(value) for key, value in await _all(tx, "lamr")}
    return [
        f"LAMBDA-3 {unpack(key)}: the counter says {stored.get(key, 0)}, the functions reserve {totals.get(key, 0)}"
        for key in totals.keys() | stored.keys()
        if stored.get(key, 0) != totals.get(key, 0)
    ]


async def _check_urls(tx: ReadTx, functions: Iterable[FunctionRow]) -> list[str]:
    there = {(function.account, function.region, function.name): function for function in functions}
    broken: list[str] = []
    for key, value in await _all(tx, "lamu"):
        url = rows.decode_url(value)
        function = there.get((url.account, url.region, url.name))
        kept = function and await tx.get(keys.setting(function.id, keys.URL, url.qualifier or "$LATEST"))
        if not kept or rows.decode_setting(kept).value["Id"] != unpack(key)[1]:
            broken.append(f"LAMBDA-5 URL {unpack(key)[1]!r} leads to no function that has it")
    return broken
