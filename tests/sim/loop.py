"""An event loop in which nothing is real: time jumps to the next timer, so that a run depends on its seed alone."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class NothingLeft(Exception):
    """Every task waits for something that will never happen."""


class _NoSelector(selectors.BaseSelector):
    """Never anything to read; waiting moves the loop's time instead."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, -1, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingLeft
        self.now_s += timeout
        return []


class SimLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._sim = _NoSelector()
        super().__init__(self._sim)

    def time(self) -> float:
        return self._sim.now_s


def run(main: Coroutine[Any, Any, Any]) -> Any:
    loop = SimLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
