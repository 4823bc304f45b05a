"""One seed, one story: clients come and go, processes crash, time jumps, and after each step the invariants must hold."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sim import loop
from tests.sim.lambda_ import EventChecker
from tests.sim.logs import LogsChecker
from tests.sim.s3 import BucketChecker
from tests.sim.sns import TopicChecker
from tests.sim.sqs import QueueChecker
from tests.sim.sqs_dead import DeadLetterChecker
from tests.sim.sqs_fifo import FifoChecker
from tests.sim.world import World

STEPS = 200

Act = Callable[[int], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class Clients:
    """One kind of clients: what they do (each act is given a worker), and how all that they were promised is checked at the end."""

    checker: Any
    acts: tuple[Act, ...]
    finish: Callable[[], Coroutine[Any, Any, None]]


def _clients(world: World, dead: DeadLetterChecker) -> list[Clients]:
    queue, fifo, topic, logs = QueueChecker(world), FifoChecker(world), TopicChecker(world), LogsChecker(world)
    bucket = BucketChecker(world)
    events = EventChecker(world)
    return [
        Clients(queue, (queue.send, queue.receive), queue.drain),
        Clients(fifo, (fifo.send, fifo.receive), fifo.drain),
        Clients(dead, (dead.send, dead.receive), dead.drain),
        Clients(topic, (topic.publish, topic.publish_in_order), topic.drain),
        Clients(events, (events.invoke,), events.drain),
        Clients(logs, (logs.put, logs.read), logs.finish),
        Clients(bucket, (bucket.step, bucket.step), bucket.finish),
    ]


async def _tell(seed: int) -> list[str]:
    world = World(seed)
    await world.start()
    dead = DeadLetterChecker(world)
    everybody = _clients(world, dead)
    for clients in everybody:
        await clients.checker.set_up()
    rng = world.random
    for _ in range(STEPS):
        at = rng.randrange(len(world.workers))
        event = rng.random()
        if event < 0.85:
            world.spawn(at, rng.choice(rng.choice(everybody).acts)(at))
        elif event < 0.92:
            await world.jump(rng.choice([10, 1000, 31_000, 61_000]))
        elif event < 0.96:
            await world.crash_worker(at)
        else:
            await world.crash_store()
        await asyncio.sleep(rng.random() * 0.02)
        if broken := await world.check_invariants() + await dead.check():
            return broken
    await world.jump(60_000)
    await world.settle()
    world.calm()
    for clients in everybody:
        await clients.finish()
    broken = await world.check_invariants() + await dead.check()
    await world.stop()
    return [line for clients in everybody for line in clients.checker.broken] + broken


def tell(seed: int) -> list[str]:
    """Run one seed; what was broken. The machine's randomness is replaced, so that a seed repeats exactly."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", rng.randbytes)
        broken: list[str] = loop.run(_tell(seed))
    return broken
