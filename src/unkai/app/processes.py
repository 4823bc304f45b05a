"""What each process of the node does. The supervisor forks them; all of it also runs in one process.

store    owns the writer, serves it on a socket to the workers, and does the background work
worker   serves the front door: reads its own snapshots, sends its commits to the store process
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from unkai.app import localstack
from unkai.app.compose import IDENTITY, bootstrap, make_lanes, make_platform, make_workers, programs
from unkai.app.functions import NodeRunner, OwnedRuntime, RuntimeOptions
from unkai.edge.http.server import serve
from unkai.edge.pipeline import Door, Record, handle
from unkai.kernel.clock import MovableClock
from unkai.store.engines.lmdb import open_lmdb
from unkai.store.engines.remote import open_remote
from unkai.store.server import StoreServer
from unkai.work.advance import advance as advance_clock

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from unkai.app.datadir import DataDir
    from unkai.calls.authorize import Identity
    from unkai.calls.execute import Platform
    from unkai.edge.http.server import Server
    from unkai.kernel.http import HttpRequest, HttpResponse
    from unkai.store.api import Engine
    from unkai.work.lanes import Lane

DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a node runs: its data directory, its listening socket, TLS, and whether it greets LocalStack's users."""

    directory: DataDir
    sock: socket.socket
    port: int
    tls: ssl.SSLContext | None = None
    localstack: bool = False
    outbound: tuple[str, ...] = ()
    """Networks that may be called besides the open internet."""
    unsandboxed: bool = False
    """Functions may run where this machine cannot isolate them."""

    @property
    def runtime(self) -> RuntimeOptions:
        return RuntimeOptions(self.directory.runtime, self.port, self.unsandboxed)


def _no_record(record: Record) -> None:
    pass


def make_door(platform: Platform, directory: DataDir) -> Door:
    kinds = [kind for service in platform.services.values() for kind in service.tasks]

    async def advance(ms: int) -> int:
        assert isinstance(platform.clock, MovableClock), "the control API has checked it"
        return await advance_clock(platform.engine, platform.clock, kinds, ms)

    return Door(platform, _no_record, advance, default_account=directory.root_credentials().account)


async def serve_door(platform: Platform, options: Options) -> Server:
    door = make_door(platform, options.directory)

    async def respond(request: HttpRequest) -> HttpResponse:
        return await handle(door, request)

    async def respond_to_movers(request: HttpRequest) -> HttpResponse:
        if request.path == localstack.HEALTH_PATH:
            return localstack.health(sorted(platform.services))
        return await handle(door, request)

    handler = respond_to_movers if options.localstack else respond
    return await serve(options.sock, handler, tls=options.tls, date_ms=platform.clock.real_ms)


def identity_of(options: Options) -> Identity:
    return localstack.with_test_credentials(IDENTITY) if options.localstack else IDENTITY


def _platform(engine: Engine, options: Options, runner: NodeRunner | None = None) -> Platform:
    directory = options.directory
    return make_platform(
        engine,
        directory.clock(),
        directory.secret(),
        directory.blobs,
        identity_of(options),
        options.outbound,
        runner or NodeRunner(options.runtime),
    )


@contextlib.asynccontextmanager
async def working(lanes: list[Lane], workers: list[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run the lanes and the services' workers while the block runs."""
    running = [asyncio.create_task(lane.run(), name=f"lane {lane.kind}") for lane in lanes]
    running += [asyncio.create_task(worker) for worker in workers]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def store_process(options: Options, on_ready: Callable[[], None]) -> None:
    directory = options.directory
    secret = directory.secret()
    engine = open_lmdb(directory.store, programs(secret))
    platform = _platform(engine, options)
    await platform.blobs.recover()
    await bootstrap(platform, directory.root_credentials())
    server = StoreServer(engine.writer)
    await server.listen(directory.store_socket)
    async with working(make_lanes(platform), make_workers(platform)):
        on_ready()
        await until_told_to_stop()
    await server.close()
    await engine.close()


async def worker_process(options: Options, on_ready: Callable[[], None]) -> None:
    directory = options.directory
    engine = open_remote(directory.store, directory.store_socket)
    platform = _platform(engine, options)
    server = await serve_door(platform, options)
    on_ready()
    await until_told_to_stop()
    await server.close(DRAIN_S)
    await engine.close()


async def single_process(options: Options, on_ready: Callable[[], None]) -> None:
    """Everything in this process: tests, embedding, and `--workers 0`."""
    directory = options.directory
    secret = directory.secret()
    engine = open_lmdb(directory.store, programs(secret))
    owned = OwnedRuntime(options.runtime)
    platform = _platform(engine, options, NodeRunner(options.runtime, owned.start))
    await platform.blobs.recover()
    await bootstrap(platform, directory.root_credentials())
    server = await serve_door(platform, options)
    async with working(make_lanes(platform), make_workers(platform)):
        on_ready()
        await until_told_to_stop()
    await server.close(DRAIN_S)
    owned.stop()
    await engine.close()


async def until_told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    # What the imports made lives for ever and need not be looked at again; requests make few cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvloop.run(main)
