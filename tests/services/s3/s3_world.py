"""S3 on the memory engine, where every commit that has read anything conflicts the first time: all handlers run twice."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from unkai.app.compose import make_lanes, make_platform, programs
from unkai.kernel.caller import Caller
from unkai.kernel.clock import ManualClock
from unkai.layers import blobs as blob_layer
from unkai.services.s3 import bodies, invariants
from unkai.store.engines.faulty import Faults, FaultyEngine
from unkai.store.engines.memory import open_memory

ACCOUNT = "123456789012"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
SECRET = b"s" * 32


class World:
    def __init__(self, folder: Path, conflict: float = 1.0) -> None:
        self.clock = ManualClock()
        engine = FaultyEngine(open_memory(programs(SECRET)), 1, Faults(conflict=conflict))
        self.platform = make_platform(engine, self.clock, SECRET, folder)  # type: ignore[arg-type]

    async def call(self, operation: str, **inp: Any) -> dict[str, Any]:
        """One operation; a body in the answer is read whole."""
        out = await self.platform.call("s3", operation, inp, as_=ROOT, region="us-east-1")
        if "Body" in out:
            out["Body"] = b"".join([piece async for piece in bodies.pieces_of(out["Body"])])
        return out

    async def settle(self) -> None:
        """Carry out every task that is due."""
        # What lanes do themselves is no handler: it takes a conflict for somebody else's work, and tries again for ever.
        faulty, faults = self.platform.engine, self.platform.engine.faults  # type: ignore[attr-defined]
        faulty.faults = Faults()  # type: ignore[attr-defined]
        lanes = make_lanes(self.platform)
        running = [asyncio.create_task(lane.run()) for lane in lanes]
        for lane in lanes:
            while (due := await lane.next_due_ms()) is not None and due <= self.clock.node_ms():
                await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        faulty.faults = faults  # type: ignore[attr-defined]

    async def broken(self) -> list[str]:
        moment = self.platform.engine.snapshot()
        try:
            return [*await invariants.check(moment), *await blob_layer.check(moment, self.platform.blobs)]  # type: ignore[arg-type]
        finally:
            moment.close()


@contextlib.asynccontextmanager
async def world(conflict: float = 1.0, *, files: bool = False) -> AsyncIterator[World]:
    """A world that is whole at the end. `files` for bodies over 32 KB: making their folders takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        made = World(Path(folder), conflict)
        if files:
            await made.platform.blobs.recover()
        yield made
        assert await made.broken() == []
        await made.settle()
        assert await made.broken() == []
