"""Every key that SQS stores. Nothing else in unkai packs them.

    ("sqs", account, region, name)          -> QueueRow
    ("sqsq", queue_id, "b") + seq           -> MessageRow: a message as it was sent
    ("sqsq", queue_id, "s") + seq           -> ReceiptRow: its last receive; absent until the first one
    ("sqsq", queue_id, "v") + ms (8) + seq  -> b"": the message is visible from node time `ms`
    ("sqsq", queue_id, "n")                 -> counter: messages in the queue

`queue_id` is new for every creation, so a queue made again under an old name never sees old messages. `seq` is the stamp of
the sending transaction and a number within it (14 bytes): its order is the order of sending.

Invariants (see invariants.py):
SQS-1  Every message has exactly one visibility row, and every visibility row belongs to a message.
SQS-2  The counter equals the number of messages.
SQS-3  A receipt row belongs to a message of its queue.
"""

from __future__ import annotations

from unkai.store.api import STAMP_SIZE_BYTES
from unkai.store.tuples import pack, prefix_end

SEQ_SIZE_BYTES = STAMP_SIZE_BYTES + 4


def queue(account: str, region: str, name: str) -> bytes:
    return pack("sqs", account, region, name)


def queues(account: str, region: str, name_prefix: str = "") -> tuple[bytes, bytes]:
    """The range of an account's queues whose names begin with `name_prefix`."""
    begin = pack("sqs", account, region) + b"\x02" + name_prefix.encode()
    return begin, prefix_end(begin)


def queue_name(key: bytes, account: str, region: str) -> str:
    return key[len(pack("sqs", account, region)) + 1 : -1].decode()


def contents(queue_id: bytes) -> tuple[bytes, bytes]:
    """The range of all that a queue holds."""
    begin = pack("sqsq", queue_id)
    return begin, prefix_end(begin)


def message(queue_id: bytes, seq: bytes) -> bytes:
    return pack("sqsq", queue_id, "b") + seq


def receipt(queue_id: bytes, seq: bytes) -> bytes:
    return pack("sqsq", queue_id, "s") + seq


def visible(queue_id: bytes, ms: int, seq: bytes) -> bytes:
    return pack("sqsq", queue_id, "v") + ms.to_bytes(8, "big") + seq


def visible_from(queue_id: bytes, begin_ms: int, end_ms: int) -> tuple[bytes, bytes]:
    """The range of visibility rows with `begin_ms <= ms < end_ms`."""
    prefix = pack("sqsq", queue_id, "v")
    return prefix + begin_ms.to_bytes(8, "big"), prefix + end_ms.to_bytes(8, "big")


def all_of(queue_id: bytes, kind: str) -> tuple[bytes, bytes]:
    begin = pack("sqsq", queue_id, kind)
    return begin, prefix_end(begin)


def seq_of(key: bytes) -> bytes:
    """The last part of a message, receipt or visibility key."""
    return key[-SEQ_SIZE_BYTES:]


def visible_ms_of(key: bytes) -> int:
    return int.from_bytes(key[-SEQ_SIZE_BYTES - 8 : -SEQ_SIZE_BYTES], "big")


def count(queue_id: bytes) -> bytes:
    return pack("sqsq", queue_id, "n")


def channel(queue_id: bytes) -> bytes:
    """Signalled once for every message that is there to be received."""
    return b"sqs:" + queue_id
