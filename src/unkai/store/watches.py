"""Who waits for what: channels of one-shot waiters, woken in the order they came, by the process that commits."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Watches:
    """The waiters of all channels. A waiter is a callback; its ticket takes it out again."""

    def __init__(self) -> None:
        # Ordered dicts, because both ends matter: the oldest is woken first, and any may leave at once.
        self._channels: dict[bytes, OrderedDict[int, Callable[[], None]]] = {}
        self._channel_of: dict[int, bytes] = {}
        self._next_ticket = 0

    def add(self, channel: bytes, wake: Callable[[], None]) -> int:
        self._next_ticket += 1
        self._channel_of[self._next_ticket] = channel
        self._channels.setdefault(channel, OrderedDict())[self._next_ticket] = wake
        return self._next_ticket

    def remove(self, ticket: int) -> bool:
        """Take a waiter out; False where it has been woken already."""
        channel = self._channel_of.pop(ticket, None)
        if channel is None:
            return False
        waiters = self._channels[channel]
        del waiters[ticket]
        if not waiters:
            del self._channels[channel]
        return True

    def fire(self, channel: bytes, count: int) -> None:
        """Wake up to `count` waiters, the longest-waiting first."""
        waiters = self._channels.get(channel)
        if waiters is None:
            return
        woken: list[Callable[[], None]] = []
        while waiters and len(woken) < count:
            ticket, wake = waiters.popitem(last=False)
            del self._channel_of[ticket]
            woken.append(wake)
        if not waiters:
            del self._channels[channel]
        for wake in woken:
            wake()

    def fire_all(self) -> None:
        """Wake everybody: something happened that no channel tells (a jump of the clock, the death of a process)."""
        woken = [wake for waiters in self._channels.values() for wake in waiters.values()]
        self._channels.clear()
        self._channel_of.clear()
        for wake in woken:
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
        is_woken = not self._watches.remove(self._ticket)
        if is_woken and not self._is_used:
            self._watches.fire(self._channel, 1)
        self._is_used = True  # what was passed on, or never came, is not passed on by a second close
