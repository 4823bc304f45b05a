"""SQS without a front door: handlers on the memory engine, with a clock that stands until it is moved.

Authorization and validation run as for any call of a service inside the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from unkai.app.compose import bootstrap, make_lanes, make_platform, programs
from unkai.app.datadir import RootCredentials
from unkai.kernel.caller import Caller
from unkai.kernel.clock import ManualClock
from unkai.services.sqs import invariants
from unkai.store.api import Commit, Conflict
from unkai.store.engines.memory import open_memory
from unkai.work import advance

ACCOUNT, REGION = "123456789012", "us-east-1"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
SECRET = b"node secret for tests"


class Conflicting:
    """While `conflicts`, every commit of what has read something conflicts, so that each write handler runs a second time, on
    the writer."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.conflicts = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit) -> bytes:
        if self.conflicts and (commit.reads or commit.ranges):
            raise Conflict
        stamp: bytes = await self._engine.commit(commit)
        return stamp


class Pure:
    """One node in this process. `call` is one operation; `advance` moves time with all that falls due on the way."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = Conflicting(open_memory(programs(SECRET)))
        self.platform = make_platform(self.engine, self.clock, SECRET, Path("no-blobs-here"))  # type: ignore[arg-type]
        self._loop = asyncio.new_event_loop()
        self.wait(bootstrap(self.platform, RootCredentials(ACCOUNT, "AKIAROOTROOTROOTROOT", "r" * 40)))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def call(self, operation: str, **inp: Any) -> dict[str, Any]:
        return self.call_as(ROOT, operation, **inp)

    def call_as(self, caller: Caller, operation: str, **inp: Any) -> dict[str, Any]:
        out: dict[str, Any] = self.wait(self.platform.call("sqs", operation, inp, as_=caller, region=REGION))
        return out

    def advance(self, ms: int) -> None:
        self.wait(self._advance(ms))

    async def _advance(self, ms: int) -> None:
        lanes = make_lanes(self.platform)
        running = [asyncio.create_task(lane.run()) for lane in lanes]
        await advance.advance(self.engine, self.clock, [lane.kind for lane in lanes], ms)  # type: ignore[arg-type]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def broken(self) -> list[str]:
        snapshot = self.engine.snapshot()
        try:
            found: list[str] = self.wait(invariants.check(snapshot))
        finally:
            snapshot.close()
        return found

    def keys(self, begin: bytes) -> int:
        """How many rows begin so."""
        snapshot = self.engine.snapshot()
        try:
            return len(self.wait(snapshot.get_range(begin, begin + b"\xff")))
        finally:
            snapshot.close()

    def close(self) -> None:
        self._loop.close()


def arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
