"""Every key that SQS stores. Nothing else in unkai packs them.

    ("sqs", account, region, name)            -> QueueRow
    ("sqsd", account, region, dlq, source)    -> b"": the queue `source` names `dlq` in its RedrivePolicy
    ("sqsm", account, region, name) + ms + id -> MoveTaskRow: a task that moves messages out of the queue `name`

    ("sqsq", queue_id, "b") + seq             -> MessageRow: a message as it was sent
    ("sqsq", queue_id, "s") + seq             -> ReceiptRow: its last receive; absent until the first one
    ("sqsq", queue_id, "x") + ms (8) + seq    -> b"": it came from another queue and is as old as `ms`
    ("sqsq", queue_id, "n")                   -> counter: messages in the queue
    ("sqsq", queue_id, "i") + second (8)      -> counter: received messages that stay hidden until a moment of that second
    ("sqsq", queue_id, "l") + second (8)      -> counter: delayed messages that nobody has received, likewise

    in standard queues
    ("sqsq", queue_id, "v") + ms (8) + seq    -> b"": the message is visible from node time `ms`

    in FIFO queues
    ("sqsq", queue_id, "g", group) + seq      -> ms (8): a message of the group, and from when it is visible
    ("sqsq", queue_id, "h") + ms (8) + seq    -> group: its first message, and from when that one is visible
    ("sqsf", born_id, "d", hash)              -> DedupRow: what was sent with this deduplication id
    ("sqsf", born_id, "a", hash)              -> AttemptRow: what a receive with this attempt id was given
    ("sqsf", born_id, "e") + ms (8) + kind + hash -> b"": the row of `kind` ("d" or "a") is forgotten from `ms` on

`queue_id` is new for every creation and purge, so a queue made again under an old name never sees old messages; `born_id`
outlives a purge, since deduplication does. `seq` is the stamp of the sending transaction and a number within it (14 bytes): its
order is the order of sending.

What is hidden is counted by the second in which that ends: nothing is written when it does, and nobody has to count a backlog.

Invariants (see invariants.py):
SQS-1  In a standard queue every message has exactly one visibility row, and every visibility row belongs to a message.
SQS-2  The counter equals the number of messages.
SQS-3  A receipt row belongs to a message of its queue.
SQS-4  In a FIFO queue every message stands in its group once, with the time from which it is visible.
SQS-5  Every group that has messages has exactly one head row: its first message's.
SQS-6  The counters of a second equal the messages that are hidden until then.
SQS-7  There is an age row for each message that is older than its stay in the queue, and no other.
SQS-8  A row of a deduplication or attempt id has exactly the forgetting row that its expiry names.
SQS-9  A source row exists exactly for each queue whose RedrivePolicy names the dead-letter queue.
SQS-10 A queue has at most one running move task.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from unkai.store.api import STAMP_SIZE_BYTES
from unkai.store.tuples import pack, prefix_end, unpack

if TYPE_CHECKING:
    from unkai.store.api import Tx

SEQ_SIZE_BYTES = STAMP_SIZE_BYTES + 4
ID_SIZE_BYTES = 8
FOREVER_MS = 1 << 62


def next_seq(tx: Tx, number: int) -> bytes:
    """A place at the end of a queue; `number` grows within the transaction."""
    return tx.stamp().mark + number.to_bytes(4, "big")


# --- queues


def queue(account: str, region: str, name: str) -> bytes:
    return pack("sqs", account, region, name)


def queues(account: str, region: str, name_prefix: str = "") -> tuple[bytes, bytes]:
    """The range of an account's queues whose names begin with `name_prefix`."""
    begin = pack("sqs", account, region) + b"\x02" + name_prefix.encode()
    return begin, prefix_end(begin)


def queue_name(key: bytes, account: str, region: str) -> str:
    return key[len(pack("sqs", account, region)) + 1 : -1].decode()


def source(account: str, region: str, dlq: str, name: str) -> bytes:
    return pack("sqsd", account, region, dlq, name)


def sources(account: str, region: str, dlq: str) -> tuple[bytes, bytes]:
    begin = pack("sqsd", account, region, dlq)
    return begin, prefix_end(begin)


def source_name(key: bytes) -> str:
    name = unpack(key)[-1]
    assert isinstance(name, str)
    return name


def move_task(account: str, region: str, name: str, started_ms: int, task_id: bytes) -> bytes:
    return pack("sqsm", account, region, name) + started_ms.to_bytes(8, "big") + task_id


def move_tasks(account: str, region: str, name: str) -> tuple[bytes, bytes]:
    begin = pack("sqsm", account, region, name)
    return begin, prefix_end(begin)


# --- what a queue holds


def contents(queue_id: bytes) -> bytes:
    """What all keys of a queue's messages begin with."""
    return pack("sqsq", queue_id)


def memory(born_id: bytes) -> bytes:
    """What all keys of a FIFO queue's deduplication begin with."""
    return pack("sqsf", born_id)


@lru_cache(maxsize=4096)
def _prefix(queue_id: bytes, kind: str) -> bytes:
    """What the keys of one kind begin with: asked for a dozen times per receive."""
    return pack("sqsq", queue_id, kind)


def all_of(queue_id: bytes, kind: str) -> tuple[bytes, bytes]:
    begin = _prefix(queue_id, kind)
    return begin, prefix_end(begin)


def message(queue_id: bytes, seq: bytes) -> bytes:
    return _prefix(queue_id, "b") + seq


def receipt(queue_id: bytes, seq: bytes) -> bytes:
    return _prefix(queue_id, "s") + seq


def age(queue_id: bytes, ms: int, seq: bytes) -> bytes:
    return _prefix(queue_id, "x") + ms.to_bytes(8, "big") + seq


def count(queue_id: bytes) -> bytes:
    return _prefix(queue_id, "n")


def in_flight(queue_id: bytes, ms: int) -> bytes:
    return _prefix(queue_id, "i") + (ms // 1000).to_bytes(8, "big")


def delayed(queue_id: bytes, ms: int) -> bytes:
    return _prefix(queue_id, "l") + (ms // 1000).to_bytes(8, "big")


def visible(queue_id: bytes, ms: int, seq: bytes) -> bytes:
    return _prefix(queue_id, "v") + ms.to_bytes(8, "big") + seq


def head(queue_id: bytes, ms: int, seq: bytes) -> bytes:
    return _prefix(queue_id, "h") + ms.to_bytes(8, "big") + seq


def member(queue_id: bytes, group: str, seq: bytes) -> bytes:
    return pack("sqsq", queue_id, "g", group) + seq


def members(queue_id: bytes, group: str) -> tuple[bytes, bytes]:
    begin = pack("sqsq", queue_id, "g", group)
    return begin, prefix_end(begin)


def timed(queue_id: bytes, kind: str, begin_ms: int, end_ms: int) -> tuple[bytes, bytes]:
    """The range of rows of `kind` (v, h, x) with `begin_ms <= ms < end_ms`; for counters (i, l) of seconds."""
    prefix = _prefix(queue_id, kind)
    return prefix + begin_ms.to_bytes(8, "big"), prefix + end_ms.to_bytes(8, "big")


def seq_of(key: bytes) -> bytes:
    """The last part of a message, receipt, visibility, head, age or member key."""
    return key[-SEQ_SIZE_BYTES:]


def ms_of(key: bytes) -> int:
    """The time in a visibility, head or age key."""
    return int.from_bytes(key[-SEQ_SIZE_BYTES - 8 : -SEQ_SIZE_BYTES], "big")


def second_of(key: bytes) -> int:
    """The second of a counter."""
    return int.from_bytes(key[-8:], "big")


# --- what a FIFO queue remembers

HASH_SIZE_BYTES = 16


def remembered(born_id: bytes, kind: str, hashed: bytes) -> bytes:
    return pack("sqsf", born_id, kind) + hashed


def forget(born_id: bytes, ms: int, kind: str, hashed: bytes) -> bytes:
    return pack("sqsf", born_id, "e") + ms.to_bytes(8, "big") + kind.encode() + hashed


def forget_until(born_id: bytes, end_ms: int) -> tuple[bytes, bytes]:
    prefix = pack("sqsf", born_id, "e")
    return prefix, prefix + end_ms.to_bytes(8, "big")


def forgets(key: bytes) -> tuple[int, str, bytes]:
    """The time, kind and hash in a forgetting key."""
    at = len(key) - HASH_SIZE_BYTES
    return int.from_bytes(key[at - 9 : at - 1], "big"), key[at - 1 : at].decode(), key[at:]


def channel(queue_id: bytes) -> bytes:
    """Signalled once for every message that is there to be received."""
    return b"sqs:" + queue_id
