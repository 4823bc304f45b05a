"""Logs on the memory engine, every write twice: first where its commit conflicts, then on the writer. Lambda is a stand-in."""

from __future__ import annotations

import asyncio
from typing import Any

from unkai.app import compose
from unkai.calls.authorize import Authorizer
from unkai.calls.execute import Platform
from unkai.calls.programs import programs_of
from unkai.kernel.caller import Caller
from unkai.kernel.clock import ManualClock
from unkai.kernel.errors import AwsError
from unkai.kernel.service import Service, effect, on
from unkai.services import logs
from unkai.services.iam import SERVICES as IAM
from unkai.store.api import Commit, Conflict
from unkai.store.engines.memory import open_memory

ACCOUNT = "123456789012"
REGION = "us-east-1"
SECRET = b"node secret for tests"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "AKIAROOTROOTROOTROOT")
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sink"


NO_BLOBS: Any = None
"""Logs keeps nothing outside the store."""


class Conflicting:
    """An engine on which every commit that read anything conflicts, so that its handler runs again on the writer."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit) -> bytes:
        if commit.reads or commit.ranges:
            raise Conflict
        stamp: bytes = await self._engine.commit(commit)
        return stamp


class Node:
    """One process with IAM, Logs and a Lambda that remembers who invoked it. `advance` runs what falls due."""

    def __init__(self, *, conflicting: bool = True) -> None:
        self.clock = ManualClock(1_800_000_000_000)
        self.loop = asyncio.new_event_loop()
        self.invocations: list[tuple[Caller, dict[str, Any]]] = []
        self.refusals: list[AwsError] = []
        self.policy: str | None = None
        services = (*IAM, logs.SERVICE, self._lambda())
        self.memory = open_memory(programs_of(services, SECRET))
        engine: Any = Conflicting(self.memory) if conflicting else self.memory
        self.platform = Platform(services, engine, self.clock, SECRET, Authorizer(compose.IDENTITY), NO_BLOBS)
        self.lanes = compose.make_lanes(self.platform)

    def _lambda(self) -> Service:
        async def invoke(ctx: Any, node: Any, inp: dict[str, Any]) -> dict[str, Any]:
            if self.refusals:
                raise self.refusals.pop(0)
            self.invocations.append((ctx.caller, inp))
            return {"StatusCode": 202}

        async def resource_policy(tx: Any, arn: str) -> str | None:
            return self.policy

        rule = on("lambda:InvokeFunction", lambda ctx, inp: str(inp["FunctionName"]))
        return Service("lambda", "lambda", {"Invoke": effect(invoke, rule)}, resource_policy=resource_policy)

    def call(self, operation: str, *, as_: Caller = ROOT, **inp: Any) -> dict[str, Any]:
        out = self.loop.run_until_complete(self.platform.call("logs", operation, inp, as_=as_, region=REGION))
        self.check()
        return out

    def close(self) -> None:
        self.loop.close()

    def check(self) -> None:
        snapshot = self.memory.snapshot()
        try:
            broken = self.loop.run_until_complete(logs.SERVICE.invariants[0](snapshot))
        finally:
            snapshot.close()
        assert broken == []

    def advance(self, ms: int) -> None:
        """Move the clock, and carry out every task that is due."""
        self.clock.advance(ms)
        self.loop.run_until_complete(self._work())
        self.check()

    async def _work(self) -> None:
        while True:
            for lane in self.lanes:
                await lane._start_due()
            running = [task for lane in self.lanes for task in lane._running.values()]
            if not running:
                return
            await asyncio.gather(*running)

    def rows(self, prefix: bytes) -> int:
        snapshot = self.memory.snapshot()
        try:
            return len(self.loop.run_until_complete(snapshot.get_range(prefix, prefix + b"\xff" * 8)))
        finally:
            snapshot.close()
