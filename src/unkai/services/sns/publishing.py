"""Publish and PublishBatch.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.layers.tasks import add_task
from unkai.services.sns import arns, errors, keys, limits, rows
from unkai.services.sns.envelopes import sequence_number
from unkai.services.sns.fan_out import fan_out, first_page
from unkai.services.sns.filter_policy import parse_json
from unkai.services.sns.message_attributes import check_attributes
from unkai.services.sns.topic_attributes import size_bytes_max
from unkai.services.sns.topics import load

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.sns.rows import MessageRow, TopicRow
    from unkai.store.api import Tx

SWEEP = "sns.sweep"
"""The task kind that removes what a FIFO topic took longer ago than its deduplication looks back."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a publisher is told. `is_new` is false for a duplicate, which is not delivered."""

    message: MessageRow
    sequence: Any = ""
    is_new: bool = True


async def publish(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The topic, its subscriptions and the deliveries in one transaction. Publishers do not conflict with each other."""
    topic = await load(tx, arns.published_arn(ctx, inp))
    message, size_bytes = _message(ctx, topic, inp, 0)
    if size_bytes > size_bytes_max(topic):
        raise errors.invalid_parameter("Message too long")

    taken = await _take(ctx, tx, topic, message)
    if taken.is_new:
        fan_out(ctx, tx, topic, (message,), await first_page(tx, topic))

    out: dict[str, Any] = {"MessageId": taken.message.id}
    if topic.is_fifo:
        out["SequenceNumber"] = taken.sequence
    return out


async def publish_batch(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, arns.published_arn(ctx, inp))
    entries = inp["PublishBatchRequestEntries"]
    _check_entries(entries)
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    messages: list[tuple[str, MessageRow]] = []
    total_bytes = 0
    for index, entry in enumerate(entries):
        try:
            message, size_bytes = _message(ctx, topic, entry, index)
        except AwsError as error:
            if topic.is_fifo or "MessageStructure" in entry:
                raise  # what is wrong with a FIFO entry's ids or its structure refuses the whole batch
            failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True})
            continue
        total_bytes += size_bytes
        messages.append((entry["Id"], message))
    if total_bytes > size_bytes_max(topic):
        raise errors.batch_too_long()

    new: list[MessageRow] = []
    for entry_id, message in messages:
        taken = await _take(ctx, tx, topic, message)
        if taken.is_new:
            new.append(message)
        out = {"Id": entry_id, "MessageId": taken.message.id}
        if topic.is_fifo:
            out["SequenceNumber"] = taken.sequence
        successful.append(out)
    if new:
        fan_out(ctx, tx, topic, new, await first_page(tx, topic))

    return {"Successful": successful, "Failed": failed}


def _check_entries(entries: list[dict[str, Any]]) -> None:
    if not entries:
        raise errors.empty_batch()
    if len(entries) > limits.BATCH_ENTRIES_MAX:
        raise errors.too_many_entries()
    for entry in entries:
        entry_id = entry["Id"]
        if len(entry_id) > limits.BATCH_ENTRY_ID_CHARS_MAX:
            raise errors.entry_id_too_long(entry_id)
        if not limits.BATCH_ENTRY_ID.fullmatch(entry_id):
            raise errors.entry_id_invalid(entry_id)
    if len({entry["Id"] for entry in entries}) != len(entries):
        raise errors.entry_ids_not_distinct()


def _message(ctx: Ctx, topic: TopicRow, inp: dict[str, Any], index: int) -> tuple[MessageRow, int]:
    """A checked message, and its size as AWS counts it: body and attributes."""
    body: str = inp["Message"]
    if not body:
        raise errors.invalid_parameter("Empty message")
    subject = inp.get("Subject")
    if subject is not None:
        _check_subject(subject)
    attributes = inp.get("MessageAttributes", {})
    size_bytes = len(body.encode()) + (check_attributes(attributes) if attributes else 0)
    by_protocol = _by_protocol(inp, body)
    group, dedup = inp.get("MessageGroupId", ""), inp.get("MessageDeduplicationId", "")
    if topic.is_fifo or group or dedup:
        dedup = _check_ids(topic, inp, group, dedup, body)

    message = rows.MessageRow(
        id=ctx.ids.uuid(),
        body=body,
        sent_ms=ctx.now_ms,
        subject=subject,
        attributes=attributes,
        by_protocol=by_protocol,
        group=group,
        dedup=dedup,
        index=index,
        trace=ctx.trace,
        base_url=ctx.base_url or topic.base_url,
    )
    return message, size_bytes


def _check_subject(subject: str) -> None:
    """Text in one line, without control characters, that does not begin with a blank."""
    if (
        not 1 <= len(subject) <= limits.SUBJECT_CHARS_MAX
        or subject[0].isspace()
        or any(ord(char) < 32 or ord(char) == 127 for char in subject)
    ):
        raise errors.invalid_parameter("Subject")


def _by_protocol(inp: dict[str, Any], body: str) -> dict[str, str]:
    """MessageStructure `json`: a body for each protocol, of which `default` must be there."""
    structure = inp.get("MessageStructure")
    if structure is None or structure == "":
        return {}
    if structure != "json":
        raise errors.invalid_parameter("MessageStructure")
    bodies = parse_json(body)
    if not isinstance(bodies, dict):
        raise errors.invalid_parameter("Message Structure - JSON message body failed to parse")
    if not isinstance(bodies.get("default"), str):
        raise errors.invalid_parameter("Message Structure - No default entry in JSON message body")
    return {name: text for name, text in bodies.items() if isinstance(text, str)}


def _check_ids(topic: TopicRow, inp: dict[str, Any], group: str, dedup: str, body: str) -> str:
    """The deduplication id. On standard topics a group only goes along to the queues (fair queues)."""
    if not topic.is_fifo:
        if "MessageDeduplicationId" in inp:
            raise errors.invalid_parameter(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid "
                "for this topic type"
            )
    elif not group:
        raise errors.invalid_parameter("The MessageGroupId parameter is required for FIFO topics")
    if group and not limits.FIFO_TOKEN.fullmatch(group):
        raise errors.invalid_parameter("MessageGroupId Reason: must be 1 to 128 printable ASCII characters")
    if not topic.is_fifo or dedup:
        if dedup and not limits.FIFO_TOKEN.fullmatch(dedup):
            raise errors.invalid_parameter("MessageDeduplicationId Reason: must be 1 to 128 printable ASCII characters")
        return dedup
    if topic.attributes.get("ContentBasedDeduplication") != "true":
        raise errors.invalid_parameter(
            "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
        )
    return hashlib.sha256(body.encode()).hexdigest()


async def _take(ctx: Ctx, tx: Tx, topic: TopicRow, message: MessageRow) -> Taken:
    """A FIFO topic takes a deduplication id once in five minutes; a later message with it gets the first one's answer."""
    if not topic.is_fifo:
        return Taken(message)
    identity = message.dedup
    if topic.attributes.get("FifoThroughputScope") == "MessageGroup":
        identity = f"{message.group}\0{identity}"
    bucket = ctx.now_ms // keys.BUCKET_MS
    for each in (bucket, bucket - 1):
        value = await tx.get(keys.dedup(topic.id, each, identity))
        earlier = rows.decode_dedup(value) if value is not None else None
        if earlier is not None and earlier.until_ms > ctx.now_ms:
            return _duplicate(tx, message, earlier)
    if await tx.get(keys.sweep(topic.id)) is None:
        tx.set(keys.sweep(topic.id), b"")
        add_task(ctx, tx, SWEEP, topic.id, due_ms=(bucket + 2) * keys.BUCKET_MS)

    stamp = tx.stamp()
    row = rows.DedupRow(message.id, ctx.now_ms + limits.DEDUPLICATION_MS, stamp.mark, message.index)
    tx.set(keys.dedup(topic.id, bucket, identity), rows.encode(row))
    return Taken(message, stamp.text(lambda real: sequence_number(real, message.index)))


def _duplicate(tx: Tx, message: MessageRow, earlier: rows.DedupRow) -> Taken:
    first = rows.MessageRow(earlier.message_id, message.body, message.sent_ms)
    own = tx.stamp() if earlier.stamp == tx.stamp().mark else None
    if own is not None:  # the first one is in the same batch: its place in the order is not known yet
        return Taken(first, own.text(lambda real: sequence_number(real, earlier.index)), is_new=False)
    return Taken(first, sequence_number(earlier.stamp, earlier.index), is_new=False)
