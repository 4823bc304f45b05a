"""What each process of the node does. The supervisor forks them; all of it also runs in one process.

store    owns the writer, serves it on a socket to the workers, and does the background work
worker   serves the front door: reads its own snapshots, sends its commits to the store process
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from unkai.app.compose import bootstrap, make_lanes, make_platform, make_workers, programs
from unkai.app.functions import make_runner
from unkai.edge.http.server import serve
from unkai.edge.pipeline import Door, Record, handle
from unkai.kernel.clock import MovableClock
from unkai.layers.blobs import FileBlobs
from unkai.store.engines.lmdb import open_lmdb
from unkai.store.engines.remote import open_remote
from unkai.store.server import StoreServer
from unkai.work.advance import advance as advance_clock

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from unkai.app.datadir import DataDir
    from unkai.calls.execute import Platform
    from unkai.edge.http.server import Server
    from unkai.kernel.http import HttpRequest, HttpResponse
    from unkai.work.lanes import Lane

DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a node runs. `on_ready` is called in each process once it can do its work."""

    directory: DataDir
    on_ready: Callable[[], None] = lambda: None


def _no_record(record: Record) -> None:
    pass


def make_door(platform: Platform, directory: DataDir) -> Door:
    kinds = [kind for service in platform.services.values() for kind in service.tasks]

    async def advance(ms: int) -> int:
        assert isinstance(platform.clock, MovableClock), "the control API has checked it"
        return await advance_clock(platform.engine, platform.clock, kinds, ms)

    dataplanes = tuple(service for service in platform.services.values() if service.dataplane is not None)
    return Door(platform, _no_record, advance, dataplanes, directory.root_credentials().account)


async def serve_door(platform: Platform, directory: DataDir, sock: socket.socket) -> Server:
    door = make_door(platform, directory)

    async def respond(request: HttpRequest) -> HttpResponse:
        return await handle(door, request)

    return await serve(sock, respond, date_ms=platform.clock.real_ms)


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


async def store_process(options: Options) -> None:
    directory = options.directory
    secret = directory.secret()
    engine = open_lmdb(directory.store, programs(secret))
    blobs = FileBlobs(directory.blobs, engine.snapshot)
    await blobs.recover()
    platform = make_platform(engine, directory.clock(), secret, blobs, make_runner(directory))
    await bootstrap(platform, directory.root_credentials())
    server = StoreServer(engine.writer)
    await server.listen(directory.store_socket)
    async with working(make_lanes(platform), make_workers(platform)):
        options.on_ready()
        await until_told_to_stop()
    await server.close()
    await engine.close()


async def worker_process(options: Options, sock: socket.socket) -> None:
    directory = options.directory
    engine = open_remote(directory.store, directory.store_socket)
    blobs = FileBlobs(directory.blobs, engine.snapshot)
    platform = make_platform(engine, directory.clock(), directory.secret(), blobs, make_runner(directory))
    server = await serve_door(platform, directory, sock)
    options.on_ready()
    await until_told_to_stop()
    await server.close(DRAIN_S)
    await engine.close()


async def single_process(options: Options, sock: socket.socket) -> None:
    """Everything in this process: tests, embedding, and `--workers 0`."""
    directory = options.directory
    secret = directory.secret()
    engine = open_lmdb(directory.store, programs(secret))
    blobs = FileBlobs(directory.blobs, engine.snapshot)
    await blobs.recover()
    platform = make_platform(engine, directory.clock(), secret, blobs, make_runner(directory))
    await bootstrap(platform, directory.root_credentials())
    server = await serve_door(platform, directory, sock)
    async with working(make_lanes(platform), make_workers(platform)):
        options.on_ready()
        await until_told_to_stop()
    await server.close(DRAIN_S)
    await engine.close()


async def until_told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)
