"""A whole node in one simulated loop: a store process with its lanes, several workers, faults and crashes by seed.

The store process is a Writer over a MemoryStore (its disk). A worker is a Platform whose engine reads that disk and sends the
rest to the store process, with delays. A crash of the store process drops what is queued and starts a new Writer on the same
disk; a crash of a worker cancels everything that runs in it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unkai.app.compose import SERVICES, bootstrap, make_lanes, make_platform, make_workers, programs
from unkai.app.datadir import RootCredentials
from unkai.calls.execute import Platform
from unkai.kernel.caller import Caller
from unkai.kernel.functions import FunctionSpec, Invocation, Report, Result
from unkai.store.api import Commit, CommitUnknown, Conflict, Engine, Snapshot, StoreUnavailable, Watch
from unkai.store.engines.embedded import EmbeddedEngine
from unkai.store.engines.memory import MemorySnapshot, MemoryStore, open_memory
from unkai.work.lanes import Lane

START_MS = 1_800_000_000_000
SECRET = b"simulation" + b"\0" * 22
ACCOUNT = "111111111111"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
REGION = "eu-west-1"
NO_BLOBS = Path("the stories have no large values")


class SimClock:
    """Node time follows the loop's time, plus the jumps that the simulation makes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset_ms = 0

    def node_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000) + self.offset_ms

    def real_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000)


@dataclass(frozen=True)
class Rates:
    """How often, per call, something goes wrong (0 to 1)."""

    conflict: float = 0.05
    lost_answer: float = 0.02
    refusal: float = 0.02
    delay_s_max: float = 0.02


class StoreProcess:
    """The process that writes. `crash` loses its memory and nothing else."""

    def __init__(self) -> None:
        self.disk = MemoryStore()
        self.programs = programs(SECRET)
        self.engine: EmbeddedEngine = open_memory(self.programs, self.disk)
        self.incarnation = 0

    def crash(self) -> None:
        self.incarnation += 1
        old = self.engine
        self.engine = open_memory(self.programs, self.disk)
        old.writer._queue.clear()  # what it had not written is gone
        old.writer.watches.fire_all()  # its clients see their connections break


class SimEngine:
    """store/api.Engine of one simulated process, over the store process."""

    def __init__(self, store: StoreProcess, rng: random.Random, rates: Rates) -> None:
        self._store = store
        self._random = rng
        self.rates = rates

    def snapshot(self) -> Snapshot:
        return MemorySnapshot(self._store.disk)

    async def _delay(self) -> None:
        if self.rates.delay_s_max and self._random.random() < 0.5:
            await asyncio.sleep(self._random.random() * self.rates.delay_s_max)

    async def _ask(self, request: Coroutine[Any, Any, bytes], incarnation: int) -> bytes:
        """The answer of the store process, or CommitUnknown where it died before answering."""
        asked = asyncio.ensure_future(request)
        while not asked.done():
            if self._store.incarnation != incarnation:
                asked.cancel()
                raise CommitUnknown
            await asyncio.wait([asked], timeout=0.001)
        answer = asked.result()
        if self._random.random() < self.rates.lost_answer or self._store.incarnation != incarnation:
            raise CommitUnknown
        return answer

    async def commit(self, commit: Commit) -> bytes:
        await self._delay()
        if (commit.reads or commit.ranges) and self._random.random() < self.rates.conflict:
            raise Conflict
        if self._random.random() < self.rates.refusal:
            raise StoreUnavailable("a refusal on purpose")
        stamp = await self._ask(self._store.engine.commit(commit), self._store.incarnation)
        await self._delay()
        return stamp

    async def outcome(self, commit_id: bytes) -> bytes | None:
        await self._delay()
        self._store.engine.writer.drain()
        return await self._store.engine.outcome(commit_id)

    async def serial(self, program: str, args: bytes, finishing: bytes = b"") -> bytes:
        await self._delay()
        if self._random.random() < self.rates.refusal:
            raise StoreUnavailable("a refusal on purpose")
        answer = await self._ask(self._store.engine.serial(program, args, finishing), self._store.incarnation)
        await self._delay()
        return answer

    async def watch(self, channel: bytes) -> Watch:
        await self._delay()
        return await self._store.engine.watch(channel)

    async def wake_all(self) -> None:
        await self._store.engine.wake_all()

    async def close(self) -> None:
        pass


class SimBlobs:
    """kernel.ports.Blobs without a disk: a blob is there at once, and nothing looks into it."""

    def __init__(self) -> None:
        self._count = 0

    async def create(self) -> Any:
        self._count += 1
        return SimBlob(self._count.to_bytes(16, "big"))

    async def keep(self, writers: Any, committing: Any) -> Any:
        return await committing

    def path(self, blob_id: bytes) -> str:
        return blob_id.hex()

    async def unlink(self, blob_ids: Any, *, guard: bytes) -> bool:
        return True


@dataclass
class SimBlob:
    id: bytes

    async def write(self, piece: bytes, through: Any = None) -> None:
        pass

    async def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class SimRunner:
    """kernel.ports.Runner: a run takes simulated time; `outcome(spec, invocation)` says what comes of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.outcome: Any = None

    def runtimes(self) -> tuple[str, ...]:
        return ("python3.12",)

    async def drain(self, arn: str) -> None:
        pass

    async def follow_logs(self, sink: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        await asyncio.sleep(self._world.random.random() * 0.05)
        payload, error = self.outcome(spec, invocation)
        await asyncio.sleep(self._world.random.random() * 0.05)
        return Result(payload, error, b"", Report(1.0, 1, spec.memory_mb, 1))


class World:
    """One seed's node. `spawn` runs a coroutine inside a worker; `crash_worker` ends all that runs there."""

    def __init__(self, seed: int, workers: int = 3, rates: Rates | None = None) -> None:
        self.random = random.Random(seed)
        self.rates = rates or Rates()
        self.clock = SimClock(asyncio.get_running_loop())
        self.store = StoreProcess()
        self.blobs = SimBlobs()
        self.runner = SimRunner(self)
        self.workers: list[Platform] = [self._platform() for _ in range(workers)]
        self._running: list[list[asyncio.Task[Any]]] = [[] for _ in range(workers)]
        self._lanes: list[asyncio.Task[None]] = []
        self._background: list[Lane] = []

    def _platform(self) -> Platform:
        engine: Engine = SimEngine(self.store, random.Random(self.random.random()), self.rates)
        platform = make_platform(engine, self.clock, SECRET, NO_BLOBS, runner=self.runner)
        platform.blobs = self.blobs
        return platform

    async def start(self) -> None:
        quiet = make_platform(self.store.engine, self.clock, SECRET, NO_BLOBS, runner=self.runner)
        await bootstrap(quiet, RootCredentials(ACCOUNT, "AKIASIMULATION000000", "0" * 40))
        self._start_lanes()

    def _start_lanes(self) -> None:
        platform = self._platform()
        self._background = make_lanes(platform)
        self._lanes = [asyncio.create_task(lane.run()) for lane in self._background]
        self._lanes += [asyncio.create_task(worker) for worker in make_workers(platform)]

    async def crash_store(self) -> None:
        """The background work runs in the store process, so it ends with it."""
        for task in self._lanes:
            task.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self.store.crash()
        self._start_lanes()

    async def crash_worker(self, at: int) -> None:
        tasks, self._running[at] = self._running[at], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.workers[at] = self._platform()
        await self.store.engine.wake_all()

    async def jump(self, ms: int) -> None:
        self.clock.offset_ms += ms
        await self.store.engine.wake_all()

    def calm(self) -> None:
        """From now on clients meet no faults, so that what is left can be counted: an answer that is lost hides messages."""
        self.rates = Rates(conflict=0, lost_answer=0, refusal=0)
        for worker in self.workers:
            assert isinstance(worker.engine, SimEngine)
            worker.engine.rates = self.rates

    async def rest(self) -> None:
        """Let what is under way go on for a while."""
        await asyncio.sleep(0.2)

    def now_s(self) -> float:
        """The loop's time: it grows with every delay, whatever node time does."""
        return asyncio.get_running_loop().time()

    def spawn(self, at: int, work: Coroutine[Any, Any, Any]) -> None:
        self._running[at] = [task for task in self._running[at] if not task.done()]
        self._running[at].append(asyncio.create_task(work))

    async def settle(self) -> None:
        """Wait until the clients are done."""
        for tasks in self._running:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def quiet(self) -> None:
        """Wait until the background work has carried out what is due."""
        while True:
            due = [await lane.next_due_ms() for lane in self._background]
            if all(ms is None or ms > self.clock.node_ms() for ms in due):
                return
            await asyncio.sleep(0.05)

    async def call(self, at: int, service: str, operation: str, **inp: Any) -> dict[str, Any]:
        return await self.workers[at].call(service, operation, inp, as_=ROOT, region=REGION)

    async def all_rows(self) -> list[tuple[bytes, bytes]]:
        snapshot = MemorySnapshot(self.store.disk)
        try:
            return await snapshot.get_range(b"\x01", b"\xff")
        finally:
            snapshot.close()

    async def check_invariants(self) -> list[str]:
        snapshot = MemorySnapshot(self.store.disk)
        try:
            return [line for service in SERVICES for check in service.invariants for line in await check(snapshot)]
        finally:
            snapshot.close()

    async def stop(self) -> None:
        for task in self._lanes:
            task.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
