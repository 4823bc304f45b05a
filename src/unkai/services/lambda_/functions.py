"""Operations on functions. https://docs.aws.amazon.com/lambda/latest/dg/lambda-functions.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.errors import AwsError
from unkai.layers.tasks import add_task
from unkai.services.lambda_ import configuration, errors, keys, limits, loading, packages, rows, versions
from unkai.services.lambda_.layers import resolve_layers
from unkai.services.lambda_.names import LATEST, is_version, ref_of
from unkai.services.lambda_.sessions import assume
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import FunctionRow, VersionRow
    from unkai.store.api import ReadTx, Tx

CLEAN_UP = "lambda.clean_up"
"""The task kind that removes what a deleted function held, a page at a time."""


async def create_function(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Until the last step commits nothing is there: a package without a reference vanishes with its process."""
    ref = ref_of(ctx, inp)
    if "Runtime" not in inp and inp.get("PackageType", "Zip") == "Zip":
        raise errors.invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    configuration.check(inp, node.runner.runtimes())
    if inp.get("CodeSigningConfigArn"):
        raise errors.code_signing_config_not_found(inp["CodeSigningConfigArn"])
    if await node.run(ctx, is_there, [ref.account, ref.region, ref.name]):
        raise errors.function_exists(ref.name)
    data = await packages.receive(ctx, node, inp["Code"], "CreateFunction")
    await _check_role(ctx, node, inp["Role"], ref)

    writer, package = await packages.store(node, data)
    asked = {key: value for key, value in inp.items() if key != "Code"} | {"Package": package}
    out: dict[str, Any] = await node.blobs.keep([writer], node.run(ctx, insert_function, asked))
    return out


async def _check_role(ctx: Ctx, node: Node, role: str, ref: FunctionRef) -> None:
    """Lambda must be able to take the role on, now."""
    try:
        await assume(node, role, ref.account, ref.region, ref.name, ref.arn)
    except AwsError as error:
        if not error.sender_fault:
            raise
        raise errors.role_not_assumable() from None


async def is_there(ctx: Ctx, tx: Tx, inp: list[str]) -> bool:
    return await tx.get(keys.function(*inp)) is not None


async def insert_function(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    ref = ref_of(ctx, inp)
    key = keys.function(ref.account, ref.region, ref.name)
    if await tx.get(key) is not None:
        raise errors.function_exists(ref.name)
    layers = await resolve_layers(tx, inp.get("Layers", ()))

    function_id = ctx.ids.token(8)
    latest = rows.VersionRow(
        LATEST,
        configuration.new_config(inp),
        packages.package_of(inp["Package"]),
        layers,
        ctx.now_ms,
        ctx.ids.uuid(),
    )
    function = rows.FunctionRow(function_id, ref.name, ref.account, ref.region, ctx.now_ms, latest, inp.get("Tags", {}))
    await packages.refer(ctx, tx, latest.code)
    use_packages(tx, function, latest)
    published: VersionRow = latest
    if inp.get("Publish"):
        function, published = await versions.publish(ctx, tx, function, latest.config["Description"])
    tx.set(key, rows.encode(function))

    arn = configuration.shown_arn(function, published)
    return configuration.show(function, published, arn=arn, updating="Creating")


def use_packages(tx: Tx, function: FunctionRow, version: VersionRow) -> None:
    user = keys.function_user(function.id, version.version)
    for package in (version.code, *version.layers):
        packages.use(tx, package, user)


async def let_packages_go(ctx: Ctx, tx: Tx, function_id: bytes, version: VersionRow) -> None:
    user = keys.function_user(function_id, version.version)
    for package in {package.blob: package for package in (version.code, *version.layers)}.values():
        await packages.let_go(ctx, tx, package, user)


async def get_function(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    version, _ = await loading.resolve(tx, function, ref)
    out: dict[str, Any] = {
        "Configuration": configuration.show(function, version, arn=ref.qualified_arn),
        "Code": {"RepositoryType": "S3", "Location": await packages.location(ctx, tx, version.code)},
    }
    if function.tags:
        out["Tags"] = function.tags
    if function.reserved is not None:
        out["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
    return out


async def get_function_configuration(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref = await loading.load(ctx, tx, inp)
    version, _ = await loading.resolve(tx, function, ref)
    return configuration.show(function, version, arn=ref.qualified_arn)


async def list_functions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    begin, end = keys.functions(ctx.account, ctx.region)
    values, marker = await loading.page(tx, begin, end, inp, limits.LIST_MAX)
    functions: list[dict[str, Any]] = []
    for value in values:
        function = rows.decode_function(value)
        shown = [function.latest]
        if inp.get("FunctionVersion") == "ALL":
            published = await tx.get_range(*keys.versions(function.id), limit=limits.LIST_MAX)
            shown += [rows.decode_version(row) for _, row in published]
        for version in shown:
            arn = configuration.shown_arn(function, version)
            if inp.get("FunctionVersion") == "ALL" and version is function.latest:
                arn += f":{LATEST}"
            functions.append(_listed(configuration.show(function, version, arn=arn)))
    return {"Functions": functions, **({"NextMarker": marker} if marker else {})}


def _listed(shown: dict[str, Any]) -> dict[str, Any]:
    """Lists leave the states out. https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html"""
    return {key: value for key, value in shown.items() if key not in ("State", "LastUpdateStatus")}


async def update_function_code(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """As create_function: the last step makes it true, before it nothing has changed."""
    ref_of(ctx, inp)
    data = await packages.receive(ctx, node, inp, "UpdateFunctionCode")
    writer, package = await packages.store(node, data)
    asked = {key: value for key, value in inp.items() if key != "ZipFile"} | {"Package": package}
    if inp.get("DryRun"):
        writer.abandon()
        dry: dict[str, Any] = await node.run(ctx, try_code, asked)
        return dry
    out: dict[str, Any] = await node.blobs.keep([writer], node.run(ctx, replace_code, asked))
    return out


async def _changed_code(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[FunctionRow, VersionRow]:
    function, _ = await loading.load(ctx, tx, inp)
    loading.check_revision(inp.get("RevisionId"), function.latest.revision)
    config = function.latest.config
    if inp.get("Architectures"):
        config = config | {"Architectures": inp["Architectures"]}
    return function, rows.VersionRow(
        LATEST, config, packages.package_of(inp["Package"]), function.latest.layers, ctx.now_ms, ctx.ids.uuid()
    )


async def try_code(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, latest = await _changed_code(ctx, tx, inp)
    return configuration.show(function, latest, arn=configuration.shown_arn(function, latest))


async def replace_code(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, latest = await _changed_code(ctx, tx, inp)

    await packages.refer(ctx, tx, latest.code)
    return await _replace_latest(ctx, tx, function, latest, publish=bool(inp.get("Publish")))


async def _replace_latest(
    ctx: Ctx, tx: Tx, function: FunctionRow, latest: VersionRow, *, publish: bool = False
) -> dict[str, Any]:
    old = function.latest
    use_packages(tx, function, latest)
    kept = {package.blob for package in (latest.code, *latest.layers)}
    user = keys.function_user(function.id, LATEST)
    for package in (old.code, *old.layers):
        if package.blob not in kept:
            kept.add(package.blob)
            await packages.let_go(ctx, tx, package, user)
    function = msgspec.structs.replace(function, latest=latest)
    shown = latest
    if publish:
        function, shown = await versions.publish(ctx, tx, function, latest.config.get("Description", ""))
    tx.set(keys.function(function.account, function.region, function.name), rows.encode(function))
    return configuration.show(function, shown, arn=configuration.shown_arn(function, shown), updating="Updating")


async def update_function_configuration(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """One transaction after the check of the role."""
    ref = ref_of(ctx, inp)
    configuration.check(inp, node.runner.runtimes())
    if "Role" in inp:
        await _check_role(ctx, node, inp["Role"], ref)
    out: dict[str, Any] = await node.run(ctx, replace_configuration, inp)
    return out


async def replace_configuration(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, _ = await loading.load(ctx, tx, inp)
    old = function.latest
    loading.check_revision(inp.get("RevisionId"), old.revision)
    layers = await resolve_layers(tx, inp["Layers"], old.layers) if "Layers" in inp else old.layers

    latest = rows.VersionRow(
        LATEST, configuration.merged(old.config, inp), old.code, layers, ctx.now_ms, ctx.ids.uuid()
    )
    return await _replace_latest(ctx, tx, function, latest)


async def delete_function(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """The commit is what counts; draining the environments afterwards only frees them sooner."""
    ref = ref_of(ctx, inp)
    gone: bool = await node.run(ctx, remove_function, inp)
    if gone:
        await node.runner.drain(ref.arn)
    return {"StatusCode": 204}


async def remove_function(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove a function, or one version of it; whether the whole function is gone."""
    function, ref = await loading.load(ctx, tx, inp)
    if ref.qualifier:
        await _remove_version(ctx, tx, function, ref)
        return False

    tx.clear(keys.function(function.account, function.region, function.name))
    await let_packages_go(ctx, tx, function.id, function.latest)
    if function.reserved is not None:
        tx.add(keys.reserved(function.account, function.region), -function.reserved)
    # URLs must stop to lead here at once; there are as many as aliases that have one.
    for _, value in await tx.get_range(*keys.settings(function.id, keys.URL)):
        tx.clear(keys.url(rows.decode_setting(value).value["Id"]))
    add_task(ctx, tx, CLEAN_UP, function.id)

    return True


async def _remove_version(ctx: Ctx, tx: Tx, function: FunctionRow, ref: FunctionRef) -> None:
    if ref.qualifier == LATEST:
        raise errors.invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
    if not is_version(ref.qualifier):
        raise errors.invalid_parameter("Deletion of aliases is not currently supported.")
    version = await loading.get_version(tx, function, ref.qualifier)
    if version is None:
        raise errors.function_not_found(ref.qualified_arn)
    aliases = [rows.decode_alias(value) for _, value in await tx.get_range(*keys.aliases(function.id))]
    using = [alias.name for alias in aliases if version.version == alias.version or version.version in alias.weights]
    if using:
        raise errors.version_has_alias(version.version, using)

    tx.clear(keys.version(function.id, int(version.version)))
    for kind in (keys.POLICY, keys.EVENT, keys.PROVISIONED, keys.RUNTIME):
        tx.clear(keys.setting(function.id, kind, version.version))
    await let_packages_go(ctx, tx, function.id, version)


async def get_account_settings(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The usage is counted, which costs a walk over the account's functions."""
    begin, end = keys.functions(ctx.account, ctx.region)
    count = size_bytes = 0
    while pairs := await tx.get_range(begin, end, limit=1000):
        count += len(pairs)
        size_bytes += sum(rows.decode_function(value).latest.code.size_bytes for _, value in pairs)
        begin = pairs[-1][0] + b"\0"
    reserved = read_counter(await tx.get(keys.reserved(ctx.account, ctx.region)))
    return {
        "AccountLimit": {
            "TotalCodeSize": limits.CODE_STORAGE_BYTES,
            "CodeSizeUnzipped": limits.UNZIPPED_SIZE_BYTES_MAX,
            "CodeSizeZipped": limits.ZIP_DIRECT_SIZE_BYTES_MAX,
            "ConcurrentExecutions": limits.CONCURRENCY,
            "UnreservedConcurrentExecutions": limits.CONCURRENCY - reserved,
        },
        "AccountUsage": {"TotalCodeSize": size_bytes, "FunctionCount": count},
    }
