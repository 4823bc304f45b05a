"""The only place where an embedded store changes: what has arrived becomes one transaction and one fsync.

Requests (commits and serial programs) queue up while the last batch is written. Then, in arrival order, each commit is
checked against the memory of recent writes and applied, and each program runs on the open transaction, where it sees
all before it and cannot conflict. Answers go out after the batch is durable, and not before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from unkai.store import atomics
from unkai.store.api import (
    CLEAR,
    CLEAR_RANGE,
    SET,
    STAMP_SIZE_BYTES,
    Abandon,
    Commit,
    StoreUnavailable,
)
from unkai.store.conflicts import Conflicts
from unkai.store.transaction import SYSTEM_PREFIX, Transaction
from unkai.store.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from unkai.store.api import Op, Pair, Program

log = logging.getLogger(__name__)

FIRST_KEY = b"\x01"
"""Before it are the store's own rows, which no range shows."""
VERSION_KEY = SYSTEM_PREFIX + b"version"
BATCH_ITEMS_MAX = 1024
BATCH_SIZE_BYTES_MAX = 64 * 1024 * 1024

# The ids of the last batches' commits are kept in the store, in a ring of rows, so that a worker whose answer was lost
# in a crash can ask what became of its commit. Only the last batches can have unanswered commits. What the ring held at
# the start stays in memory: the worker that asks last may be slow, and the others overwrite the ring meanwhile.
RING_SLOTS = 512
IDS_MAX = 65_536
REFUSED_MAX = 4096
_RING_PREFIX = SYSTEM_PREFIX + b"ring"

OK, CONFLICT, UNAVAILABLE, FAILED = range(4)

DISK_FULL = "The disk is full: nothing was written. Delete something or free some space, and retry."
# While the disk is full, a transaction that deletes may write this much beside it: index rows, counters, a lease.
GROWTH_BESIDE_DELETES_BYTES_MAX = 4096
COPY_FACTOR = 2
"""A page is copied to be changed, so that a row takes more than its size until the next commits free the old pages."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request: OK with a stamp or a program's answer, CONFLICT, UNAVAILABLE or FAILED with the reason."""

    kind: int
    data: bytes = b""
    reason: str = ""


class Serial(msgspec.Struct, frozen=True, array_like=True):
    """Run `program` on the writer; clear the key `finishing` (if any) in the same commit."""

    program: str
    args: bytes
    finishing: bytes = b""


Request = Commit | Serial
Queued = tuple[Request, "Callable[[Outcome], None]"]


class WriteView(Protocol):
    """An open write transaction of a backend. It sees its own writes; `commit` returns once all of it is durable."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_range(self, begin: bytes, end: bytes, limit: int, reverse: bool) -> list[Pair]: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def commit(self) -> None:
        """Raises StoreUnavailable where the disk refuses; nothing is written then, and the view is ended."""
        ...

    def abort(self) -> None: ...


class Backend(Protocol):
    def begin(self) -> WriteView:
        """Raises StoreUnavailable."""
        ...

    def room(self) -> int | None:
        """How many bytes may be added while the disk is full; None where it is not. Asked once per batch."""
        ...


class LiveView:
    """The open write transaction as a snapshot for programs; it answers without suspending."""

    def __init__(self, view: WriteView, stamp: bytes) -> None:
        self._view = view
        self._stamp = stamp

    async def get(self, key: bytes) -> bytes | None:
        return self._view.get(key)

    async def get_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        return self._view.get_range(max(begin, FIRST_KEY), end, limit, reverse)

    def log_horizon(self) -> bytes:
        return self._stamp  # all that is before it, in this batch too, is applied already


def make_stamp(version: int, order: int) -> bytes:
    return version.to_bytes(8, "big") + order.to_bytes(2, "big")


def horizon(version: int) -> bytes:
    """The first stamp that a snapshot at `version` does not see."""
    return make_stamp(version + 1, 0)


def read_version(value: bytes | None) -> int:
    return 0 if value is None else int.from_bytes(value, "big")


class Writer:
    """Batches requests for one backend. All its methods are called from one thread with a running event loop."""

    def __init__(self, backend: Backend, programs: Mapping[str, Program]) -> None:
        self.watches = Watches()
        self._backend = backend
        self._programs = programs
        self._queue: deque[Queued] = deque()
        self._is_scheduled = False
        view = backend.begin()
        self.version = read_version(view.get(VERSION_KEY))
        self._stamps_before = _read_ring(view)
        view.abort()
        self._conflicts = Conflicts(self.version)
        self._stamps: dict[bytes, bytes] = {}
        self._ring: deque[list[bytes]] = deque()
        self._refused: dict[bytes, None] = {}

    def submit(self, request: Request, answer: Callable[[Outcome], None]) -> None:
        """Queue a request; `answer` is called once its batch is durable (or refused)."""
        self._queue.append((request, answer))
        if not self._is_scheduled:
            self._is_scheduled = True
            # Not at once: what else has arrived in this turn of the loop shares the fsync.
            asyncio.get_running_loop().call_soon(self._flush)

    def outcome(self, commit_id: bytes) -> bytes | None:
        """The stamp of a commit in the last batches, or None: it did not happen, and will not if it arrives after all."""
        self.drain()
        stamp = self._stamps.get(commit_id) or self._stamps_before.get(commit_id)
        if stamp is None:
            self._refused[commit_id] = None
            if len(self._refused) > REFUSED_MAX:
                del self._refused[next(iter(self._refused))]
        return stamp

    def drain(self) -> None:
        """Write everything that is queued, now."""
        while self._queue:
            self._write_batch(self._take())

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._queue:
            self._write_batch(self._take())
        if self._queue:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _take(self) -> list[Queued]:
        taken: list[Queued] = []
        size_bytes = 0
        while self._queue and len(taken) < BATCH_ITEMS_MAX and size_bytes < BATCH_SIZE_BYTES_MAX:
            item = self._queue.popleft()
            taken.append(item)
            size_bytes += _size_bytes(item[0])
        return taken

    def _write_batch(self, batch: list[Queued]) -> None:
        outcomes: list[Outcome]
        signals: list[tuple[bytes, int]] = []
        try:
            outcomes = self._apply_all([request for request, _ in batch], signals)
        except StoreUnavailable as error:
            log.warning("commit refused", extra={"reason": str(error), "requests": len(batch)})
            outcomes = [Outcome(UNAVAILABLE, reason=str(error))] * len(batch)
            signals = []
        except Exception as error:
            # One request asks for what cannot be done (a counter beyond 64 bits). Alone, each meets only its own fate.
            if len(batch) > 1:
                for queued in batch:
                    self._write_batch([queued])
                return
            log.exception("commit failed")
            outcomes = [Outcome(FAILED, reason=f"the commit failed ({type(error).__name__}); see the log")]
            signals = []
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            answer(outcome)
        for channel, count in signals:
            self.watches.fire(channel, count)

    def _apply_all(self, requests: list[Request], signals: list[tuple[bytes, int]]) -> list[Outcome]:
        version = self.version + 1
        room = self._backend.room()
        view = self._backend.begin()
        outcomes: list[Outcome] = []
        ids: list[tuple[bytes, bytes]] = []
        wrote = False
        try:
            for order, request in enumerate(requests):
                stamp = make_stamp(version, order)
                outcome, ops, asked = self._decide(request, view, stamp)
                if room is not None and ops:
                    grown = _growth(view, ops)
                    if not _has_room(grown, room, ops):
                        outcomes.append(Outcome(UNAVAILABLE, reason=DISK_FULL))
                        continue
                    room -= max(grown, 0) * COPY_FACTOR
                outcomes.append(outcome)
                signals.extend(asked)
                if outcome.kind == OK and isinstance(request, Commit):
                    ids.append((request.id, stamp))
                if ops:
                    _apply(view, ops)
                    self._conflicts.remember(version, ops)
                    wrote = True
            if not wrote and not ids:
                view.abort()
                return outcomes
            view.put(VERSION_KEY, version.to_bytes(8, "big"))
            if ids:
                slot = (version % RING_SLOTS).to_bytes(2, "big")
                view.put(_RING_PREFIX + slot, b"".join(stamp + id_ for id_, stamp in ids))
            view.commit()
        except BaseException:
            view.abort()
            self._conflicts.forget(version)
            raise
        self.version = version
        self._remember_ids(ids)
        self._conflicts.prune()
        return outcomes

    def _decide(
        self, request: Request, view: WriteView, stamp: bytes
    ) -> tuple[Outcome, list[Op], Sequence[tuple[bytes, int]]]:
        """What becomes of a request at this point of the batch: its outcome, its writes and its signals."""
        if isinstance(request, Serial):
            return self._run_program(request, view, stamp)
        if self._conflicts.is_stale(request) or request.id in self._refused:
            return Outcome(CONFLICT), [], ()
        return Outcome(OK, stamp), _stamped(request.ops, request.placeholder, stamp), request.signals

    def _run_program(
        self, request: Serial, view: WriteView, stamp: bytes
    ) -> tuple[Outcome, list[Op], Sequence[tuple[bytes, int]]]:
        """Run a program to its end on the open transaction. What it raises reaches only the one who asked."""
        tx = Transaction(LiveView(view, stamp), stamp=stamp)
        try:
            program = self._programs[request.program]
            answer = _drive(program(tx, request.args))
        except Abandon as abandoned:
            return Outcome(OK, abandoned.answer), [], ()
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("program failed", extra={"program": request.program})
            return Outcome(FAILED, reason=f"{request.program} failed; see the log"), [], ()
        if request.finishing:
            tx.clear(request.finishing)
        return Outcome(OK, answer), tx.ops, tx.signals

    def _remember_ids(self, ids: list[tuple[bytes, bytes]]) -> None:
        if not ids:
            return
        self._stamps.update(ids)
        self._ring.append([id_ for id_, _ in ids])
        while len(self._ring) > RING_SLOTS or (len(self._stamps) > IDS_MAX and len(self._ring) > 1):
            for id_ in self._ring.popleft():
                self._stamps.pop(id_, None)


def _size_bytes(request: Request) -> int:
    if isinstance(request, Serial):
        return len(request.args)
    return sum(len(op[1]) + (len(op[2]) if type(op[2]) is bytes else 8) for op in request.ops)


def _drive(program: Awaitable[bytes]) -> bytes:
    """Run a coroutine that must not suspend: on the writer there is nothing to wait for."""
    coroutine: Coroutine[Any, Any, bytes] = program  # type: ignore[assignment]
    try:
        coroutine.send(None)
    except StopIteration as stop:
        answer: bytes = stop.value
        return answer
    coroutine.close()
    raise AssertionError("a program that runs on the writer must not wait for anything but its transaction")


def _stamped(ops: Sequence[Op], placeholder: bytes, stamp: bytes) -> list[Op]:
    if not placeholder:
        return list(ops)
    assert len(placeholder) == STAMP_SIZE_BYTES, "a stand-in has the size of a stamp"
    return [
        (
            kind,
            key.replace(placeholder, stamp),
            operand.replace(placeholder, stamp) if type(operand) is bytes else operand,
        )
        for kind, key, operand in ops
    ]


def _growth(view: WriteView, ops: Sequence[Op]) -> int:
    """How many bytes more (or less) the store will hold after `ops`; of a cleared range its beginning is counted."""
    grown = 0
    for kind, key, operand in ops:
        if kind == CLEAR_RANGE:
            grown -= sum(len(found) + len(value) for found, value in view.get_range(key, operand, 1000, False))
            continue
        stored = view.get(key)
        grown -= 0 if stored is None else len(key) + len(stored)
        if kind != CLEAR:
            grown += len(key) + (len(operand) if type(operand) is bytes else atomics.COUNTER_SIZE_BYTES)
    return grown


def _has_room(grown: int, room: int, ops: Sequence[Op]) -> bool:
    """Whether a full disk still takes this: what frees space must always get through."""
    deletes = any(kind in (CLEAR, CLEAR_RANGE) for kind, _, _ in ops)
    return grown <= (GROWTH_BESIDE_DELETES_BYTES_MAX if deletes else 0) or grown * COPY_FACTOR <= room


def _apply(view: WriteView, ops: Sequence[Op]) -> None:
    for kind, key, operand in ops:
        if kind == SET:
            view.put(key, operand)
        elif kind == CLEAR:
            view.delete(key)
        elif kind == CLEAR_RANGE:
            while pairs := view.get_range(key, operand, 1000, False):
                for found, _ in pairs:
                    view.delete(found)
        else:
            view.put(key, atomics.apply(kind, view.get(key), operand))


def _read_ring(view: WriteView) -> dict[bytes, bytes]:
    """Commit id -> stamp, of the last batches before a restart. Ids have COMMIT_ID_SIZE_BYTES."""
    stamps: dict[bytes, bytes] = {}
    size = STAMP_SIZE_BYTES + COMMIT_ID_SIZE_BYTES
    for _, row in view.get_range(_RING_PREFIX, _RING_PREFIX + b"\xff", 0, False):
        for at in range(0, len(row), size):
            stamps[row[at + STAMP_SIZE_BYTES : at + size]] = row[at : at + STAMP_SIZE_BYTES]
    return stamps


COMMIT_ID_SIZE_BYTES = 16
