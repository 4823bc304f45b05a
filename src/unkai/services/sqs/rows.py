"""Stored values of SQS: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec


class QueueRow(msgspec.Struct, frozen=True, array_like=True):
    """`attributes` holds only what was set, as text, by AWS's names; attributes.py gives the rest."""

    id: bytes
    born_id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    modified_ms: int
    attributes: dict[str, str]
    tags: dict[str, str]
    purged_ms: int = 0
    fifo: bool = False

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"


class MessageRow(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was put into the queue. `attributes` are MessageAttributes in AWS's form.

    `sent_ms` is its age for retention; `put_ms` is when it came into this queue, which is later where a dead-letter queue got
    it from `source`. `received_before` and `first_ms` count the receives there.
    """

    id: str
    body: str
    md5: str
    sent_ms: int
    put_ms: int
    visible_ms: int
    sender_id: str
    attributes: dict[str, Any] = {}
    trace: str = ""
    group: str = ""
    dedup: str = ""
    source: str = ""
    received_before: int = 0
    first_ms: int = 0

    @property
    def is_delayed(self) -> bool:
        return self.visible_ms > self.put_ms

    @property
    def age_ms(self) -> int:
        """The time in its age row; 0 where it has none."""
        return self.sent_ms if self.sent_ms < self.put_ms else 0


class ReceiptRow(msgspec.Struct, frozen=True, array_like=True):
    """The last receive of a message, and what else is needed to delete it without reading the message itself.

    `nonce` makes its receipt handle unguessable. `received_ms` starts the 12 hours that a message may be held.
    """

    visible_ms: int
    count: int
    first_ms: int
    nonce: bytes
    received_ms: int
    group: str = ""
    age_ms: int = 0


class DedupRow(msgspec.Struct, frozen=True, array_like=True):
    expires_ms: int
    message_id: str
    seq: bytes


class AttemptRow(msgspec.Struct, frozen=True, array_like=True):
    """`taken` are the sequences given, with the nonce and end of the visibility timeout that each got."""

    expires_ms: int
    taken: list[tuple[bytes, bytes, int]]


class MoveTaskRow(msgspec.Struct, frozen=True, array_like=True):
    """`per_second` and `destination` are 0 and empty where the client gave none. `next_ms` is when the next page may move."""

    id: str
    status: str
    source: str
    destination: str
    per_second: int
    to_move: int
    started_ms: int
    moved: int = 0
    next_ms: int = 0
    failure: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_queue = msgspec.msgpack.Decoder(QueueRow).decode
decode_message = msgspec.msgpack.Decoder(MessageRow).decode
decode_receipt = msgspec.msgpack.Decoder(ReceiptRow).decode
decode_dedup = msgspec.msgpack.Decoder(DedupRow).decode
decode_attempt = msgspec.msgpack.Decoder(AttemptRow).decode
decode_move_task = msgspec.msgpack.Decoder(MoveTaskRow).decode
replace = msgspec.structs.replace
