"""From a function's reference to what the runner needs, and the runner's refusals in AWS's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from unkai.kernel import functions
from unkai.kernel.errors import AwsError
from unkai.kernel.functions import CodeRef, FunctionSpec
from unkai.kernel.ports import BlobMissing
from unkai.services.lambda_ import errors, keys, limits, loading
from unkai.services.lambda_.aliases import choose_version
from unkai.services.lambda_.names import LATEST, FunctionRef
from unkai.services.lambda_.sessions import offset_ms, role_session
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.rows import FunctionRow, VersionRow
    from unkai.store.api import ReadTx

T = TypeVar("T")

CODE_PATHS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """What serves one request: a function, and the version that its qualifier and alias weights lead to."""

    function: FunctionRow
    version: VersionRow
    ref: FunctionRef
    reserved_total: int


_paths: WeakKeyDictionary[Any, dict[bytes, str]] = WeakKeyDictionary()


async def choose(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> Chosen:
    """A step that only reads: it never runs on the writer. `RequestId` decides between the versions of an alias."""
    ref = FunctionRef(*inp["Ref"])
    function = await loading.load_ref(ctx, tx, ref)
    version, alias = await loading.resolve(tx, function, ref)
    if alias is not None and alias.weights:
        wanted = choose_version(alias.version, alias.weights, inp["RequestId"])
        chosen = await loading.get_version(tx, function, wanted)
        if chosen is None:
            raise errors.function_not_found(f"{ref.arn}:{wanted}")
        version = chosen
    reserved = read_counter(await tx.get(keys.reserved(function.account, function.region)))
    return Chosen(function, version, ref, reserved)


async def spec_of(node: Node, chosen: Chosen) -> FunctionSpec:
    """Raises AccessDeniedException where the role cannot be assumed (any more)."""
    function, version = chosen.function, chosen.version
    config = version.config
    try:
        session = await role_session(
            node, config["Role"], function.account, function.region, function.name, chosen.ref.arn
        )
    except AwsError as error:
        if not error.sender_fault:
            raise
        raise errors.role_lost() from None
    ahead_ms = offset_ms(node)
    credentials = session.credentials
    revision = version.revision
    if ahead_ms:
        # The runtime counts in real time. Where node time has jumped, environments may hold credentials that are over: no event
        # goes to them any more.
        credentials = msgspec.structs.replace(credentials, expires_ms=credentials.expires_ms - ahead_ms)
        revision = f"{revision}+{ahead_ms}"
    logging = config.get("LoggingConfig", {})
    log_format = logging.get("LogFormat", "Text")
    return FunctionSpec(
        arn=chosen.ref.arn,
        revision=revision,
        account=function.account,
        region=function.region,
        name=function.name,
        version=version.version,
        runtime=config["Runtime"],
        handler=config["Handler"],
        code=_code(node, version.code.blob, version.code.sha256),
        credentials=credentials,
        memory_mb=config["MemorySize"],
        timeout_s=config["Timeout"],
        storage_mb=config["EphemeralStorage"]["Size"],
        layers=tuple(_code(node, layer.blob, layer.sha256) for layer in version.layers),
        environment=config.get("Environment", {}).get("Variables", {}),
        reserved_concurrency=function.reserved,
        unreserved_concurrency=limits.CONCURRENCY - chosen.reserved_total,
        log_group=logging.get("LogGroup", ""),
        log_format=log_format,
        application_log_level=logging.get("ApplicationLogLevel", "INFO") if log_format == "JSON" else "",
        tracing=config.get("TracingConfig", {}).get("Mode", "PassThrough"),
    )


def _code(node: Node, blob: bytes, sha256: str) -> CodeRef:
    """A blob's place is looked up once per process; it moves only while its writer commits."""
    paths = _paths.setdefault(node, {})
    path = paths.get(blob)
    if path is None:
        try:
            path = node.blobs.path(blob)
        except BlobMissing:
            raise errors.service_failure("The function's code was replaced meanwhile; retry the request.") from None
        if len(paths) >= CODE_PATHS_MAX:
            paths.clear()
        paths[blob] = path
    return CodeRef(path, sha256)


async def translated(running: Awaitable[T]) -> T:
    """What the runner answers, its refusals as Lambda's errors."""
    try:
        return await running
    except functions.TooManyRequests as error:
        raise errors.too_many_requests(error.reason) from None
    except functions.RuntimeUnavailable as error:
        raise errors.service_failure(str(error)) from None
    except functions.InvalidCode as error:
        raise errors.invalid_zip(f"Lambda was not able to unzip the file: {error}") from None
    except functions.UnknownRuntime as error:
        raise errors.invalid_runtime(str(error)) from None


def check_reserved(chosen: Chosen) -> None:
    """Reserved concurrency of 0 stops a function; nobody else needs to be asked."""
    if chosen.function.reserved == 0:
        raise errors.too_many_requests("ReservedFunctionConcurrentInvocationLimitExceeded")


def executed_arn(chosen: Chosen) -> str:
    """The ARN as results and records show it: always with a qualifier."""
    return f"{chosen.ref.arn}:{chosen.ref.qualifier or LATEST}"
