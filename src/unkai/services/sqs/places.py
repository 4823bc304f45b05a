"""Where messages stand. Every row that a message has is put, changed and cleared here and nowhere else (SQS-1 to SQS-7).

A standard queue is one list by the time from which a message is visible. A FIFO queue is a list per group in the order of
sending, and one list of groups by the time from which their first message is visible: so a receive finds the groups that have
something to give without looking at the others, and a group whose first message is hidden is hidden with it.
The alternative, a row per group that says how it stands, lost: sends to one group would conflict with its receives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from unkai.services.sqs import keys, rows
from unkai.services.sqs.rows import MessageRow, ReceiptRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.services.sqs.rows import QueueRow
    from unkai.store.api import Tx

PAGE = 16


async def put_all(tx: Tx, queue: QueueRow, messages: Sequence[tuple[bytes, MessageRow]]) -> None:
    """Put messages at the end of a queue, once per queue and transaction: what stands under a stamp cannot be read back.

    For a standard queue these are blind writes, so that sends never conflict.
    """
    begun: set[str] = set()
    for seq, message in messages:
        tx.set(keys.message(queue.id, seq), rows.encode(message))
        if message.is_delayed:
            tx.add(keys.delayed(queue.id, message.visible_ms), 1)
        if message.age_ms:
            tx.set(keys.age(queue.id, message.age_ms, seq), b"")
        if not queue.fifo:
            tx.set(keys.visible(queue.id, message.visible_ms, seq), b"")
            continue
        # Only the first member is looked at, so that this conflicts with nothing but the group becoming empty.
        if message.group not in begun and not await tx.get_range(*keys.members(queue.id, message.group), limit=1):
            tx.set(keys.head(queue.id, message.visible_ms, seq), message.group.encode())
        begun.add(message.group)
        tx.set(keys.member(queue.id, message.group, seq), message.visible_ms.to_bytes(8, "big"))
    if messages:
        tx.add(keys.count(queue.id), len(messages))
        tx.signal(keys.channel(queue.id), len(messages))


async def take_out(tx: Tx, queue: QueueRow, seq: bytes, message: MessageRow | None, receipt: ReceiptRow | None) -> None:
    """Remove a message. `message` may be None where it was received: the receipt knows enough."""
    _clear(tx, queue, seq, message, receipt)
    visible_ms = _visible_ms(message, receipt)
    if not queue.fifo:
        tx.clear(keys.visible(queue.id, visible_ms, seq))
        return
    group = _group(message, receipt)
    first = await tx.get_range(*keys.members(queue.id, group), limit=2)
    assert first, "SQS-4: a message of a FIFO queue stands in its group"
    tx.clear(keys.member(queue.id, group, seq))
    if keys.seq_of(first[0][0]) == seq:
        tx.clear(keys.head(queue.id, visible_ms, seq))
        if len(first) == 2:
            key, value = first[1]
            tx.set(keys.head(queue.id, int.from_bytes(value, "big"), keys.seq_of(key)), group.encode())


async def hide(tx: Tx, queue: QueueRow, seq: bytes, receipt: ReceiptRow, visible_ms: int) -> None:
    """Make a received message visible from `visible_ms` instead."""
    tx.set(keys.receipt(queue.id, seq), rows.encode(rows.replace(receipt, visible_ms=visible_ms)))
    tx.add(keys.in_flight(queue.id, receipt.visible_ms), -1)
    tx.add(keys.in_flight(queue.id, visible_ms), 1)
    if not queue.fifo:
        tx.clear(keys.visible(queue.id, receipt.visible_ms, seq))
        tx.set(keys.visible(queue.id, visible_ms, seq), b"")
        return
    first = await tx.get_range(*keys.members(queue.id, receipt.group), limit=1)
    if keys.seq_of(first[0][0]) == seq:
        tx.clear(keys.head(queue.id, receipt.visible_ms, seq))
        tx.set(keys.head(queue.id, visible_ms, seq), receipt.group.encode())
    tx.set(keys.member(queue.id, receipt.group, seq), visible_ms.to_bytes(8, "big"))


def _clear(tx: Tx, queue: QueueRow, seq: bytes, message: MessageRow | None, receipt: ReceiptRow | None) -> None:
    """The rows that both kinds of queue have."""
    tx.clear(keys.message(queue.id, seq))
    if receipt is not None:
        tx.clear(keys.receipt(queue.id, seq))
    _count_hidden(tx, queue, message, receipt, -1)
    age_ms = message.age_ms if message is not None else receipt.age_ms if receipt is not None else 0
    if age_ms:
        tx.clear(keys.age(queue.id, age_ms, seq))
    tx.add(keys.count(queue.id), -1)


def _count_hidden(tx: Tx, queue: QueueRow, message: MessageRow | None, receipt: ReceiptRow | None, n: int) -> None:
    if receipt is not None:
        tx.add(keys.in_flight(queue.id, receipt.visible_ms), n)
    elif message is not None and message.is_delayed:
        tx.add(keys.delayed(queue.id, message.visible_ms), n)


def _visible_ms(message: MessageRow | None, receipt: ReceiptRow | None) -> int:
    if receipt is not None:
        return receipt.visible_ms
    assert message is not None, "a message or its receipt is known"
    return message.visible_ms


def _group(message: MessageRow | None, receipt: ReceiptRow | None) -> str:
    if receipt is not None:
        return receipt.group
    assert message is not None, "a message or its receipt is known"
    return message.group


# --- looking at what is visible


@dataclass(frozen=True, slots=True)
class Found:
    """A visible message, and its last receive if it has one."""

    seq: bytes
    message: MessageRow
    receipt: ReceiptRow | None


class Fate(Enum):
    STAY = "stay"
    """Leave it where it is, and stop looking."""
    REMOVE = "remove"


Decide = Callable[[Found], Awaitable[Fate | ReceiptRow]]


async def look(tx: Tx, queue: QueueRow, until_ms: int, look_max: int, decide: Decide) -> None:
    """Show `decide` the messages that are visible at `until_ms`, first what is visible longest, at most `look_max` of them.

    It says whether a message stays (and the look ends), is removed, or is received (its new receipt). Of a FIFO group it sees
    messages in order up to the first that is hidden. Runs on the writer; the cost grows with what it shows, not with the queue.
    """
    walk = _walk_fifo if queue.fifo else _walk_standard
    await walk(tx, queue, until_ms, look_max, decide)


async def _found(tx: Tx, queue: QueueRow, seq: bytes) -> Found:
    value = await tx.get(keys.message(queue.id, seq))
    assert value is not None, "SQS-1, SQS-4: a place without a message"
    received = await tx.get(keys.receipt(queue.id, seq))
    return Found(seq, rows.decode_message(value), rows.decode_receipt(received) if received is not None else None)


def _receive(tx: Tx, queue: QueueRow, found: Found, receipt: ReceiptRow) -> None:
    tx.set(keys.receipt(queue.id, found.seq), rows.encode(receipt))
    _count_hidden(tx, queue, found.message, found.receipt, -1)
    tx.add(keys.in_flight(queue.id, receipt.visible_ms), 1)


async def _walk_standard(tx: Tx, queue: QueueRow, until_ms: int, look_max: int, decide: Decide) -> None:
    begin, end = keys.timed(queue.id, "v", 0, until_ms + 1)
    # With a timeout of 0 a message is visible again at once, in the range that is being read: hence `seen`.
    seen: set[bytes] = set()
    while len(seen) < look_max:
        page = await tx.get_range(begin, end, limit=PAGE)
        for key, _ in page:
            seq = keys.seq_of(key)
            if seq in seen:
                continue
            if len(seen) == look_max:
                return
            seen.add(seq)
            found = await _found(tx, queue, seq)
            fate = await decide(found)
            if fate is Fate.STAY:
                return
            tx.clear(key)
            if isinstance(fate, ReceiptRow):
                _receive(tx, queue, found, fate)
                tx.set(keys.visible(queue.id, fate.visible_ms, seq), b"")
            else:
                _clear(tx, queue, seq, found.message, found.receipt)
        if len(page) < PAGE:
            return
        begin = page[-1][0] + b"\0"


async def _walk_fifo(tx: Tx, queue: QueueRow, until_ms: int, look_max: int, decide: Decide) -> None:
    begin, end = keys.timed(queue.id, "h", 0, until_ms + 1)
    seen: set[bytes] = set()
    left = look_max
    while left > 0:
        page = await tx.get_range(begin, end, limit=PAGE)
        for key, group in page:
            if left <= 0:
                return
            if group in seen:
                continue
            seen.add(group)
            looked, go_on = await _walk_group(tx, queue, group.decode(), until_ms, left, decide)
            await _settle_head(tx, queue, group.decode(), key)
            left -= looked
            if not go_on:
                return
        if len(page) < PAGE:
            return
        begin = page[-1][0] + b"\0"


async def _walk_group(
    tx: Tx, queue: QueueRow, group: str, until_ms: int, look_max: int, decide: Decide
) -> tuple[int, bool]:
    """One group's messages in order: how many were looked at, and whether to look further."""
    begin, end = keys.members(queue.id, group)
    looked = 0
    while True:
        page = await tx.get_range(begin, end, limit=PAGE)
        for key, value in page:
            if int.from_bytes(value, "big") > until_ms or looked == look_max:
                return looked, True
            looked += 1
            found = await _found(tx, queue, keys.seq_of(key))
            fate = await decide(found)
            if fate is Fate.STAY:
                return looked, False
            if isinstance(fate, ReceiptRow):
                _receive(tx, queue, found, fate)
                tx.set(key, fate.visible_ms.to_bytes(8, "big"))
            else:
                _clear(tx, queue, found.seq, found.message, found.receipt)
                tx.clear(key)
        if len(page) < PAGE:
            return looked, True
        begin = page[-1][0] + b"\0"


async def _settle_head(tx: Tx, queue: QueueRow, group: str, head_key: bytes) -> None:
    """The head row follows the group's first message."""
    tx.clear(head_key)
    first = await tx.get_range(*keys.members(queue.id, group), limit=1)
    if first:
        key, value = first[0]
        tx.set(keys.head(queue.id, int.from_bytes(value, "big"), keys.seq_of(key)), group.encode())


async def next_visible_ms(tx: Tx, queue: QueueRow, now_ms: int) -> int | None:
    """When the next message becomes visible, or `now_ms` where some are already; None where the queue is empty."""
    kind = "h" if queue.fifo else "v"
    page = await tx.peek_range(*keys.timed(queue.id, kind, 0, keys.FOREVER_MS), limit=1)
    return max(now_ms, keys.ms_of(page[0][0])) if page else None
