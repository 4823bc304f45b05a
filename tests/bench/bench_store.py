"""How fast the store is: durable small writes, snapshot reads, serial programs. A benchmark, not a test.

    python tests/bench/bench_store.py [seconds per row] [folder]

Each row of writes is one client doing one transaction after another: read one key, write one row of 100 bytes. `p99` is the 99th
percentile of a client's wait. Budgets are DESIGN.md's: 10,000 a second at 64 clients, 6,000 at 16 on one worker.
"""

from __future__ import annotations

import asyncio
import cProfile
import multiprocessing
import os
import pstats
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from unkai.kernel.clock import cpu_ns, monotonic_ns
from unkai.store.api import read_counter
from unkai.store.engines.lmdb import open_lmdb
from unkai.store.engines.remote import open_remote
from unkai.store.retry import Run, run, run_serial
from unkai.store.server import StoreServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.store.api import Engine, Tx

VALUE = b"v" * 100


async def count(tx: Tx, args: bytes) -> bytes:
    """What a receive does, in little: read the head of a range, move it, count."""
    await tx.get_range(b"head", b"heae", limit=1)
    n = read_counter(await tx.get(b"count" + args)) + 1
    tx.set(b"count" + args, n.to_bytes(8, "big"))
    return b"%d" % n


PROGRAMS = {"count": count}


def write_of(client: int, n: int) -> Run:
    key = b"row/%d/%d" % (client, n % 10_000)

    async def body(tx: Tx) -> None:
        await tx.get(key)
        tx.set(key, VALUE)

    return Run("count", body, lambda: b"", lambda answer: answer)


async def clients(step: Callable[[int, int], Awaitable[object]], number: int, seconds: float) -> tuple[int, float]:
    """Operations a second, and the 99th percentile of their milliseconds."""
    end = monotonic_ns() + int(seconds * 1e9)
    taken: list[int] = []

    async def client(which: int) -> None:
        n = 0
        while (start := monotonic_ns()) < end:
            await step(which, n)
            taken.append(monotonic_ns() - start)
            n += 1

    await asyncio.gather(*(client(which) for which in range(number)))
    taken.sort()
    return int(len(taken) / seconds), taken[int(len(taken) * 0.99)] / 1e6


def report(name: str, rate: int, p99_ms: float, cpu_us: float | None = None) -> None:
    cpu = f"  {cpu_us:6.1f} us CPU each" if cpu_us is not None else ""
    print(f"{name:<44}{rate:>9,} /s   p99 {p99_ms:6.2f} ms{cpu}", flush=True)


async def embedded(folder: Path, seconds: float) -> None:
    engine = open_lmdb(folder / "one", PROGRAMS)
    task = write_of(0, 0)
    for number in (1, 16, 64):
        cpu = cpu_ns()
        rate, p99 = await clients(lambda who, n: run(engine, write_of(who, n)), number, seconds)
        report(f"writes, one process, {number} clients", rate, p99, (cpu_ns() - cpu) / 1e3 / (rate * seconds))
    for number in (16, 64):
        cpu = cpu_ns()
        rate, p99 = await clients(lambda who, n: run_serial(engine, task), number, seconds)
        report(f"serial programs, one process, {number} clients", rate, p99, (cpu_ns() - cpu) / 1e3 / (rate * seconds))
    await snapshots(engine)
    await engine.close()


async def snapshots(engine: Engine) -> None:
    start = monotonic_ns()
    for _ in range(100_000):
        engine.snapshot().close()
    print(f"{'snapshot, opened and closed':<44}{(monotonic_ns() - start) / 1e8:9.2f} us")
    snapshot = engine.snapshot()
    start = monotonic_ns()
    for n in range(100_000):
        await snapshot.get(b"row/0/%d" % (n % 100))
    print(f"{'get on a snapshot':<44}{(monotonic_ns() - start) / 1e8:9.2f} us")
    start = monotonic_ns()
    for _ in range(20_000):
        await snapshot.get_range(b"row/0/", b"row/1/", limit=10)
    print(f"{'range of 10 on a snapshot':<44}{(monotonic_ns() - start) / 2e7:9.2f} us")
    snapshot.close()


def serve(folder: Path, ready: multiprocessing.synchronize.Event, stop: multiprocessing.synchronize.Event) -> None:
    async def main() -> None:
        engine = open_lmdb(folder, PROGRAMS)
        server = StoreServer(engine.writer)
        await server.listen(folder / "socket")
        ready.set()
        cpu = cpu_ns()
        await asyncio.to_thread(stop.wait)
        print(f"{'':<44}store process: {(cpu_ns() - cpu) / 1e9:.2f} s of CPU")
        await server.close()
        await engine.close()

    uvloop.run(main())


def work(folder: Path, which: int, number: int, seconds: float, is_serial: bool, out: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    async def main() -> None:
        engine = open_remote(folder, folder / "socket")
        task = write_of(0, 0)
        cpu = cpu_ns()
        if is_serial:
            rate, p99 = await clients(lambda who, n: run_serial(engine, task), number, seconds)
        else:
            rate, p99 = await clients(lambda who, n: run(engine, write_of(who + which * 1000, n)), number, seconds)
        out.put((rate, p99, (cpu_ns() - cpu) / 1e3 / (rate * seconds)))
        await engine.close()

    uvloop.run(main())


def remote(folder: Path, workers: int, number: int, seconds: float, is_serial: bool = False) -> None:
    context = multiprocessing.get_context("spawn")
    ready, stop, out = context.Event(), context.Event(), context.Queue()
    folder.mkdir()
    server = context.Process(target=serve, args=(folder, ready, stop))
    server.start()
    ready.wait(10)
    each = [
        context.Process(target=work, args=(folder, which, number // workers, seconds, is_serial, out))
        for which in range(workers)
    ]
    for process in each:
        process.start()
    rows = [out.get(timeout=seconds + 20) for _ in each]
    for process in each:
        process.join()
    kind = "serial programs" if is_serial else "writes"
    report(
        f"{kind}, {workers} workers, {number} clients",
        sum(row[0] for row in rows),
        max(row[1] for row in rows),
        max(row[2] for row in rows),
    )
    stop.set()
    server.join()


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    folder = Path(tempfile.mkdtemp(prefix="bench_store", dir=sys.argv[2] if len(sys.argv) > 2 else None))
    try:
        if os.environ.get("PROFILE"):
            profile = cProfile.Profile()
            profile.enable()
            uvloop.run(embedded(folder, seconds))
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            return
        uvloop.run(embedded(folder, seconds))
        for workers, number in ((1, 16), (1, 64), (2, 16), (2, 64)):
            remote(folder / f"w{workers}-{number}", workers, number, seconds)
        remote(folder / "serial", 2, 64, seconds, is_serial=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
