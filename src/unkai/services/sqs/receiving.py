"""ReceiveMessage: what is visible, or a wait for it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
Each look is one short step on the writer, so receivers never conflict and none waits for another's retries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unkai.services.sqs import attributes, delivery, errors, keys, limits, places, redrive, rows
from unkai.services.sqs.catalog import load
from unkai.services.sqs.places import Fate
from unkai.services.sqs.queues import EVERY_WAITER, count_hidden
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.sqs.places import Found
    from unkai.services.sqs.rows import MessageRow, QueueRow, ReceiptRow
    from unkai.store.api import Tx

LOOK_MAX = 200
"""How many messages one take looks at; more than it may return, since expired and dead ones are moved away on the way."""
MOVED_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""How much one take moves to a dead-letter queue."""
FORGET_MAX = 20
"""How many deduplication ids one take of a FIFO queue forgets: more than it can have sent since."""


async def receive_message(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Take what is visible, or wait for it.

    If the process dies after a take, the taken messages become visible again at their timeout, as for any client that vanishes.
    """
    _check(inp)
    taken = await _take(ctx, node, inp, ctx.now_ms)
    if taken["Messages"] or not taken["WaitS"]:
        return _received(taken)
    until_ms = ctx.now_ms + taken["WaitS"] * 1000
    while True:
        # The watch comes first: a message that is sent between the look and the wait wakes it.
        watch = await node.watch(keys.channel(taken["QueueId"]))
        try:
            taken = await _take(ctx, node, inp, node.clock.node_ms())
            if taken["Messages"] or node.clock.node_ms() >= until_ms:
                return _received(taken)
            await watch.wait(min(until_ms, taken["NextMs"] or until_ms))
        finally:
            watch.close()


def _check(inp: dict[str, Any]) -> None:
    limit = inp.get("MaxNumberOfMessages", 1)
    if not 1 <= limit <= limits.RECEIVE_MAX:
        raise errors.invalid_value(limit, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
    wait_s = inp.get("WaitTimeSeconds")
    if wait_s is not None and not 0 <= wait_s <= limits.WAIT_S_MAX:
        raise errors.invalid_value(wait_s, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
    delivery.check_timeout(inp.get("VisibilityTimeout"))
    asked = {*inp.get("AttributeNames", ()), *inp.get("MessageSystemAttributeNames", ())}
    if unknown := asked - SYSTEM_ATTRIBUTES:
        raise errors.invalid_attribute_name(min(unknown)[:256])
    if "ReceiveRequestAttemptId" in inp:
        delivery.check_id(inp["ReceiveRequestAttemptId"], "ReceiveRequestAttemptId")


SYSTEM_ATTRIBUTES = frozenset(
    {
        "All",
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "SequenceNumber",
        "MessageDeduplicationId",
        "MessageGroupId",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
    }
)


async def _take(ctx: Ctx, node: Node, inp: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """Take until there is a message, or none is left."""
    while True:
        taken: dict[str, Any] = await node.run(ctx, take, inp | {"NowMs": now_ms})
        if taken["Messages"] or not taken["Interrupted"]:
            return taken


def _received(taken: dict[str, Any]) -> dict[str, Any]:
    return {"Messages": taken["Messages"]} if taken["Messages"] else {}


async def take(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """One look at the queue, on the writer: messages that are visible at NowMs become invisible for their timeout.

    Messages, QueueId, WaitS (how long the queue lets receivers wait), NextMs (when the next message becomes visible, if any),
    Interrupted (whether the look ended because it had moved much).
    """
    queue = await load(ctx, tx, inp["QueueUrl"])
    now_ms = inp["NowMs"]
    wait_s = inp.get("WaitTimeSeconds", attributes.number(queue, "ReceiveMessageWaitTimeSeconds"))
    taking = await _start(ctx, tx, queue, inp)
    attempt_id = inp.get("ReceiveRequestAttemptId", "") if queue.fifo else ""

    if queue.fifo:
        await forget(tx, queue, now_ms, FORGET_MAX)
    if not (attempt_id and await _repeat(tx, taking, attempt_id)):
        if await _is_full(tx, queue, now_ms):
            if not queue.fifo and not wait_s:
                raise errors.over_limit()
        else:
            await places.look(tx, queue, now_ms, LOOK_MAX, taking.decide)
        if taking.dead_messages and taking.dead is not None:
            await redrive.put_moved(ctx, tx, taking.dead.queue, taking.dead_messages)
        if attempt_id and taking.taken:
            await _remember(tx, taking, attempt_id)
    next_ms = await places.next_visible_ms(tx, queue, now_ms)
    _signal(tx, taking, next_ms)

    return {
        "Messages": taking.messages,
        "QueueId": queue.id,
        "WaitS": wait_s,
        "NextMs": next_ms,
        "Interrupted": taking.is_interrupted,
    }


@dataclass(slots=True)
class _Taking:
    """One take: what it may do, and what it has taken so far. `taken` are the sequences, messages and receipts."""

    ctx: Ctx
    queue: QueueRow
    inp: dict[str, Any]
    now_ms: int
    limit: int
    hidden_until_ms: int
    expired_ms: int
    dead: redrive.DeadLetters | None
    messages: list[dict[str, Any]] = field(default_factory=list)
    taken: list[tuple[bytes, ReceiptRow]] = field(default_factory=list)
    dead_messages: list[MessageRow] = field(default_factory=list)
    looked: int = 0
    moved_size_bytes: int = 0

    @property
    def is_interrupted(self) -> bool:
        return self.looked >= LOOK_MAX or self.moved_size_bytes >= MOVED_SIZE_BYTES_MAX

    async def decide(self, found: Found) -> Fate | ReceiptRow:
        if len(self.messages) == self.limit or self.is_interrupted:
            return Fate.STAY
        self.looked += 1
        if found.message.sent_ms <= self.expired_ms:
            return Fate.REMOVE
        if redrive.is_dead(found, self.dead):
            self.dead_messages.append(redrive.as_dead(self.queue, found, self.now_ms))
            self.moved_size_bytes += len(found.message.body)
            return Fate.REMOVE
        receipt = self._receipt(found)
        self.taken.append((found.seq, receipt))
        self.messages.append(delivery.shown(self.queue, found.seq, found.message, receipt, self.inp))
        return receipt

    def _receipt(self, found: Found) -> ReceiptRow:
        before = found.receipt
        return rows.ReceiptRow(
            visible_ms=self.hidden_until_ms,
            count=before.count + 1 if before else 1,
            first_ms=before.first_ms if before else self.now_ms,
            nonce=self.ctx.ids.token(delivery.NONCE_SIZE_BYTES),
            received_ms=self.now_ms,
            group=found.message.group,
            age_ms=found.message.age_ms,
        )


async def _start(ctx: Ctx, tx: Tx, queue: QueueRow, inp: dict[str, Any]) -> _Taking:
    now_ms = inp["NowMs"]
    timeout_s = inp.get("VisibilityTimeout")
    if timeout_s is None:
        timeout_s = attributes.number(queue, "VisibilityTimeout")
    return _Taking(
        ctx=ctx,
        queue=queue,
        inp=inp,
        now_ms=now_ms,
        limit=inp.get("MaxNumberOfMessages", 1),
        hidden_until_ms=now_ms + timeout_s * 1000,
        expired_ms=now_ms - attributes.number(queue, "MessageRetentionPeriod") * 1000,
        dead=await redrive.dead_letters(tx, queue),
    )


async def _is_full(tx: Tx, queue: QueueRow, now_ms: int) -> bool:
    """Are as many messages in flight as may be? Counted only where the queue holds that many at all."""
    if read_counter(await tx.get(keys.count(queue.id))) < limits.IN_FLIGHT_MAX:
        return False
    return await count_hidden(tx, queue, "i", now_ms) >= limits.IN_FLIGHT_MAX


def _signal(tx: Tx, taking: _Taking, next_ms: int | None) -> None:
    channel = keys.channel(taking.queue.id)
    if not taking.messages:
        return
    if taking.hidden_until_ms - taking.now_ms < limits.WAIT_S_MAX * 1000:
        # Those who wait now may still be waiting when these messages come back, and must learn when that is.
        tx.signal(channel, EVERY_WAITER)
    elif next_ms is not None and next_ms <= taking.now_ms:
        # What became visible by time alone was signalled to nobody: each receiver that finds more wakes the next.
        tx.signal(channel)


# --- ReceiveRequestAttemptId: a receive whose answer was lost can be asked for again.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html


async def _repeat(tx: Tx, taking: _Taking, attempt_id: str) -> bool:
    """Give the same messages as the attempt of this id did, under the same handles, where none was deleted or changed since."""
    queue = taking.queue
    key = keys.remembered(queue.born_id, "a", delivery.attempt_hash(attempt_id))
    value = await tx.get(key)
    if value is None:
        return False
    attempt = rows.decode_attempt(value)
    found: list[tuple[bytes, ReceiptRow, MessageRow]] = []
    for seq, nonce, visible_ms in attempt.taken:
        received = await tx.get(keys.receipt(queue.id, seq))
        message = await tx.get(keys.message(queue.id, seq))
        if received is None or message is None:
            return False
        receipt = rows.decode_receipt(received)
        if (receipt.nonce, receipt.visible_ms) != (nonce, visible_ms) or visible_ms <= taking.now_ms:
            return False
        found.append((seq, receipt, rows.decode_message(message)))
    if attempt.expires_ms <= taking.now_ms:
        return False

    again: list[tuple[bytes, bytes, int]] = []
    for seq, receipt, row in found:
        await places.hide(tx, queue, seq, receipt, taking.hidden_until_ms)
        again.append((seq, receipt.nonce, taking.hidden_until_ms))
        taking.messages.append(delivery.shown(queue, seq, row, receipt, taking.inp))
    tx.set(key, rows.encode(rows.replace(attempt, taken=again)))
    return True


async def _remember(tx: Tx, taking: _Taking, attempt_id: str) -> None:
    born_id, hashed = taking.queue.born_id, delivery.attempt_hash(attempt_id)
    key = keys.remembered(born_id, "a", hashed)
    if (value := await tx.get(key)) is not None:
        tx.clear(keys.forget(born_id, rows.decode_attempt(value).expires_ms, "a", hashed))
    expires_ms = taking.now_ms + limits.ATTEMPT_MS
    taken = [(seq, receipt.nonce, receipt.visible_ms) for seq, receipt in taking.taken]
    tx.set(key, rows.encode(rows.AttemptRow(expires_ms, taken)))
    tx.set(keys.forget(born_id, expires_ms, "a", hashed), b"")


async def forget(tx: Tx, queue: QueueRow, now_ms: int, limit: int) -> int:
    """Remove deduplication and attempt ids that have expired; how many were."""
    page = await tx.get_range(*keys.forget_until(queue.born_id, now_ms + 1), limit=limit)
    for key, _ in page:
        _, kind, hashed = keys.forgets(key)
        tx.clear(key)
        tx.clear(keys.remembered(queue.born_id, kind, hashed))
    return len(page)
