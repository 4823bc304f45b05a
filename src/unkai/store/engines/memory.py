"""The memory engine: what the store means, in the fewest lines. Nothing is kept when the process ends.

Every key has its history of (version, value); a snapshot reads at its version. A crash is played by opening another engine
on the same store: what was not committed is gone, all else stays, as on a disk.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import TYPE_CHECKING

from unkai.store.engines.embedded import EmbeddedEngine
from unkai.store.writer import FIRST_KEY, VERSION_KEY, Writer, horizon, read_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.store.api import Pair, Program


class MemoryStore:
    """The committed state. It outlives engines, so a test can close one and open another on the same store."""

    def __init__(self) -> None:
        self.version = 0
        self.keys: list[bytes] = []
        self.history: dict[bytes, list[tuple[int, bytes | None]]] = {}
        self.open_versions: Counter[int] = Counter()

    def read(self, key: bytes, version: int) -> bytes | None:
        for written, value in reversed(self.history.get(key, ())):
            if written <= version:
                return value
        return None

    def read_range(self, begin: bytes, end: bytes, limit: int, reverse: bool, version: int) -> list[Pair]:
        out: list[Pair] = []
        places = range(bisect_left(self.keys, begin), bisect_left(self.keys, end))
        for place in reversed(places) if reverse else places:
            key = self.keys[place]
            value = self.read(key, version)
            if value is not None:
                out.append((key, value))
                if limit and len(out) == limit:
                    break
        return out

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        self.version += 1
        oldest = min((version for version, count in self.open_versions.items() if count), default=self.version)
        for key, value in changes.items():
            if key not in self.history:
                insort(self.keys, key)
                self.history[key] = []
            history = self.history[key]
            history.append((self.version, value))
            # Drop what no open snapshot can see any more: all but the newest entry at or before the oldest snapshot.
            while len(history) > 1 and history[1][0] <= oldest:
                history.pop(0)
            if history == [(self.version, None)]:
                del self.history[key]
                del self.keys[bisect_left(self.keys, key)]

    def begin(self) -> MemoryView:
        return MemoryView(self)

    def room(self) -> int | None:
        return None


class MemoryView:
    """An open write transaction: changes in a dict over the newest version."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        if key in self._changes:
            return self._changes[key]
        return self._store.read(key, self._store.version)

    def get_range(self, begin: bytes, end: bytes, limit: int, reverse: bool) -> list[Pair]:
        own = {key: value for key, value in self._changes.items() if begin <= key < end}
        enough = limit + len(own) if limit else 0
        pairs = dict(self._store.read_range(begin, end, enough, reverse, self._store.version))
        for key, value in own.items():
            if value is None:
                pairs.pop(key, None)
            else:
                pairs[key] = value
        out = sorted(pairs.items(), reverse=reverse)
        return out[:limit] if limit else out

    def put(self, key: bytes, value: bytes) -> None:
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        self._changes[key] = None

    def commit(self) -> None:
        self._store.write(self._changes)

    def abort(self) -> None:
        self._changes.clear()


class MemorySnapshot:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._at = store.version
        self._is_open = True
        store.open_versions[self._at] += 1

    async def get(self, key: bytes) -> bytes | None:
        assert self._is_open, "a snapshot is not read after its end"
        assert key, "a key has at least one byte"
        return self._store.read(key, self._at)

    async def get_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        assert self._is_open, "a snapshot is not read after its end"
        return self._store.read_range(max(begin, FIRST_KEY), end, limit, reverse, self._at)

    def version(self) -> int:
        return read_version(self._store.read(VERSION_KEY, self._at))

    def log_horizon(self) -> bytes:
        return horizon(self.version())

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._store.open_versions[self._at] -= 1
        if not self._store.open_versions[self._at]:
            del self._store.open_versions[self._at]


def open_memory(programs: Mapping[str, Program], store: MemoryStore | None = None) -> EmbeddedEngine:
    """An engine over `store`, or over a new empty one."""
    kept = MemoryStore() if store is None else store
    return EmbeddedEngine(Writer(kept, programs), lambda: MemorySnapshot(kept), lambda: None)
