"""One lane per kind of task: it looks at the earliest tasks, carries out those that are due, and sleeps until the next.

What is in flight is known only to this process: when it dies, its successor finds every unfinished task still in the store
and starts again. A slow kind does not hold up another, and a group's tasks run one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.kernel.tasks import Finished, Retry, TaskResult, TaskView
from unkai.layers import tasks
from unkai.store.api import CommitUnknown, StoreUnavailable
from unkai.store.retry import run
from unkai.store.tuples import prefix_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.kernel.clock import Clock
    from unkai.layers.tasks import TaskRow
    from unkai.store.api import Engine, Pair, Watch

log = logging.getLogger(__name__)

PAGE = 256
BACKOFF_MS_MIN = 100
BACKOFF_MS_MAX = 5 * 60 * 1000
STORE_PAUSE_S = 0.5


def backoff_ms(attempt: int) -> int:
    """How long a task waits after its `attempt`-th failure, where its service says nothing else."""
    return min(BACKOFF_MS_MAX, BACKOFF_MS_MIN << min(attempt, 20))


@dataclass(slots=True)
class Lane:
    """`carry(task, row)` does the work of one task of `kind`; at most `concurrency` run at a time."""

    kind: str
    concurrency: int
    engine: Engine
    clock: Clock
    carry: Callable[[TaskView, TaskRow], Awaitable[TaskResult]]
    _running: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    _groups: set[str] = field(default_factory=set)
    _watch: Watch | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                try:
                    await self._turn()
                except (StoreUnavailable, CommitUnknown):
                    await asyncio.sleep(STORE_PAUSE_S)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _turn(self) -> None:
        """Start what can start, then wait: for a new task, for the next one's time, or for one that runs to end."""
        self._watch = await self.engine.watch(tasks.channel(self.kind))
        try:
            next_ms = await self._start_due()
            pause_s = None if next_ms is None else max(0.0, (next_ms - self.clock.node_ms()) / 1000)
            await self._watch.wait(pause_s)
        finally:
            self._watch.close()
            self._watch = None

    async def _start_due(self) -> int | None:
        """Start what is due and free to run. When to look again, or None: only a signal or an ending changes anything."""
        now = self.clock.node_ms()
        begin = tasks.lane_prefix(self.kind)
        end = prefix_end(begin)
        held: set[str] = set()
        next_ms: int | None = None
        while True:
            page = await self._page(begin, end)
            for key, value in page:
                due = tasks.due_of(key, self.kind)
                if due > now:
                    return due if next_ms is None else min(due, next_ms)
                if len(self._running) >= self.concurrency:
                    return None
                if key in self._running:
                    continue
                row = tasks.decode(value)
                if row.group and (row.group in self._groups or row.group in held):
                    held.add(row.group)
                elif row.not_before_ms > now:
                    held.add(row.group)
                    next_ms = min(next_ms or row.not_before_ms, row.not_before_ms)
                else:
                    self._start(TaskView(key, row.payload, row.created_ms, due, row.attempt), row)
            if len(page) < PAGE:
                return next_ms
            begin = page[-1][0] + b"\0"

    async def _page(self, begin: bytes, end: bytes) -> list[Pair]:
        snapshot = self.engine.snapshot()
        try:
            return await snapshot.get_range(begin, end, limit=PAGE)
        finally:
            snapshot.close()

    def _start(self, view: TaskView, row: TaskRow) -> None:
        if row.group:
            self._groups.add(row.group)
        self._running[view.key] = asyncio.create_task(self._carry_out(view, row))

    async def _carry_out(self, view: TaskView, row: TaskRow) -> None:
        result: TaskResult
        try:
            try:
                result = await self.carry(view, row)
            except StoreUnavailable:
                result = Retry(self.clock.node_ms() + backoff_ms(0))
            except Exception:
                log.exception("task failed", extra={"kind": self.kind, "attempt": row.attempt})
                result = Retry(self.clock.node_ms() + backoff_ms(row.attempt))
            await self._settle(view, result)
        finally:
            self._groups.discard(row.group)
            self._running.pop(view.key, None)
            if self._watch is not None:
                self._watch.wake()

    async def _settle(self, view: TaskView, result: TaskResult) -> None:
        if isinstance(result, Finished):
            return
        retry_ms = result.at_ms if isinstance(result, Retry) else None
        while True:
            try:
                await run(self.engine, tasks.settlement(tasks.Settlement(self.kind, view.key, retry_ms)))
                return
            except StoreUnavailable:
                await asyncio.sleep(STORE_PAUSE_S)

    async def next_due_ms(self) -> int | None:
        """When the earliest task is due, whether or not it runs."""
        begin = tasks.lane_prefix(self.kind)
        snapshot = self.engine.snapshot()
        try:
            page = await snapshot.get_range(begin, prefix_end(begin), limit=1)
        finally:
            snapshot.close()
        return tasks.due_of(page[0][0], self.kind) if page else None
