"""Wraps any engine and throws, by seed, what production can throw: conflicts, lost answers, refusals, reordered waiting.

A lost answer comes in both forms: the commit happened, or it did not. Service tests and the simulation run on this.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unkai.kernel.ids import Ids
from unkai.store.api import CommitUnknown, Conflict, StoreUnavailable

if TYPE_CHECKING:
    from unkai.store.api import Commit, Engine, Snapshot, Watch


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities, each from 0 to 1."""

    conflict: float = 0.0
    unknown: float = 0.0
    unavailable: float = 0.0
    pause: float = 0.0


class FaultyEngine:
    """store/api.Engine with faults. `faults` may be changed while it runs."""

    def __init__(self, engine: Engine, seed: int, faults: Faults) -> None:
        self._engine = engine
        self._draws = Ids(seed.to_bytes(8, "big", signed=True), "faults")
        self.faults = faults

    def _happens(self, probability: float) -> bool:
        return probability > 0 and int.from_bytes(self._draws.token(4), "big") < probability * 2**32

    def snapshot(self) -> Snapshot:
        return self._engine.snapshot()

    async def _pause(self) -> None:
        if self._happens(self.faults.pause):
            await asyncio.sleep(0)

    async def commit(self, commit: Commit) -> bytes:
        await self._pause()
        if (commit.reads or commit.ranges) and self._happens(self.faults.conflict):
            raise Conflict
        if self._happens(self.faults.unavailable):
            raise StoreUnavailable("a refusal on purpose")
        if self._happens(self.faults.unknown):
            if self._happens(0.5):
                await self._engine.commit(commit)
            raise CommitUnknown
        stamp = await self._engine.commit(commit)
        await self._pause()
        return stamp

    async def outcome(self, commit_id: bytes) -> bytes | None:
        return await self._engine.outcome(commit_id)

    async def serial(self, program: str, args: bytes, finishing: bytes = b"") -> bytes:
        await self._pause()
        if self._happens(self.faults.unavailable):
            raise StoreUnavailable("a refusal on purpose")
        if self._happens(self.faults.unknown):
            if self._happens(0.5):
                await self._engine.serial(program, args, finishing)
            raise CommitUnknown
        answer = await self._engine.serial(program, args, finishing)
        await self._pause()
        return answer

    async def watch(self, channel: bytes) -> Watch:
        await self._pause()
        return await self._engine.watch(channel)

    async def wake_all(self) -> None:
        await self._engine.wake_all()

    async def close(self) -> None:
        await self._engine.close()
