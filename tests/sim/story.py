"""One seed, one story: clients come and go, processes crash, time jumps, and after each step the invariants must hold."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.sim import loop
from tests.sim.lambda_ import EventChecker
from tests.sim.sqs import QueueChecker
from tests.sim.world import World

STEPS = 150


async def _tell(seed: int) -> list[str]:
    world = World(seed)
    await world.start()
    queue = QueueChecker(world)
    await queue.set_up()
    events = EventChecker(world)
    await events.set_up()
    rng = world.random
    for _ in range(STEPS):
        at = rng.randrange(len(world.workers))
        event = rng.random()
        if event < 0.35:
            world.spawn(at, queue.send(at))
        elif event < 0.70:
            world.spawn(at, queue.receive(at))
        elif event < 0.85:
            world.spawn(at, events.invoke(at))
        elif event < 0.92:
            await world.jump(rng.choice([10, 1000, 31_000, 61_000]))
        elif event < 0.96:
            await world.crash_worker(at)
        else:
            await world.crash_store()
        await asyncio.sleep(rng.random() * 0.02)
        if broken := await world.check_invariants():
            return broken
    await world.jump(60_000)
    await world.settle()
    await queue.drain()
    await events.drain()
    broken = await world.check_invariants()
    await world.stop()
    return queue.broken + events.broken + broken


def tell(seed: int) -> list[str]:
    """Run one seed; what was broken. The machine's randomness is replaced, so that a seed repeats exactly."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", rng.randbytes)
        broken: list[str] = loop.run(_tell(seed))
    return broken
