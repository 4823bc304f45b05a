"""Which commits came too late, decided from memory and never by rereading.

The writer remembers what recent commits wrote: the last version of each key, and per batch its keys and cleared ranges (for
reads of ranges, and of keys that did not exist). A snapshot older than this memory is a conflict.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.store.api import CLEAR_RANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.store.api import Commit, Op, Pair

BATCHES_MAX = 4096
KEYS_MAX = 400_000


@dataclass(slots=True)
class _Batch:
    version: int
    keys: list[bytes] = field(default_factory=list)
    cleared: list[Pair] = field(default_factory=list)
    previous: list[tuple[bytes, int]] = field(default_factory=list)
    """What `Conflicts` knew of each key before, while the batch may still be refused (0: nothing)."""
    is_sorted: bool = False

    def touches(self, begin: bytes, end: bytes) -> bool:
        if not self.is_sorted:
            # Sorted at the first question, since most batches are never asked about ranges.
            self.keys.sort()
            self.is_sorted = True
        at = bisect_left(self.keys, begin)
        if at < len(self.keys) and self.keys[at] < end:
            return True
        return any(cleared_begin < end and begin < cleared_end for cleared_begin, cleared_end in self.cleared)


class Conflicts:
    """The memory of recent writes. `floor` is the oldest version whose later writes are all remembered."""

    def __init__(self, version: int) -> None:
        self.floor = version
        self._last: dict[bytes, int] = {}
        self._batches: deque[_Batch] = deque()
        self._key_count = 0

    def is_stale(self, commit: Commit) -> bool:
        """Whether something that `commit` read was written after its snapshot."""
        since = commit.version
        if not commit.reads and not commit.ranges:
            return False
        if since < self.floor:
            return True
        last = self._last
        for key in commit.reads:
            if last.get(key, 0) > since:
                return True
        for batch in reversed(self._batches):
            if batch.version <= since:
                break
            if any(batch.touches(begin, end) for begin, end in commit.ranges):
                return True
            if batch.cleared and any(begin <= key < end for key in commit.reads for begin, end in batch.cleared):
                return True
        return False

    def remember(self, version: int, ops: Sequence[Op]) -> None:
        """Record what a commit of batch `version` wrote (keys as stored, stamps filled in)."""
        if not self._batches or self._batches[-1].version != version:
            self._batches.append(_Batch(version))
        batch = self._batches[-1]
        batch.is_sorted = False
        last = self._last
        for kind, key, operand in ops:
            if kind == CLEAR_RANGE:
                batch.cleared.append((key, operand))
            else:
                batch.keys.append(key)
                batch.previous.append((key, last.get(key, 0)))
                last[key] = version
        self._key_count += len(ops)

    def forget(self, version: int) -> None:
        """Undo `remember` for a batch that was refused: nothing of it was written, so it conflicts with nobody."""
        if not self._batches or self._batches[-1].version != version:
            return
        batch = self._batches.pop()
        self._key_count -= len(batch.keys) + len(batch.cleared)
        for key, before in reversed(batch.previous):
            if before:
                self._last[key] = before
            else:
                self._last.pop(key, None)

    def prune(self) -> None:
        """The last batch is durable: keep it for good, and drop the oldest ones beyond the limits."""
        if self._batches:
            self._batches[-1].previous.clear()
        while len(self._batches) > BATCHES_MAX or (self._key_count > KEYS_MAX and len(self._batches) > 1):
            batch = self._batches.popleft()
            self.floor = batch.version
            self._key_count -= len(batch.keys) + len(batch.cleared)
            for key in batch.keys:
                if self._last.get(key) == batch.version:
                    del self._last[key]
