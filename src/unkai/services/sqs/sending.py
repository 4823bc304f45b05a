"""SendMessage and SendMessageBatch.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
Sends to a standard queue are blind writes under a stamp and never conflict. A send to a FIFO queue reads its deduplication id
and whether its group is empty, and conflicts with nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.services.sqs import attributes, batches, contents, delivery, errors, keys, limits, rows
from unkai.services.sqs.catalog import load
from unkai.services.sqs.places import put_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.services.sqs.rows import MessageRow, QueueRow
    from unkai.store.api import Tx


async def send_message(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    message = make_message(ctx, queue, inp)

    (out,) = await _send(ctx, tx, queue, [(inp, message)])

    return out


async def send_message_batch(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await load(ctx, tx, inp["QueueUrl"])
    entries = inp["Entries"]
    batches.check_entries(entries, "SendMessageBatchRequestEntry")
    _check_batch_size(entries)
    if queue.fifo:
        _check_fifo_batch(queue, entries)

    good: list[tuple[dict[str, Any], MessageRow]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            good.append((entry, make_message(ctx, queue, entry, in_batch=True)))
        except AwsError as error:
            failed.append(errors.batch_failure(entry["Id"], error))
    outs = await _send(ctx, tx, queue, good)

    sent = [{"Id": entry["Id"], **out} for (entry, _), out in zip(good, outs, strict=True)]
    return {"Successful": sent, "Failed": failed}


def _check_batch_size(entries: Sequence[Mapping[str, Any]]) -> None:
    size = sum(contents.size_bytes(entry["MessageBody"], entry.get("MessageAttributes", {})) for entry in entries)
    if size > limits.MESSAGE_SIZE_BYTES_MAX:
        raise errors.batch_too_long(limits.MESSAGE_SIZE_BYTES_MAX, size)


def _check_fifo_batch(queue: QueueRow, entries: Sequence[dict[str, Any]]) -> None:
    """What a FIFO queue needs of every message fails the whole batch."""
    for entry in entries:
        if "MessageGroupId" not in entry:
            raise errors.invalid_parameter("The request must contain the parameter MessageGroupId.")
        if "MessageDeduplicationId" not in entry:
            delivery.deduplication_id(queue, entry)


def make_message(ctx: Ctx, queue: QueueRow, inp: dict[str, Any], *, in_batch: bool = False) -> MessageRow:
    """The message that `inp` asks to send. Raises what SendMessage raises."""
    body = inp["MessageBody"]
    given = inp.get("MessageAttributes") or {}
    contents.check_message(body, given, attributes.number(queue, "MaximumMessageSize"), in_batch=in_batch)
    group = inp.get("MessageGroupId")
    if group is not None:
        delivery.check_id(group, "MessageGroupId")
    elif queue.fifo:
        raise errors.missing_parameter("MessageGroupId")
    if not queue.fifo and "MessageDeduplicationId" in inp:
        raise errors.not_for_this_queue_type(inp["MessageDeduplicationId"], "MessageDeduplicationId")
    return rows.MessageRow(
        id=ctx.ids.uuid(),
        body=body,
        md5=contents.md5_of_body(body),
        sent_ms=ctx.now_ms,
        put_ms=ctx.now_ms,
        visible_ms=ctx.now_ms + _delay_s(queue, inp) * 1000,
        sender_id=_sender_id(ctx.caller),
        attributes=contents.stored_attributes(given) if given else {},
        trace=_trace(ctx, inp.get("MessageSystemAttributes")),
        group=group or "",
        dedup=delivery.deduplication_id(queue, inp) if queue.fifo else "",
    )


def _delay_s(queue: QueueRow, inp: dict[str, Any]) -> int:
    delay_s: int | None = inp.get("DelaySeconds")
    if delay_s is not None and not 0 <= delay_s <= limits.DELAY_S_MAX:
        raise errors.invalid_value(delay_s, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    if queue.fifo and delay_s:
        raise errors.not_for_this_queue_type(delay_s, "DelaySeconds")
    # 0 on a FIFO queue means nothing: its delay is the queue's.
    if delay_s is None or queue.fifo:
        return attributes.number(queue, "DelaySeconds")
    return delay_s


def _trace(ctx: Ctx, given: Mapping[str, Any] | None) -> str:
    """The X-Ray trace header: the message's, or the request's."""
    if not given:
        return ctx.trace
    for name, attribute in given.items():
        if name != "AWSTraceHeader":
            raise errors.invalid_parameter(f"Message system attribute name '{name[:256]}' is invalid.")
        contents.check_value(name, attribute)
        if not attribute["DataType"].startswith("String"):
            raise errors.invalid_parameter("Message system attribute 'AWSTraceHeader' must be of type 'String'.")
    text: str = given["AWSTraceHeader"]["StringValue"]
    return text


def _sender_id(caller: Caller) -> str:
    """What SenderId shows: the unique id of the user or role session."""
    return caller.user_id or caller.account


async def _send(
    ctx: Ctx, tx: Tx, queue: QueueRow, messages: Sequence[tuple[dict[str, Any], MessageRow]]
) -> list[dict[str, Any]]:
    """Put the messages into the queue, less those that were sent before; what the client is told of each."""
    outs: list[dict[str, Any]] = []
    new: list[tuple[bytes, MessageRow]] = []
    for inp, message in messages:
        seq = keys.next_seq(tx, ctx.ids.next_number())
        out: dict[str, Any] = {"MessageId": message.id, "MD5OfMessageBody": message.md5}
        earlier = await _deduplicate(tx, queue, message, seq) if queue.fifo else None
        if earlier is not None:
            out["MessageId"] = earlier.message_id
        else:
            new.append((seq, message))
        if message.attributes:
            out["MD5OfMessageAttributes"] = contents.md5_of_attributes(message.attributes)
        if inp.get("MessageSystemAttributes"):
            out["MD5OfMessageSystemAttributes"] = contents.md5_of_attributes(inp["MessageSystemAttributes"])
        if queue.fifo:
            out["SequenceNumber"] = _sequence_number(tx, seq if earlier is None else earlier.seq)
        outs.append(out)
    await put_all(tx, queue, new)
    return outs


async def _deduplicate(tx: Tx, queue: QueueRow, message: MessageRow, seq: bytes) -> rows.DedupRow | None:
    """The earlier sending of the same message; where there is none, this one is remembered."""
    hashed = delivery.deduplication_hash(queue, message)
    key = keys.remembered(queue.born_id, "d", hashed)
    value = await tx.get(key)
    if value is not None:
        earlier = rows.decode_dedup(value)
        if earlier.expires_ms > message.put_ms:
            return earlier
        tx.clear(keys.forget(queue.born_id, earlier.expires_ms, "d", hashed))
    expires_ms = message.put_ms + limits.DEDUPLICATION_MS
    tx.set(key, rows.encode(rows.DedupRow(expires_ms, message.id, seq)))
    tx.set(keys.forget(queue.born_id, expires_ms, "d", hashed), b"")
    return None


def _sequence_number(tx: Tx, seq: bytes) -> Any:
    """Known now for what was sent before, and after the commit for what is being sent."""
    stamp = tx.stamp()
    if not seq.startswith(stamp.mark):
        return delivery.sequence_number(seq)
    return stamp.text(lambda real: delivery.sequence_number(real + seq[len(real) :]))
