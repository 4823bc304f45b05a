"""The store's promises: ordered keys, serializable transactions, and nothing else.

Everything above (queues, logs, indexes, services) is made of these few calls. What the store will never do: know what a
value means, keep secondary indexes, expire rows, run a query, hold a transaction open while the outside world is waited for.

Limits, the same for every engine, so that nothing works on one and breaks on another:
a key has 1 to 511 bytes; a value at most 2 MiB; a transaction writes at most 32 MiB.

What conflicts with what: a transaction commits only if nothing that it *read* (a key, present or absent, or a range, with
all keys that could have been in it) was changed by a commit later than its snapshot. Blind writes and the atomic operations
never conflict. A read-only transaction sees one moment and never conflicts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

KEY_SIZE_BYTES_MAX = 511
VALUE_SIZE_BYTES_MAX = 2 * 1024 * 1024
TRANSACTION_SIZE_BYTES_MAX = 32 * 1024 * 1024

STAMP_SIZE_BYTES = 10
"""A stamp: 8 bytes of commit version and 2 of order within the batch, big-endian, so that stamps sort by commit order."""

Pair = tuple[bytes, bytes]


class Conflict(Exception):
    """Something this transaction read has changed. Only `store/retry` sees it."""


class CommitUnknown(Exception):
    """The answer to a commit was lost; it may or may not have happened. Only `store/retry` sees it."""


class StoreUnavailable(Exception):
    """The engine cannot commit now (disk full, read-only, writer gone). Nothing of the transaction was written."""


class Stamp(Protocol):
    """A position in the order of commits, known only once the commit has happened."""

    @property
    def mark(self) -> bytes:
        """STAMP_SIZE_BYTES to put in keys and values; what stands there after the commit is the real stamp."""
        ...

    def text(self, form: Callable[[bytes], str]) -> Any:
        """A stand-in for `form(real stamp)` in the handler's answer; replaced before the answer is seen."""
        ...


class ReadTx(Protocol):
    """One moment of the store. Ranges are half-open: `begin <= key < end`."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def get_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        """The pairs in key order, or from the end with `reverse`; at most `limit` of them (0: all).

        Callers page: a range without a limit is for what is known to be small.
        """
        ...

    def log_horizon(self) -> bytes:
        """A stamp below which every commit is visible here. Readers of a log stop before it."""
        ...


class Tx(ReadTx, Protocol):
    """A read-write transaction. Reads see its own writes. Nothing is visible outside before the commit."""

    async def peek(self, key: bytes) -> bytes | None:
        """Like get, but a later change of the key is no conflict."""
        ...

    async def peek_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        """Like get_range, but a later change in the range is no conflict."""
        ...

    def depend(self, key: bytes) -> None:
        """Conflict with any later change of `key`, without reading it now (after a peek_range, on the key chosen)."""
        ...

    def set(self, key: bytes, value: bytes) -> None: ...

    def clear(self, key: bytes) -> None: ...

    def clear_range(self, begin: bytes, end: bytes) -> None: ...

    def add(self, key: bytes, n: int) -> None:
        """Add to a signed 64-bit big-endian counter (absent: 0). Never conflicts. `read_counter` decodes it."""
        ...

    def max(self, key: bytes, value: bytes) -> None:
        """Keep the larger of the stored value and `value`, as bytes. Never conflicts."""
        ...

    def min(self, key: bytes, value: bytes) -> None:
        """Keep the smaller; an absent key takes `value`. Never conflicts."""
        ...

    def stamp(self) -> Stamp: ...

    def signal(self, channel: bytes, count: int = 1) -> None:
        """After the commit, wake up to `count` watches on `channel`."""
        ...


class Snapshot(ReadTx, Protocol):
    """One moment of an engine, cheap to open. Embedded engines answer without suspending."""

    def version(self) -> int: ...

    def close(self) -> None:
        """Give the moment up. Closing twice is no error."""
        ...


SET, CLEAR, CLEAR_RANGE, ADD, MAX, MIN = range(6)
Op = tuple[int, bytes, Any]
"""(SET, key, value) (CLEAR, key, None) (CLEAR_RANGE, begin, end) (ADD, key, n) (MAX, key, value) (MIN, key, value)"""


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """What a finished transaction asks of the engine: what it read, at which version, and its `ops` in order.

    `id` names the commit for `outcome`. `placeholder` is what stands in keys and values for the stamp; empty where none
    was asked for.
    """

    id: bytes
    version: int
    reads: Sequence[bytes]
    ranges: Sequence[Pair]
    ops: Sequence[Op]
    placeholder: bytes = b""
    signals: Sequence[tuple[bytes, int]] = ()


class Abandon(Exception):
    """Raised by a program: write nothing, and give `answer` to whoever ran it."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("abandoned")
        self.answer = answer


Program = Callable[["Tx", bytes], Awaitable[bytes]]
"""A named transaction that can run in any process of the node: `(tx, args) -> answer`."""


class Watch(Protocol):
    """One place in a channel's queue of waiters; it is woken once."""

    async def wait(self, timeout_s: float | None) -> bool:
        """True when signalled, False after `timeout_s` of real time."""
        ...

    def wake(self) -> None:
        """End this wait from inside the process."""
        ...

    def close(self) -> None:
        """Leave. A signal that nobody waited for is passed on to another waiter."""
        ...


class Engine(Protocol):
    """Where the bytes are. One per process; several processes may share one store."""

    def snapshot(self) -> Snapshot: ...

    async def commit(self, commit: Commit) -> bytes:
        """Make the commit durable and return its stamp. Raises Conflict, CommitUnknown or StoreUnavailable."""
        ...

    async def outcome(self, commit_id: bytes) -> bytes | None:
        """The stamp of a recent commit, or None: it did not happen and never will.

        Raises StoreUnavailable where nobody can tell: the store process stays away.
        """
        ...

    async def serial(self, program: str, args: bytes, finishing: bytes = b"") -> bytes:
        """Run a program where it cannot conflict, commit, return its answer; clear the key `finishing` in the same commit.

        Raises StoreUnavailable (nothing written) or CommitUnknown (the answer was lost).
        """
        ...

    async def watch(self, channel: bytes) -> Watch:
        """Registered when this returns: a signal that is committed later is not missed."""
        ...

    async def wake_all(self) -> None:
        """Wake every watch of the node: the clock has jumped, all must look again."""
        ...

    async def close(self) -> None: ...


def read_counter(value: bytes | None) -> int:
    """The value of a counter written by `Tx.add`."""
    return 0 if value is None else int.from_bytes(value, "big", signed=True)
