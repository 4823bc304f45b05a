"""Puts services, engine, identity and clock together into a Platform, and background work into lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.calls.authorize import Authorizer, Identity
from unkai.calls.execute import Platform
from unkai.calls.programs import programs_of, run_of
from unkai.kernel.caller import service_caller
from unkai.kernel.ids import new_request_id
from unkai.layers.blobs import FileBlobs
from unkai.layers.outbound import allowing
from unkai.services import iam, lambda_, logs, s3, sns, sqs
from unkai.services.iam import identity as iam_identity
from unkai.store.retry import run
from unkai.work.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    from unkai.app.datadir import RootCredentials
    from unkai.kernel.clock import Clock
    from unkai.kernel.ports import Runner
    from unkai.kernel.service import Service, Task
    from unkai.kernel.tasks import TaskResult, TaskView
    from unkai.layers.tasks import TaskRow
    from unkai.store.api import Engine, Program

SERVICES: tuple[Service, ...] = (
    *iam.SERVICES,
    lambda_.SERVICE,
    logs.SERVICE,
    s3.SERVICE,
    sns.SERVICE,
    sqs.SERVICE,
)

IDENTITY = Identity(iam_identity.generation_key, iam_identity.credential, iam_identity.principal_policies)


def programs(secret: bytes) -> dict[str, Program]:
    """All that the writer may be asked to run."""
    return programs_of(SERVICES, secret)


def make_platform(
    engine: Engine,
    clock: Clock,
    secret: bytes,
    blobs: Path,
    identity: Identity = IDENTITY,
    outbound: Sequence[str] = (),
    runner: Runner | None = None,
) -> Platform:
    """`blobs` is the folder for large values; `Blobs.recover` makes it. `outbound` are networks that may be called besides the
    open internet."""
    files = FileBlobs(blobs, engine.snapshot)
    return Platform(SERVICES, engine, clock, secret, Authorizer(identity), files, allowing(outbound), runner)


def make_workers(platform: Platform) -> list[Coroutine[Any, Any, None]]:
    """What the store process runs beside the lanes, until it stops."""
    return [
        worker(
            platform.make_ctx(service_caller(f"{service.name}.amazonaws.com", ""), "", "", new_request_id()), platform
        )
        for service in platform.services.values()
        for worker in service.workers
    ]


async def bootstrap(platform: Platform, credentials: RootCredentials) -> None:
    """Make the root account and its access key, where they are missing."""
    ctx = platform.make_ctx(service_caller("unkai", credentials.account), credentials.account, "", new_request_id())
    inp = {
        "account": credentials.account,
        "access_key_id": credentials.access_key_id,
        "secret": credentials.secret_access_key,
    }
    await run(platform.engine, run_of("iam.bootstrap", iam_identity.bootstrap, ctx, inp))


def make_lanes(platform: Platform) -> list[Lane]:
    """One lane per kind of task that any service declares."""
    return [
        Lane(kind, task.concurrency, platform.engine, platform.clock, _carrier(platform, service, task))
        for service in platform.services.values()
        for kind, task in service.tasks.items()
    ]


def _carrier(platform: Platform, service: Service, task: Task) -> Callable[[TaskView, TaskRow], Awaitable[TaskResult]]:
    async def carry(view: TaskView, row: TaskRow) -> TaskResult:
        caller = service_caller(f"{service.name}.amazonaws.com", row.account)
        ctx = platform.make_ctx(caller, row.account, row.region, new_request_id())
        result: TaskResult = await task.handler(ctx, platform, view)
        return result

    return carry
