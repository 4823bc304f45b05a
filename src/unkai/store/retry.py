"""The one place where a transaction is run, and run again. No handler runs more than twice.

First on a snapshot of this process, then, if what it read has changed meanwhile, on the writer, where it cannot conflict.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.ids import random_bytes
from unkai.store.api import CommitUnknown, Conflict, StoreUnavailable
from unkai.store.transaction import Transaction, fill_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.store.api import Engine, Snapshot, Tx

PLACEHOLDER = b"\xfe" + random_bytes(9)
"""Stands for a stamp in this process's transactions until the commit. Random, so that no client's data can contain it."""

_commit_nonce = random_bytes(8)
_commit_numbers = itertools.count(1)


def _take_another_nonce() -> None:
    global _commit_nonce
    _commit_nonce = random_bytes(8)


# A fork must not repeat its parent's ids.
os.register_at_fork(after_in_child=_take_another_nonce)


def _new_commit_id() -> bytes:
    return _commit_nonce + next(_commit_numbers).to_bytes(8, "big")


class Run(msgspec.Struct, frozen=True):
    """A transaction that can run here or on the writer.

    `body(tx)` runs it here. `program` names it there, `args()` encodes its arguments (only if needed), and `answer(bytes)` decodes
    the program's answer, or raises the AwsError that it holds.
    """

    program: str
    body: Callable[[Tx], Awaitable[Any]]
    args: Callable[[], bytes]
    answer: Callable[[bytes], Any]


async def run(engine: Engine, task: Run, *, snapshot: Snapshot | None = None, finishing: bytes = b"") -> Any:
    """Run and commit; the committed answer. `snapshot` is used, and closed, where the caller has one open.

    Raises what the body raises (nothing is written then), and StoreUnavailable where the engine cannot commit.
    """
    moment = engine.snapshot() if snapshot is None else snapshot
    try:
        tx = Transaction(moment, placeholder=PLACEHOLDER)
        out = await task.body(tx)
        if finishing:
            tx.clear(finishing)
        # An answer that names a stamp needs a commit, to have a place in the order, even where nothing is written.
        if not tx.ops and not tx.signals and not tx.is_stamped:
            return out
        commit = tx.to_commit(_new_commit_id(), moment.version())
    finally:
        moment.close()  # never open while the commit is waited for
    try:
        stamp: bytes | None = await engine.commit(commit)
    except Conflict:
        return await run_serial(engine, task, finishing=finishing)
    except CommitUnknown:
        stamp = await engine.outcome(commit.id)
        if stamp is None:
            return await run_serial(engine, task, finishing=finishing)
    assert stamp is not None
    return fill_in(out, stamp) if tx.is_stamped else out


async def run_serial(engine: Engine, task: Run, *, finishing: bytes = b"") -> Any:
    """Run on the writer at once."""
    try:
        answer = await engine.serial(task.program, task.args(), finishing)
    except CommitUnknown:
        # Whether it happened cannot be told without its answer. The client gets a retryable error, as from any lost answer.
        raise StoreUnavailable("The answer of the store was lost; retry.") from None
    return task.answer(answer)
