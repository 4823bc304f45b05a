"""One seed, one story: clients come and go, processes crash, time jumps, and after each step the invariants must hold."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.sim import loop
from tests.sim.sqs import QueueChecker
from tests.sim.sqs_dead import DeadLetterChecker
from tests.sim.sqs_fifo import FifoChecker
from tests.sim.world import World

STEPS = 200


async def _tell(seed: int) -> list[str]:
    world = World(seed)
    await world.start()
    dead = DeadLetterChecker(world)
    clients: list[QueueChecker | FifoChecker | DeadLetterChecker] = [QueueChecker(world), FifoChecker(world), dead]
    for client in clients:
        await client.set_up()
    rng = world.random
    for _ in range(STEPS):
        at = rng.randrange(len(world.workers))
        event = rng.random()
        client = rng.choice(clients)
        if event < 0.45:
            world.spawn(at, client.send(at))
        elif event < 0.85:
            world.spawn(at, client.receive(at))
        elif event < 0.92:
            await world.jump(rng.choice([10, 1000, 31_000]))
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
    for client in clients:
        await client.drain()
    broken = await world.check_invariants() + await dead.check()
    await world.stop()
    return [line for client in clients for line in client.broken] + broken


def tell(seed: int) -> list[str]:
    """Run one seed; what was broken. The machine's randomness is replaced, so that a seed repeats exactly."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", rng.randbytes)
        broken: list[str] = loop.run(_tell(seed))
    return broken
