"""Operations on messages of standard queues.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from unkai.services.sqs import errors, keys, limits, rows
from unkai.services.sqs.queues import load, number

if TYPE_CHECKING:
    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.sqs.rows import QueueRow, ReceiptRow
    from unkai.store.api import Tx

NONCE_SIZE_BYTES = 16
LOOK_MAX = 200
"""How many messages one take looks at; more than it may return, since expired ones are removed on the way."""
EVERY_WAITER = 1 << 20


async def send_message(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Blind writes under a stamp: sends to one queue never conflict with each other."""
    queue = await load(ctx, tx, inp["QueueUrl"])
    body = inp["MessageBody"]
    check_body(body, number(queue, "MaximumMessageSize"))
    delay_s = inp.get("DelaySeconds", number(queue, "DelaySeconds"))
    if not 0 <= delay_s <= limits.DELAY_S_MAX:
        raise errors.invalid_parameter(
            f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        )

    message = rows.MessageRow(
        id=ctx.ids.uuid(),
        body=body,
        md5=hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        sent_ms=ctx.now_ms,
        sender_id=sender_id(ctx.caller),
        visible_ms=ctx.now_ms + delay_s * 1000,
    )
    seq = tx.stamp().mark + ctx.ids.next_number().to_bytes(4, "big")
    tx.set(keys.message(queue.id, seq), rows.encode(message))
    tx.set(keys.visible(queue.id, message.visible_ms, seq), b"")
    tx.add(keys.count(queue.id), 1)
    tx.signal(keys.channel(queue.id))

    return {"MessageId": message.id, "MD5OfMessageBody": message.md5}


def check_body(body: str, size_bytes_max: int) -> None:
    if not body:
        raise errors.missing_parameter("MessageBody")
    if len(body) > size_bytes_max or len(body.encode()) > size_bytes_max:
        raise errors.invalid_parameter(
            f"One or more parameters are invalid. Reason: Message must be shorter than {size_bytes_max} bytes."
        )
    if limits.FORBIDDEN_CHARACTERS.search(body):
        raise errors.invalid_message_contents()


def sender_id(caller: Caller) -> str:
    """What SenderId shows: the unique id of the user or role session, or an anonymous sender's address."""
    return caller.user_id or caller.account


async def receive_message(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Take what is visible, or wait for it.

    If the process dies after a take, the taken messages become visible again at their timeout, as for any client that vanishes.
    """
    limit = inp.get("MaxNumberOfMessages", 1)
    if not 1 <= limit <= limits.RECEIVE_MAX:
        raise errors.invalid_parameter(
            f"Value {limit} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
        )
    wait_s = inp.get("WaitTimeSeconds")
    if wait_s is not None and not 0 <= wait_s <= limits.WAIT_S_MAX:
        raise errors.invalid_parameter(
            f"Value {wait_s} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
        )
    timeout_s = inp.get("VisibilityTimeout")
    if timeout_s is not None and not 0 <= timeout_s <= limits.VISIBILITY_S_MAX:
        raise errors.invalid_parameter(
            f"Value {timeout_s} for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided."
        )

    taken = await node.run(ctx, take, inp | {"NowMs": ctx.now_ms})
    if taken["Messages"] or not taken["WaitS"]:
        return _received(taken)
    until_ms = ctx.now_ms + taken["WaitS"] * 1000
    while True:
        # The watch comes first: a message that is sent between the look and the wait wakes it.
        watch = await node.watch(keys.channel(taken["QueueId"]))
        try:
            taken = await node.run(ctx, take, inp | {"NowMs": node.clock.node_ms()})
            if taken["Messages"] or node.clock.node_ms() >= until_ms:
                return _received(taken)
            await watch.wait(min(until_ms, taken["NextMs"] or until_ms))
        finally:
            watch.close()


def _received(taken: dict[str, Any]) -> dict[str, Any]:
    return {"Messages": taken["Messages"]} if taken["Messages"] else {}


async def take(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """One look at the queue, on the writer: messages that are visible at NowMs become invisible for their timeout.

    Messages, QueueId, WaitS (how long the queue lets receivers wait), NextMs (when the next message becomes visible, if any).
    """
    queue = await load(ctx, tx, inp["QueueUrl"])
    now_ms = inp["NowMs"]
    limit = inp.get("MaxNumberOfMessages", 1)
    hidden_until_ms = now_ms + inp.get("VisibilityTimeout", number(queue, "VisibilityTimeout")) * 1000
    expired_ms = now_ms - number(queue, "MessageRetentionPeriod") * 1000
    messages: list[dict[str, Any]] = []
    looked_at: set[bytes] = set()
    begin, end = keys.visible_from(queue.id, 0, now_ms + 1)

    # With a timeout of 0 a message is visible again at once, in the range that is being read: hence `looked_at`.
    while len(messages) < limit and len(looked_at) < LOOK_MAX:
        page = await tx.get_range(begin, end, limit=limit)
        for key, _ in page:
            seq = keys.seq_of(key)
            if len(messages) < limit and seq not in looked_at:
                looked_at.add(seq)
                message = await _take_one(ctx, tx, queue, key, expired_ms, hidden_until_ms, inp)
                if message is not None:
                    messages.append(message)
        if len(page) < limit:
            break
        begin = page[-1][0] + b"\0"
    if messages and hidden_until_ms - now_ms < limits.WAIT_S_MAX * 1000:
        # Those who wait now may still be waiting when these messages come back, and must learn when that is.
        tx.signal(keys.channel(queue.id), EVERY_WAITER)

    return {
        "Messages": messages,
        "QueueId": queue.id,
        "WaitS": inp.get("WaitTimeSeconds", number(queue, "ReceiveMessageWaitTimeSeconds")),
        "NextMs": await _next_visible_ms(tx, queue, now_ms),
    }


async def _next_visible_ms(tx: Tx, queue: QueueRow, now_ms: int) -> int | None:
    """When the next message becomes visible, or `now_ms` where some are already."""
    page = await tx.peek_range(*keys.visible_from(queue.id, 0, 1 << 62), limit=1)
    return max(now_ms, keys.visible_ms_of(page[0][0])) if page else None


async def _take_one(
    ctx: Ctx, tx: Tx, queue: QueueRow, key: bytes, expired_ms: int, hidden_until_ms: int, inp: dict[str, Any]
) -> dict[str, Any] | None:
    """Receive the message of one visibility row; None where it has outlived its retention and is removed instead."""
    seq = keys.seq_of(key)
    value = await tx.get(keys.message(queue.id, seq))
    assert value is not None, "SQS-1: a visibility row without a message"
    message = rows.decode_message(value)
    if message.sent_ms <= expired_ms:
        remove(tx, queue, seq, keys.visible_ms_of(key))
        return None
    earlier = await tx.get(keys.receipt(queue.id, seq))
    before = rows.decode_receipt(earlier) if earlier is not None else None
    receipt = rows.ReceiptRow(
        visible_ms=hidden_until_ms,
        count=before.count + 1 if before else 1,
        first_ms=before.first_ms if before else inp["NowMs"],
        nonce=ctx.ids.token(NONCE_SIZE_BYTES),
    )
    tx.clear(key)
    tx.set(keys.visible(queue.id, hidden_until_ms, seq), b"")
    tx.set(keys.receipt(queue.id, seq), rows.encode(receipt))
    return shown(queue, seq, message, receipt, inp)


def shown(
    queue: QueueRow, seq: bytes, message: rows.MessageRow, receipt: ReceiptRow, inp: dict[str, Any]
) -> dict[str, Any]:
    """A message as ReceiveMessage gives it."""
    out = {
        "MessageId": message.id,
        "ReceiptHandle": base64.b64encode(queue.id + seq + receipt.nonce).decode(),
        "MD5OfBody": message.md5,
        "Body": message.body,
    }
    asked = {*inp.get("AttributeNames", ()), *inp.get("MessageSystemAttributeNames", ())}
    if asked:
        system = {
            "SenderId": message.sender_id,
            "SentTimestamp": str(message.sent_ms),
            "ApproximateReceiveCount": str(receipt.count),
            "ApproximateFirstReceiveTimestamp": str(receipt.first_ms),
            **message.system,
        }
        chosen = {name: value for name, value in system.items() if "All" in asked or name in asked}
        if chosen:
            out["Attributes"] = chosen  # type: ignore[assignment]
    return out


def remove(tx: Tx, queue: QueueRow, seq: bytes, visible_ms: int) -> None:
    """Take a message out of the queue."""
    tx.clear(keys.message(queue.id, seq))
    tx.clear(keys.receipt(queue.id, seq))
    tx.clear(keys.visible(queue.id, visible_ms, seq))
    tx.add(keys.count(queue.id), -1)


async def find_receipt(tx: Tx, queue: QueueRow, handle: str) -> tuple[bytes, ReceiptRow | None]:
    """The message that a receipt handle names, and its receive where the handle is of the latest one."""
    try:
        raw = base64.b64decode(handle, validate=True)
    except (binascii.Error, ValueError):
        raise errors.receipt_handle_is_invalid(handle) from None
    if len(raw) != len(queue.id) + keys.SEQ_SIZE_BYTES + NONCE_SIZE_BYTES:
        raise errors.receipt_handle_is_invalid(handle)
    queue_id, seq, nonce = raw[:8], raw[8 : 8 + keys.SEQ_SIZE_BYTES], raw[8 + keys.SEQ_SIZE_BYTES :]
    value = await tx.get(keys.receipt(queue.id, seq)) if queue_id == queue.id else None
    if value is None:
        return seq, None
    receipt = rows.decode_receipt(value)
    return seq, receipt if hmac.compare_digest(receipt.nonce, nonce) else None


async def delete_message(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Deleting again, or with the handle of an earlier receive, succeeds and deletes nothing, as AWS documents."""
    queue = await load(ctx, tx, inp["QueueUrl"])
    seq, receipt = await find_receipt(tx, queue, inp["ReceiptHandle"])

    if receipt is not None:
        remove(tx, queue, seq, receipt.visible_ms)

    return {}


async def change_message_visibility(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    timeout_s = inp["VisibilityTimeout"]
    if not 0 <= timeout_s <= limits.VISIBILITY_S_MAX:
        raise errors.invalid_parameter(
            f"Value {timeout_s} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."
        )
    queue = await load(ctx, tx, inp["QueueUrl"])
    seq, receipt = await find_receipt(tx, queue, inp["ReceiptHandle"])
    if receipt is None or receipt.visible_ms <= ctx.now_ms:
        raise errors.message_not_inflight()

    visible_ms = ctx.now_ms + timeout_s * 1000
    changed = rows.ReceiptRow(visible_ms, receipt.count, receipt.first_ms, receipt.nonce)
    tx.clear(keys.visible(queue.id, receipt.visible_ms, seq))
    tx.set(keys.visible(queue.id, visible_ms, seq), b"")
    tx.set(keys.receipt(queue.id, seq), rows.encode(changed))
    # Waiters sleep until the next message that they know of becomes visible; this one may be earlier.
    tx.signal(keys.channel(queue.id))

    return {}
