"""Pure rules of delivery: timeouts, places in the order, deduplication, and what becomes of a message that is looked at.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from unkai.services.sqs import contents, errors, keys, limits
from unkai.store.api import STAMP_SIZE_BYTES

if TYPE_CHECKING:
    from typing import Any

    from unkai.services.sqs.rows import MessageRow, QueueRow, ReceiptRow

NONCE_SIZE_BYTES = 16
_FIRST_SEQUENCE_NUMBER = 10**19
"""AWS's sequence numbers have 20 digits, so that they sort as text too."""
_ORDER_BITS = 10
_NUMBER_BITS = 12


class Handle(NamedTuple):
    """What a receipt handle holds. The queue id and the nonce make it useless for other queues and unguessable."""

    queue_id: bytes
    seq: bytes
    nonce: bytes


def make_handle(queue_id: bytes, seq: bytes, nonce: bytes) -> str:
    return base64.b64encode(queue_id + seq + nonce).decode()


def read_handle(text: str) -> Handle:
    """Raises ReceiptHandleIsInvalid."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise errors.receipt_handle_is_invalid(text) from None
    if len(raw) != keys.ID_SIZE_BYTES + keys.SEQ_SIZE_BYTES + NONCE_SIZE_BYTES:
        raise errors.receipt_handle_is_invalid(text)
    seq_end = keys.ID_SIZE_BYTES + keys.SEQ_SIZE_BYTES
    return Handle(raw[: keys.ID_SIZE_BYTES], raw[keys.ID_SIZE_BYTES : seq_end], raw[seq_end:])


def sequence_number(seq: bytes) -> str:
    """A place in a queue as AWS shows it: digits that grow with the order of sending."""
    version = int.from_bytes(seq[: STAMP_SIZE_BYTES - 2], "big")
    order = int.from_bytes(seq[STAMP_SIZE_BYTES - 2 : STAMP_SIZE_BYTES], "big")
    number = int.from_bytes(seq[STAMP_SIZE_BYTES:], "big")
    assert order < 1 << _ORDER_BITS, "a batch of the store has at most 1,024 requests"
    assert number < 1 << _NUMBER_BITS, "a transaction draws few numbers"
    return str(_FIRST_SEQUENCE_NUMBER + (((version << _ORDER_BITS) | order) << _NUMBER_BITS | number))


def check_timeout(value: int | None, *, changing: bool = False) -> None:
    if value is not None and not 0 <= value <= limits.VISIBILITY_S_MAX:
        reason = "Must be between 0 and 43200." if changing else "Must be >= 0 and <= 43200, if provided."
        raise errors.invalid_value(value, "VisibilityTimeout", reason)


def check_total_timeout(receipt: ReceiptRow, visible_ms: int, timeout_s: int) -> None:
    """A message may be held for 12 hours in all, counted from its receive."""
    if visible_ms - receipt.received_ms > limits.VISIBILITY_S_MAX * 1000:
        raise errors.invalid_value(
            timeout_s,
            "VisibilityTimeout",
            "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
        )


def check_id(value: str, parameter: str) -> None:
    if not limits.FIFO_ID.fullmatch(value):
        raise errors.invalid_value(
            value,
            parameter,
            f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.",
        )


def deduplication_id(queue: QueueRow, inp: dict[str, Any]) -> str:
    """What a message is deduplicated by: what the client gave, or its content. Raises where it is neither."""
    given: str | None = inp.get("MessageDeduplicationId")
    if given is not None:
        check_id(given, "MessageDeduplicationId")
        return given
    if queue.attributes.get("ContentBasedDeduplication") != "true":
        raise errors.no_deduplication_id()
    return hashlib.sha256(inp["MessageBody"].encode()).hexdigest()


def deduplication_hash(queue: QueueRow, message: MessageRow) -> bytes:
    """Within the scope of the queue, or of the message group."""
    scope = message.group if queue.attributes.get("DeduplicationScope") == "messageGroup" else ""
    return hashlib.sha256(f"{scope} {message.dedup}".encode()).digest()[: keys.HASH_SIZE_BYTES]


def attempt_hash(attempt_id: str) -> bytes:
    return hashlib.sha256(attempt_id.encode()).digest()[: keys.HASH_SIZE_BYTES]


def shown(queue: QueueRow, seq: bytes, message: MessageRow, receipt: ReceiptRow, inp: dict[str, Any]) -> dict[str, Any]:
    """A message as ReceiveMessage gives it."""
    out: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": make_handle(queue.id, seq, receipt.nonce),
        "MD5OfBody": message.md5,
        "Body": message.body,
    }
    asked = {*inp.get("AttributeNames", ()), *inp.get("MessageSystemAttributeNames", ())}
    if asked:
        system = _system_attributes(queue, seq, message, receipt)
        if "All" not in asked:
            system = {name: value for name, value in system.items() if name in asked}
        if system:
            out["Attributes"] = system
    if message.attributes and (names := inp.get("MessageAttributeNames")):
        chosen = contents.chosen_attributes(message.attributes, names)
        if chosen:
            out["MessageAttributes"] = chosen
            # Of what is given, not of what was sent: that is what SDKs compare.
            out["MD5OfMessageAttributes"] = contents.md5_of_attributes(chosen)
    return out


def _system_attributes(queue: QueueRow, seq: bytes, message: MessageRow, receipt: ReceiptRow) -> dict[str, str]:
    system = {
        "SenderId": message.sender_id,
        "SentTimestamp": str(message.sent_ms),
        "ApproximateReceiveCount": str(message.received_before + receipt.count),
        "ApproximateFirstReceiveTimestamp": str(message.first_ms or receipt.first_ms),
    }
    if message.trace:
        system["AWSTraceHeader"] = message.trace
    if message.group:
        system["MessageGroupId"] = message.group
    if queue.fifo:
        system["MessageDeduplicationId"] = message.dedup
        system["SequenceNumber"] = sequence_number(seq)
    if message.source:
        system["DeadLetterQueueSourceArn"] = message.source
    return system
