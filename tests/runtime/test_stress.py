"""Many things at once: cold starts, drains, timeouts and crashes of functions that share fork servers."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.conftest import Node


@pytest.mark.slow
def test_functions_do_not_disturb_each_other(node: Node) -> None:
    # Whatever happens to the others, a well-behaved function's every event gets its own answer.
    good = node.function("def handler(e, c): return e")
    dying = node.function("import os\ndef handler(e, c): os._exit(e)")
    late = node.function("import time\ndef handler(e, c): time.sleep(5)", timeout_s=1)
    dice = random.Random(7)

    async def one(number: int) -> None:
        choice = dice.random()
        if choice < 0.6:
            result = await node.invoke_async(good, number)
            assert (result.payload, result.function_error) == (str(number).encode(), "")
        elif choice < 0.8:
            result = await node.invoke_async(dying, number % 100 + 1)
            assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
        elif choice < 0.85:
            result = await node.invoke_async(late)
            assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"
        else:
            await node.client.drain(dice.choice([good, dying, late]).arn)

    async def run() -> None:
        waiting = asyncio.Semaphore(16)

        async def bounded(number: int) -> None:
            async with waiting:
                await one(number)

        await asyncio.gather(*(bounded(number) for number in range(300)))

    node.run(run())
    assert node.run(node.client.stats()).busy == 0
