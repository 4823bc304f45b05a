"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted.

They read whole queues: they are for tests, the simulation and `unkai doctor`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unkai.services.sqs import keys, redrive_policy, rows
from unkai.store.api import read_counter
from unkai.store.tuples import pack, prefix_end, unpack

if TYPE_CHECKING:
    from unkai.services.sqs.rows import MessageRow, QueueRow, ReceiptRow
    from unkai.store.api import ReadTx


async def check(tx: ReadTx) -> list[str]:
    """SQS-1 to SQS-10 for every queue."""
    begin = pack("sqs")
    queues = [rows.decode_queue(value) for _, value in await tx.get_range(begin, prefix_end(begin))]
    broken: list[str] = []
    for queue in queues:
        stored = await _load(tx, queue)
        broken += await _check_contents(tx, stored)
        broken += await (_check_groups(tx, stored) if queue.fifo else _check_visible(tx, stored))
        broken += await _check_hidden(tx, stored)
        broken += await _check_memory(tx, queue)
        broken += await _check_move_tasks(tx, queue)
    return broken + await _check_sources(tx, queues)


@dataclass(frozen=True, slots=True)
class _Stored:
    queue: QueueRow
    messages: dict[bytes, MessageRow]
    receipts: dict[bytes, ReceiptRow]

    def visible_ms(self, seq: bytes) -> int:
        return self.receipts[seq].visible_ms if seq in self.receipts else self.messages[seq].visible_ms


async def _load(tx: ReadTx, queue: QueueRow) -> _Stored:
    messages = await tx.get_range(*keys.all_of(queue.id, "b"))
    receipts = await tx.get_range(*keys.all_of(queue.id, "s"))
    return _Stored(
        queue,
        {keys.seq_of(key): rows.decode_message(value) for key, value in messages},
        {keys.seq_of(key): rows.decode_receipt(value) for key, value in receipts},
    )


async def _check_contents(tx: ReadTx, stored: _Stored) -> list[str]:
    queue, messages = stored.queue, stored.messages
    broken: list[str] = []
    count = read_counter(await tx.get(keys.count(queue.id)))
    if count != len(messages):
        broken.append(f"SQS-2 {queue.name}: the counter says {count}, there are {len(messages)} messages")
    if stray := stored.receipts.keys() - messages.keys():
        broken.append(f"SQS-3 {queue.name}: {len(stray)} receipts without a message")
    aged = {(keys.ms_of(key), keys.seq_of(key)) for key, _ in await tx.get_range(*keys.all_of(queue.id, "x"))}
    if aged != {(message.age_ms, seq) for seq, message in messages.items() if message.age_ms}:
        broken.append(f"SQS-7 {queue.name}: {len(aged)} age rows are not those of the messages")
    return broken


async def _check_visible(tx: ReadTx, stored: _Stored) -> list[str]:
    visible = [(keys.seq_of(key), keys.ms_of(key)) for key, _ in await tx.get_range(*keys.all_of(stored.queue.id, "v"))]
    if sorted(visible) == sorted((seq, stored.visible_ms(seq)) for seq in stored.messages):
        return []
    return [f"SQS-1 {stored.queue.name}: {len(visible)} visibility rows, {len(stored.messages)} messages"]


async def _check_groups(tx: ReadTx, stored: _Stored) -> list[str]:
    queue = stored.queue
    broken: list[str] = []
    members: list[tuple[str, bytes, int]] = []
    for key, value in await tx.get_range(*keys.all_of(queue.id, "g")):
        group = unpack(key[: -keys.SEQ_SIZE_BYTES])[-1]
        members.append((str(group), keys.seq_of(key), int.from_bytes(value, "big")))
    expected = sorted((message.group, seq, stored.visible_ms(seq)) for seq, message in stored.messages.items())
    if sorted(members) != expected:
        broken.append(f"SQS-4 {queue.name}: {len(members)} places in groups, {len(expected)} messages")
    first: dict[str, tuple[int, bytes]] = {}
    for group, seq, visible_ms in expected:
        first.setdefault(group, (visible_ms, seq))
    heads = [
        (value.decode(), (keys.ms_of(key), keys.seq_of(key)))
        for key, value in await tx.get_range(*keys.all_of(queue.id, "h"))
    ]
    if sorted(heads) != sorted(first.items()):
        broken.append(f"SQS-5 {queue.name}: {len(heads)} head rows, {len(first)} groups")
    return broken


async def _check_hidden(tx: ReadTx, stored: _Stored) -> list[str]:
    queue = stored.queue
    expected: dict[str, Counter[int]] = {"i": Counter(), "l": Counter()}
    for seq, message in stored.messages.items():
        if seq in stored.receipts:
            expected["i"][stored.receipts[seq].visible_ms // 1000] += 1
        elif message.is_delayed:
            expected["l"][message.visible_ms // 1000] += 1
    broken: list[str] = []
    for kind, counts in expected.items():
        pairs = await tx.get_range(*keys.all_of(queue.id, kind))
        counted = {keys.second_of(key): read_counter(value) for key, value in pairs}
        if {second: n for second, n in counted.items() if n} != dict(counts):
            broken.append(f"SQS-6 {queue.name}: the counters of {kind} do not match the messages")
    return broken


async def _check_memory(tx: ReadTx, queue: QueueRow) -> list[str]:
    begin = keys.memory(queue.born_id)
    expected: set[tuple[int, str, bytes]] = set()
    found: set[tuple[int, str, bytes]] = set()
    for key, value in await tx.get_range(begin, prefix_end(begin)):
        kind = key[len(begin) + 1 : len(begin) + 2].decode()
        hashed = key[-keys.HASH_SIZE_BYTES :]
        if kind == "d":
            expected.add((rows.decode_dedup(value).expires_ms, kind, hashed))
        elif kind == "a":
            expected.add((rows.decode_attempt(value).expires_ms, kind, hashed))
        else:
            found.add(keys.forgets(key))
    if expected == found:
        return []
    return [f"SQS-8 {queue.name}: {len(expected)} remembered ids, {len(found)} rows to forget them"]


async def _check_move_tasks(tx: ReadTx, queue: QueueRow) -> list[str]:
    pairs = await tx.get_range(*keys.move_tasks(queue.account, queue.region, queue.name))
    running = [value for _, value in pairs if rows.decode_move_task(value).status == "RUNNING"]
    return [f"SQS-10 {queue.name}: {len(running)} running move tasks"] if len(running) > 1 else []


async def _check_sources(tx: ReadTx, queues: list[QueueRow]) -> list[str]:
    begin = pack("sqsd")
    found = {key for key, _ in await tx.get_range(begin, prefix_end(begin))}
    expected = set()
    for queue in queues:
        if text := queue.attributes.get("RedrivePolicy"):
            target = redrive_policy.parse(text).target
            expected.add(keys.source(queue.account, queue.region, target.resource, queue.name))
    return [] if found == expected else [f"SQS-9: {len(found)} source rows, {len(expected)} redrive policies"]
