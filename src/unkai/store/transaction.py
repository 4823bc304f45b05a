"""What a handler holds: reads that are remembered for the conflict check, and writes that are kept until the commit.

One class serves all engines. It overlays its own writes on a snapshot, so that a transaction reads what it wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.store import atomics
from unkai.store.api import (
    ADD,
    CLEAR,
    CLEAR_RANGE,
    KEY_SIZE_BYTES_MAX,
    MAX,
    MIN,
    SET,
    STAMP_SIZE_BYTES,
    TRANSACTION_SIZE_BYTES_MAX,
    VALUE_SIZE_BYTES_MAX,
    Commit,
    Op,
    Pair,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.store.api import ReadTx

SYSTEM_PREFIX = b"\x00"
"""Keys that begin so belong to the store itself."""


class PendingText:
    """Stands in a handler's answer for text made of a stamp that is not known yet."""

    __slots__ = ("form",)

    def __init__(self, form: Callable[[bytes], str]) -> None:
        self.form = form


class PendingStamp:
    """A stamp before its commit: `mark` stands where the real one will."""

    __slots__ = ("mark",)

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def text(self, form: Callable[[bytes], str]) -> Any:
        return PendingText(form)


class KnownStamp:
    """The stamp of a transaction that runs on the writer, which knows it beforehand."""

    __slots__ = ("mark",)

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def text(self, form: Callable[[bytes], str]) -> Any:
        return form(self.mark)


def fill_in(out: Any, stamp: bytes) -> Any:
    """`out` with every PendingText in its dicts and lists replaced."""
    if isinstance(out, PendingText):
        return out.form(stamp)
    if isinstance(out, dict):
        return {name: fill_in(value, stamp) for name, value in out.items()}
    if isinstance(out, list):
        return [fill_in(value, stamp) for value in out]
    return out


class Transaction:
    """A read-write transaction over `snapshot` (see store/api.Tx for the promises).

    `placeholder` is this process's unguessable stand-in for a stamp; `stamp` is the real one where it is known already.
    """

    __slots__ = (
        "_atomic",
        "_cleared",
        "_placeholder",
        "_ranges",
        "_reads",
        "_size_bytes",
        "_snapshot",
        "_stamp",
        "_written",
        "ops",
        "signals",
    )

    def __init__(self, snapshot: ReadTx, placeholder: bytes = b"", stamp: bytes = b"") -> None:
        assert len(placeholder or stamp) == STAMP_SIZE_BYTES, "a stamp or a stand-in of its size"
        self._snapshot = snapshot
        self._placeholder = placeholder
        self._stamp: PendingStamp | KnownStamp | None = KnownStamp(stamp) if stamp else None
        self._reads: set[bytes] = set()
        self._ranges: list[Pair] = []
        self._written: dict[bytes, bytes | None] = {}
        self._cleared: list[Pair] = []
        self._atomic: dict[bytes, list[Op]] = {}
        self._size_bytes = 0
        self.ops: list[Op] = []
        self.signals: list[tuple[bytes, int]] = []

    # --- reads

    async def get(self, key: bytes) -> bytes | None:
        if self.ops:
            return await self._get_over(key, conflicting=True)
        self._reads.add(key)
        return await self._snapshot.get(key)

    async def peek(self, key: bytes) -> bytes | None:
        return await self._get_over(key, conflicting=False)

    async def _get_over(self, key: bytes, conflicting: bool) -> bytes | None:
        if key in self._written:
            value = self._written[key]
        elif any(begin <= key < end for begin, end in self._cleared):
            value = None
        else:
            if conflicting:
                self._reads.add(key)
            value = await self._snapshot.get(key)
        for kind, _, operand in self._atomic.get(key, ()):
            value = atomics.apply(kind, value, operand)
        return value

    async def get_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        pairs = await self.peek_range(begin, end, limit=limit, reverse=reverse)
        # Only what was really looked at can conflict: up to the last pair where the limit ended the read.
        if limit and len(pairs) == limit:
            last = pairs[-1][0]
            self._ranges.append((last, end) if reverse else (begin, last + b"\0"))
        else:
            self._ranges.append((begin, end))
        return pairs

    async def peek_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        if not self.ops:
            return await self._snapshot.get_range(begin, end, limit=limit, reverse=reverse)
        return await self._range_over(begin, end, limit, reverse)

    async def _range_over(self, begin: bytes, end: bytes, limit: int, reverse: bool) -> list[Pair]:
        """A range under our own writes. Stored pairs are fetched by pages until enough survive the overlay."""
        own = {key for key in (*self._written, *self._atomic) if begin <= key < end}
        out: list[Pair] = []
        page = limit + len(own) if limit else 0
        low, high = begin, end
        while True:
            stored = await self._snapshot.get_range(low, high, limit=page, reverse=reverse)
            whole = not page or len(stored) < page
            if whole:
                edge = begin if reverse else end
            else:
                edge = stored[-1][0] if reverse else stored[-1][0] + b"\0"
            merged = {key: value for key, value in stored if key not in self._written and not self._is_cleared(key)}
            for key in own:
                if (edge <= key < high) if reverse else (low <= key < edge):
                    base = self._written[key] if key in self._written else merged.get(key)
                    for kind, _, operand in self._atomic.get(key, ()):
                        base = atomics.apply(kind, base, operand)
                    if base is None:
                        merged.pop(key, None)
                    else:
                        merged[key] = base
            out.extend(sorted(merged.items(), reverse=reverse))
            if whole or (limit and len(out) >= limit):
                return out[:limit] if limit else out
            page *= 2  # many stored pairs may be cleared here: few large steps over them instead of many small ones
            if reverse:
                high = edge
            else:
                low = edge

    def _is_cleared(self, key: bytes) -> bool:
        return any(begin <= key < end for begin, end in self._cleared)

    def log_horizon(self) -> bytes:
        return self._snapshot.log_horizon()

    def depend(self, key: bytes) -> None:
        self._reads.add(key)

    # --- writes

    def set(self, key: bytes, value: bytes) -> None:
        self._check(key, value)
        self.ops.append((SET, key, value))
        if self._is_stamped_key(key):
            return
        self._written[key] = value
        self._atomic.pop(key, None)

    def clear(self, key: bytes) -> None:
        self._check(key, b"")
        self.ops.append((CLEAR, key, None))
        self._written[key] = None
        self._atomic.pop(key, None)

    def _is_stamped_key(self, key: bytes) -> bool:
        """What is written under a stamp has no place in the order yet, so it cannot be read back."""
        return self._stamp is not None and self._stamp.mark in key

    def clear_range(self, begin: bytes, end: bytes) -> None:
        # Bounds are no keys: the first key after the longest is one byte too long.
        assert begin, "a cleared range begins after nothing"
        assert not begin.startswith(SYSTEM_PREFIX), "keys that begin with NUL belong to the store"
        self._count(len(begin) + len(end))
        self.ops.append((CLEAR_RANGE, begin, end))
        for key in [key for key in self._written if begin <= key < end]:
            del self._written[key]
        for key in [key for key in self._atomic if begin <= key < end]:
            del self._atomic[key]
        self._cleared.append((begin, end))

    def add(self, key: bytes, n: int) -> None:
        self._check(key, b"")
        self._apply((ADD, key, n))

    def max(self, key: bytes, value: bytes) -> None:
        self._check(key, value)
        self._apply((MAX, key, value))

    def min(self, key: bytes, value: bytes) -> None:
        self._check(key, value)
        self._apply((MIN, key, value))

    def _apply(self, op: Op) -> None:
        self.ops.append(op)
        if not self._is_stamped_key(op[1]):
            self._atomic.setdefault(op[1], []).append(op)

    def _check(self, key: bytes, value: bytes) -> None:
        assert key, "a key has at least one byte"
        assert len(key) <= KEY_SIZE_BYTES_MAX, f"a key has at most {KEY_SIZE_BYTES_MAX} bytes"
        assert not key.startswith(SYSTEM_PREFIX), "keys that begin with NUL belong to the store"
        assert len(value) <= VALUE_SIZE_BYTES_MAX, f"a value has at most {VALUE_SIZE_BYTES_MAX} bytes"
        self._count(len(key) + len(value))

    def _count(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        assert self._size_bytes <= TRANSACTION_SIZE_BYTES_MAX, "a transaction writes at most 32 MiB"

    def stamp(self) -> PendingStamp | KnownStamp:
        if self._stamp is None:
            self._stamp = PendingStamp(self._placeholder)
        return self._stamp

    def signal(self, channel: bytes, count: int = 1) -> None:
        assert count > 0, "a signal wakes at least one"
        self.signals.append((channel, count))

    # --- the end

    @property
    def is_stamped(self) -> bool:
        return isinstance(self._stamp, PendingStamp)

    def to_commit(self, commit_id: bytes, version: int) -> Commit:
        return Commit(
            id=commit_id,
            version=version,
            reads=list(self._reads),
            ranges=self._ranges,
            ops=self.ops,
            placeholder=self._placeholder if self.is_stamped else b"",
            signals=self.signals,
        )
