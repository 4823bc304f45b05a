"""Moves node time forward as if it had passed: everything that falls due on the way is carried out, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unkai.kernel.clock import monotonic_s
from unkai.layers import tasks
from unkai.store.tuples import prefix_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.clock import MovableClock
    from unkai.store.api import Engine

SETTLE_TIMEOUT_S = 60.0
LOOK_S = 0.002


class NotSettled(Exception):
    """Work that fell due has not ended within SETTLE_TIMEOUT_S; time stands where that work was due."""


async def advance(engine: Engine, clock: MovableClock, kinds: Sequence[str], ms: int) -> int:
    """Move node time by `ms`, stopping at each moment at which a task of `kinds` is due until it is done; the new node time.

    Raises NotSettled.
    """
    assert ms >= 0, "time never goes back"
    target_ms = clock.node_ms() + ms
    while True:
        due_ms = await _earliest_due(engine, kinds)
        now_ms = clock.node_ms()
        if due_ms is None or due_ms > target_ms:
            break
        if due_ms > now_ms:
            clock.advance(due_ms - now_ms)
            await engine.wake_all()
        await _settle(engine, clock, kinds)
    now_ms = clock.node_ms()
    if now_ms < target_ms:
        clock.advance(target_ms - now_ms)
    await engine.wake_all()
    return clock.node_ms()


async def _settle(engine: Engine, clock: MovableClock, kinds: Sequence[str]) -> None:
    """Until nothing is due any more. Tasks that failed have moved to a later time by then."""
    since_s = monotonic_s()
    while True:
        due_ms = await _earliest_due(engine, kinds)
        if due_ms is None or due_ms > clock.node_ms():
            return
        if monotonic_s() - since_s > SETTLE_TIMEOUT_S:
            raise NotSettled
        await asyncio.sleep(LOOK_S)


async def _earliest_due(engine: Engine, kinds: Sequence[str]) -> int | None:
    snapshot = engine.snapshot()
    try:
        earliest: int | None = None
        for kind in kinds:
            begin = tasks.lane_prefix(kind)
            page = await snapshot.get_range(begin, prefix_end(begin), limit=1)
            if page:
                row = tasks.decode(page[0][1])
                due_ms = max(tasks.due_of(page[0][0], kind), row.not_before_ms)
                earliest = due_ms if earliest is None else min(earliest, due_ms)
        return earliest
    finally:
        snapshot.close()
