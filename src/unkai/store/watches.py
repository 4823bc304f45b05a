"""Who waits for what: channels of one-shot waiters, woken in the order they came, by the process that commits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Watches:
    """The waiters of all channels. A waiter is a callback; its ticket takes it out again."""

    def __init__(self) -> None:
        self._channels: dict[bytes, deque[int]] = {}
        self._waiters: dict[int, tuple[bytes, Callable[[], None]]] = {}
        self._next_ticket = 0

    def add(self, channel: bytes, wake: Callable[[], None]) -> int:
        self._next_ticket += 1
        self._waiters[self._next_ticket] = (channel, wake)
        self._channels.setdefault(channel, deque()).append(self._next_ticket)
        return self._next_ticket

    def remove(self, ticket: int) -> bool:
        """Take a waiter out; False where it has been woken already."""
        waiter = self._waiters.pop(ticket, None)
        if waiter is None:
            return False
        queue = self._channels[waiter[0]]
        queue.remove(ticket)
        if not queue:
            del self._channels[waiter[0]]
        return True

    def fire(self, channel: bytes, count: int) -> None:
        """Wake up to `count` waiters, the longest-waiting first."""
        queue = self._channels.get(channel)
        while queue and count > 0:
            _, wake = self._waiters.pop(queue.popleft())
            count -= 1
            wake()
        if queue is not None and not queue:
            self._channels.pop(channel, None)

    def fire_all(self) -> None:
        """Wake everybody: something happened that no channel tells (a jump of the clock, the death of a process)."""
        waiters = list(self._waiters.values())
        self._channels.clear()
        self._waiters.clear()
        for _, wake in waiters:
            wake()


class LocalWatch:
    """A watch in the process that commits. `pass_on` re-fires a signal that this watch received but nobody used."""

    def __init__(self, watches: Watches, channel: bytes) -> None:
        self._watches = watches
        self._channel = channel
        self._woken = asyncio.Event()
        self._is_used = False
        self._ticket = watches.add(channel, self._woken.set)

    async def wait(self, timeout_s: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._is_used = True
        return True

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        if not self._watches.remove(self._ticket) and not self._is_used:
            self._is_used = True
            self._watches.fire(self._channel, 1)
