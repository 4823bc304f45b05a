"""Layers: packages that functions share. https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html

A function goes on using a layer version that was deleted: the package stays as long as a version of a function uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.services.lambda_ import errors, keys, limits, loading, packages, policies, rows
from unkai.services.lambda_.configuration import modified
from unkai.services.lambda_.loading import find_layer_version, parse_layer_version
from unkai.services.lambda_.names import is_account, is_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.rows import LayerVersionRow, PackageUse
    from unkai.store.api import ReadTx, Tx


def layer_place(ctx: Ctx, inp: dict[str, Any]) -> tuple[str, str, str]:
    """Account, region and name of the layer that `LayerName` (a name or an ARN) names."""
    given = inp["LayerName"]
    parsed = Arn.parse(given)
    if parsed is None:
        return ctx.account, ctx.region, given
    name = parsed.resource.removeprefix("layer:")
    if not is_account(parsed.account) or not parsed.region or not name:
        raise KeyError("LayerName")
    return parsed.account, parsed.region, name


def layer_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    account, region, name = layer_place(ctx, inp)
    return str(Arn("lambda", region, account, f"layer:{name}"))


def layer_version_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return f"{layer_arn(ctx, inp)}:{inp['VersionNumber']}"


async def resolve_layers(tx: ReadTx, arns: Sequence[str], before: Sequence[PackageUse] = ()) -> list[PackageUse]:
    """The packages of layer versions. What a function has `before` it keeps, though it was deleted since."""
    had = {package.arn: package for package in before}
    layers: list[PackageUse] = []
    names: set[str] = set()
    for arn in arns:
        if arn.rpartition(":")[0] in names:
            raise errors.invalid_parameter(
                "Two different versions of the same layer are not allowed to be referenced in the same function: " + arn
            )
        names.add(arn.rpartition(":")[0])
        found = await find_layer_version(tx, arn)
        if found is not None:
            layers.append(msgspec.structs.replace(found.package, arn=arn))
        elif arn in had:
            layers.append(had[arn])
        else:
            raise errors.layer_version_missing(arn)
    return layers


async def publish_layer_version(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """As create_function: until the last step commits nothing is there."""
    data = await packages.receive(ctx, node, inp["Content"], "PublishLayerVersion")
    writer, package = await packages.store(node, data)
    asked = {key: value for key, value in inp.items() if key != "Content"} | {"Package": package}
    out: dict[str, Any] = await node.blobs.keep([writer], node.run(ctx, insert_layer_version, asked))
    return out


async def insert_layer_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    account, region, name = layer_place(ctx, inp)
    key = keys.layer(account, region, name)
    value = await tx.get(key)
    number = rows.decode_layer(value).next_version if value is not None else 1

    version = rows.LayerVersionRow(
        arn=f"{Arn('lambda', region, account, f'layer:{name}')}:{number}",
        version=number,
        package=packages.package_of(inp["Package"]),
        created_ms=ctx.now_ms,
        description=inp.get("Description", ""),
        license=inp.get("LicenseInfo", ""),
        runtimes=inp.get("CompatibleRuntimes", []),
        architectures=inp.get("CompatibleArchitectures", []),
        revision=ctx.ids.uuid(),
    )
    await packages.refer(ctx, tx, version.package)
    packages.use(tx, version.package, keys.layer_user(version.arn))
    tx.set(key, rows.encode(rows.LayerRow(name, number + 1)))
    tx.set(keys.layer_version(account, region, name, number), rows.encode(version))

    return await _show(ctx, tx, version)


def _summary(version: LayerVersionRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "LayerVersionArn": version.arn,
        "Version": version.version,
        "Description": version.description,
        "CreatedDate": modified(version.created_ms),
    }
    if version.license:
        out["LicenseInfo"] = version.license
    if version.runtimes:
        out["CompatibleRuntimes"] = version.runtimes
    if version.architectures:
        out["CompatibleArchitectures"] = version.architectures
    return out


async def _show(ctx: Ctx, tx: ReadTx, version: LayerVersionRow) -> dict[str, Any]:
    content = {
        "Location": await packages.location(ctx, tx, version.package),
        "CodeSha256": packages.shown_sha256(version.package),
        "CodeSize": version.package.size_bytes,
    }
    return _summary(version) | {"Content": content, "LayerArn": version.arn.rpartition(":")[0]}


async def _load(tx: ReadTx, arn: str) -> LayerVersionRow:
    version = await find_layer_version(tx, arn)
    if version is None:
        raise errors.resource_not_found()
    return version


async def get_layer_version(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _show(ctx, tx, await _load(tx, layer_version_arn(ctx, inp)))


async def get_layer_version_by_arn(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _show(ctx, tx, await _load(tx, inp["Arn"]))


async def delete_layer_version(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Its number is never given again. Deleting what is not there is no error."""
    arn = layer_version_arn(ctx, inp)
    version = await find_layer_version(tx, arn)
    place = parse_layer_version(arn)
    if version is None or place is None:
        return {}

    tx.clear(keys.layer_version(*place))
    await packages.let_go(ctx, tx, version.package, keys.layer_user(arn))

    return {}


def _suits(version: LayerVersionRow, inp: dict[str, Any]) -> bool:
    runtime, architecture = inp.get("CompatibleRuntime"), inp.get("CompatibleArchitecture")
    return (runtime is None or runtime in version.runtimes) and (
        architecture is None or architecture in version.architectures
    )


async def list_layer_versions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Newest first."""
    begin, end = keys.layer_versions(*layer_place(ctx, inp))
    limit = min(inp.get("MaxItems") or limits.LIST_MAX, limits.LIST_MAX)
    if marker := inp.get("Marker"):
        if not is_version(marker) or len(marker) > 18:
            raise errors.invalid_parameter("Invalid Marker")
        end = keys.layer_version(*layer_place(ctx, inp), int(marker))
    pairs = await tx.get_range(begin, end, limit=limit + 1, reverse=True)
    versions = [rows.decode_layer_version(value) for _, value in pairs[:limit]]
    out: dict[str, Any] = {"LayerVersions": [_summary(version) for version in versions if _suits(version, inp)]}
    if len(pairs) > limit:
        out["NextMarker"] = str(versions[-1].version)
    return out


async def list_layers(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    values, marker = await loading.page(tx, *keys.layers(ctx.account, ctx.region), inp, limits.LIST_MAX)
    layers: list[dict[str, Any]] = []
    for value in values:
        name = rows.decode_layer(value).name
        newest = await tx.get_range(*keys.layer_versions(ctx.account, ctx.region, name), limit=1, reverse=True)
        if newest:
            version = rows.decode_layer_version(newest[0][1])
            arn = version.arn.rpartition(":")[0]
            if _suits(version, inp):
                layers.append({"LayerName": name, "LayerArn": arn, "LatestMatchingVersion": _summary(version)})
    return {"Layers": layers, **({"NextMarker": marker} if marker else {})}


# --- who else may use a layer version


async def add_layer_version_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    arn = layer_version_arn(ctx, inp)
    version = await _load(tx, arn)
    loading.check_revision(inp.get("RevisionId"), version.revision)
    statement = policies.layer_statement(inp, arn)
    statements = policies.with_statement(version.statements, statement)

    changed = msgspec.structs.replace(version, statements=statements, revision=ctx.ids.uuid())
    _write(tx, changed)

    return {"Statement": policies.text_of(statement), "RevisionId": changed.revision}


def _write(tx: Tx, version: LayerVersionRow) -> None:
    place = parse_layer_version(version.arn)
    assert place is not None, "a stored layer version has an ARN"
    tx.set(keys.layer_version(*place), rows.encode(version))


async def get_layer_version_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    version = await _load(tx, layer_version_arn(ctx, inp))
    if not version.statements:
        raise errors.resource_not_found()
    return {"Policy": policies.document(version.statements), "RevisionId": version.revision}


async def remove_layer_version_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    version = await _load(tx, layer_version_arn(ctx, inp))
    loading.check_revision(inp.get("RevisionId"), version.revision)
    statements = policies.without_statement(version.statements, inp["StatementId"])

    _write(tx, msgspec.structs.replace(version, statements=statements, revision=ctx.ids.uuid()))

    return {}
