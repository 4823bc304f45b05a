"""Two clocks, and the only module that reads the machine's time.

*Node time* is for what AWS schedules or expires (visibility, retention, schedules, token expiry). *Real time* is for the
machine (sockets, leases, function deadlines, the Date header). Node time is real time plus an offset that a user may move
forward, never back. The offset is eight bytes in a file that every process maps, so that all see a jump at once and
a restart keeps it.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

_OFFSET = struct.Struct("<q")


class Clock(Protocol):
    def node_ms(self) -> int:
        """Node time, milliseconds since the epoch."""
        ...

    def real_ms(self) -> int:
        """Real time, milliseconds since the epoch."""
        ...


def monotonic_s() -> float:
    return time.monotonic()


def monotonic_ns() -> int:
    return time.monotonic_ns()


def cpu_ns() -> int:
    """CPU time of this process, nanoseconds."""
    return time.process_time_ns()


def format_utc(ms: int, pattern: str) -> str:
    """`ms` since the epoch in UTC by a strftime pattern."""
    return time.strftime(pattern, time.gmtime(ms / 1000))


def iso8601(ms: int) -> str:
    """`2026-01-31T12:00:00.000Z`."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


class RealClock:
    """Node time is real time."""

    def node_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def real_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands until it is moved: tests and the simulation."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = start_ms

    def node_ms(self) -> int:
        return self._now_ms

    def real_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        assert ms >= 0, "time never goes back"
        self._now_ms += ms


class MovableClock:
    """Node time is real time plus the offset in `path`, shared by every process that maps it."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            # Written whole and renamed, so that no process ever maps a file that is too short.
            born = path.with_suffix(".new")
            born.write_bytes(_OFFSET.pack(0))
            os.replace(born, path)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def offset_ms(self) -> int:
        offset: int = _OFFSET.unpack(self._map[:8])[0]
        return offset

    def node_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms()

    def real_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def advance(self, ms: int) -> None:
        """Move node time forward. Durable on return."""
        assert ms >= 0, "time never goes back"
        self._map[:8] = _OFFSET.pack(self.offset_ms() + ms)
        self._map.flush()
