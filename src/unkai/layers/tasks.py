"""Work to be done later, written in the transaction that causes it: the outbox, and timers. See docs/layers/tasks.md.

A task is due at a node time; `work` carries it out at least once after any crash. Tasks of one kind make a lane, in order of
due time and then of commit. Tasks of one `group` run one at a time, in order; a later one waits for an earlier one's retries.

    ("task", kind) + due_ms (8 bytes) + stamp (10) + number in its transaction (4)   -> TaskRow
    ("task", kind) + due_ms (8 bytes) + hash of the timer's name (14)                -> TaskRow, for a timer
    ("timer", kind, name)                                                            -> due_ms (8 bytes)
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from unkai.store.retry import Run
from unkai.store.tuples import pack

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import Tx

TIMER_HASH_SIZE_BYTES = 14


class TaskRow(msgspec.Struct, frozen=True, array_like=True):
    payload: bytes
    account: str
    region: str
    created_ms: int
    group: str = ""
    attempt: int = 0
    """How many times it has been tried and failed."""
    not_before_ms: int = 0
    """Where a task of a group waits for its next try; it keeps its place in the lane meanwhile."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TaskRow).decode


def lane_prefix(kind: str) -> bytes:
    return pack("task", kind)


def channel(kind: str) -> bytes:
    """Signalled when a task of this kind was written."""
    return b"task:" + kind.encode()


def due_of(key: bytes, kind: str) -> int:
    at = len(lane_prefix(kind))
    return int.from_bytes(key[at : at + 8], "big")


def decode(value: bytes) -> TaskRow:
    return _decode(value)


def encode(row: TaskRow) -> bytes:
    return _encode(row)


def add_task(ctx: Ctx, tx: Tx, kind: str, payload: bytes, *, due_ms: int | None = None, group: str = "") -> None:
    """Have a task of `kind` carried out at `due_ms` (node time; default: now). Never conflicts."""
    row = TaskRow(payload, ctx.account, ctx.region, ctx.now_ms, group)
    due = (ctx.now_ms if due_ms is None else due_ms).to_bytes(8, "big")
    key = lane_prefix(kind) + due + tx.stamp().mark + ctx.ids.next_number().to_bytes(4, "big")
    tx.set(key, _encode(row))
    tx.signal(channel(kind))


async def set_timer(ctx: Ctx, tx: Tx, kind: str, name: str, due_ms: int, payload: bytes) -> None:
    """Have one task named `name` carried out at `due_ms`; an earlier setting of the same name is replaced.

    The handler of the task sets it again or clears it in its own transaction.
    """
    await clear_timer(tx, kind, name)
    due = due_ms.to_bytes(8, "big")
    tx.set(_timer_key(kind, name, due), _encode(TaskRow(payload, ctx.account, ctx.region, ctx.now_ms, name)))
    tx.set(pack("timer", kind, name), due)
    tx.signal(channel(kind))


async def clear_timer(tx: Tx, kind: str, name: str) -> None:
    due = await tx.get(pack("timer", kind, name))
    if due is not None:
        tx.clear(_timer_key(kind, name, due))
        tx.clear(pack("timer", kind, name))


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """How a task ended: carried out, or to be tried again at `retry_ms`."""

    kind: str
    key: bytes
    retry_ms: int | None = None


SETTLE = "tasks.settle"
"""The name of `settle_program` among the writer's programs."""


async def settle(tx: Tx, ended: Settlement) -> None:
    """Remove a task, or put it off. One that is gone already (its delivery ended it, though the answer was lost) stays gone."""
    value = await tx.get(ended.key)
    if value is None:
        return
    if ended.retry_ms is None:
        tx.clear(ended.key)
        return
    row = decode(value)
    if row.group:
        # It keeps its place, so that nothing of its group overtakes it, also after a restart.
        tx.set(ended.key, _encode(_tried_again(row, ended.retry_ms)))
        return
    at = len(lane_prefix(ended.kind))
    tx.clear(ended.key)
    tx.set(ended.key[:at] + ended.retry_ms.to_bytes(8, "big") + ended.key[at + 8 :], _encode(_tried_again(row, 0)))


def settlement(ended: Settlement) -> Run:
    """`settle`, ready for store/retry."""

    async def body(tx: Tx) -> None:
        await settle(tx, ended)

    return Run(SETTLE, body, lambda: msgspec.msgpack.encode(ended), lambda answer: None)


async def settle_program(tx: Tx, args: bytes) -> bytes:
    await settle(tx, msgspec.msgpack.decode(args, type=Settlement))
    return b""


def _tried_again(row: TaskRow, not_before_ms: int) -> TaskRow:
    return TaskRow(row.payload, row.account, row.region, row.created_ms, row.group, row.attempt + 1, not_before_ms)


def _timer_key(kind: str, name: str, due: bytes) -> bytes:
    return lane_prefix(kind) + due + hashlib.sha256(name.encode()).digest()[:TIMER_HASH_SIZE_BYTES]
