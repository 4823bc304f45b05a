"""Stored values of SQS: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec


class QueueRow(msgspec.Struct, frozen=True, array_like=True):
    """`attributes` holds only what was set, as text, by AWS's names; `limits.DEFAULTS` gives the rest."""

    id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    modified_ms: int
    attributes: dict[str, str]
    tags: dict[str, str]
    purged_ms: int = 0


class MessageRow(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was sent. `attributes` are MessageAttributes in AWS's form; `system` are MessageSystemAttributes."""

    id: str
    body: str
    md5: str
    sent_ms: int
    sender_id: str
    visible_ms: int
    attributes: dict[str, Any] = {}
    system: dict[str, str] = {}


class ReceiptRow(msgspec.Struct, frozen=True, array_like=True):
    """The last receive of a message. `nonce` makes its receipt handle unguessable."""

    visible_ms: int
    count: int
    first_ms: int
    nonce: bytes


encode = msgspec.msgpack.Encoder().encode
decode_queue = msgspec.msgpack.Decoder(QueueRow).decode
decode_message = msgspec.msgpack.Decoder(MessageRow).decode
decode_receipt = msgspec.msgpack.Decoder(ReceiptRow).decode
