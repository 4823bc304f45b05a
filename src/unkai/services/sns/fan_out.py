"""From one message to its deliveries: which subscriptions match, and one task for each, in the transaction that publishes.

A topic with few subscriptions is served by the publishing transaction itself. Where there are more than PAGE of them, or the
copies are large, it writes one fan-out task instead, which goes through the subscriptions page by page and keeps its place in its
own row: each page is one transaction, so each subscription is served exactly once, whatever crashes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.tasks import Finished, TaskResult
from unkai.layers import tasks
from unkai.layers.tasks import add_task
from unkai.services.sns import keys, limits, retries, rows
from unkai.services.sns.envelopes import NOTIFICATION, body_of, sequence_number
from unkai.services.sns.filter_policy import ATTRIBUTES, BODY, attribute_values, compile_filter, parse_json
from unkai.services.sns.topic_attributes import redrive_target, size_bytes_max
from unkai.store.api import STAMP_SIZE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.sns.rows import DeliveryRow, MessageRow, SubscriptionRow, TopicRow
    from unkai.store.api import Tx

FAN_OUT = "sns.fan_out"
DELIVERY_KINDS = {"sqs": "sns.sqs", "lambda": "sns.lambda", "http": "sns.http", "https": "sns.http"}
"""The task kind by protocol: a slow one does not hold up another."""
PAGE = 100
TASK_PAGE = 1000
DIRECT_SIZE_BYTES_MAX = 30 * 1024 * 1024
"""What one transaction writes for its deliveries; the store takes 32 MiB."""
ROW_SIZE_BYTES = 2048
"""About what a delivery adds to its message."""


def size_of(message: MessageRow) -> int:
    """About what one copy takes in the store."""
    by_protocol = sum(len(text.encode()) for text in message.by_protocol.values())
    attributes = sum(
        len(name.encode()) + len(value.get("StringValue", "").encode()) + len(value.get("BinaryValue", b""))
        for name, value in message.attributes.items()
    )
    return ROW_SIZE_BYTES + len(message.body.encode()) + by_protocol + attributes


class Candidate:
    """A message as filters look at it; its parts are made when the first filter asks for them."""

    __slots__ = ("_bodies", "_values", "message")

    def __init__(self, message: MessageRow) -> None:
        self.message = message
        self._values: dict[str, Any] | None = None
        self._bodies: dict[str, Any] = {}

    def matches(self, subscription: SubscriptionRow) -> bool:
        text = subscription.attributes.get("FilterPolicy")
        if text is None:
            return True
        scope = subscription.attributes.get("FilterPolicyScope", ATTRIBUTES)
        test = compile_filter(text, scope)
        if scope != BODY:
            if self._values is None:
                self._values = attribute_values(self.message.attributes)
            return test(self._values)
        protocol = subscription.protocol
        if protocol not in self._bodies:
            self._bodies[protocol] = parse_json(body_of(self.message, protocol))
        body = self._bodies[protocol]
        # A body that is no JSON object matches no filter on bodies.
        return type(body) is dict and test(body)


def delivery_of(
    topic: TopicRow,
    subscription: SubscriptionRow,
    message: MessageRow,
    *,
    kind: str = NOTIFICATION,
    token: str = "",
    sequence: str = "",
) -> DeliveryRow:
    attributes = subscription.attributes
    policy = content_type = ""
    if subscription.protocol in ("http", "https"):
        policy, content_type = _http_policy(
            topic.attributes.get("DeliveryPolicy", ""), attributes.get("DeliveryPolicy", "")
        )
    return rows.DeliveryRow(
        kind=kind,
        topic=topic.arn,
        subscription=f"{topic.arn}:{subscription.id}",
        protocol=subscription.protocol,
        endpoint=subscription.endpoint,
        message=message,
        raw=kind == NOTIFICATION and attributes.get("RawMessageDelivery") == "true",
        signature_version=topic.attributes.get("SignatureVersion", "1"),
        is_fifo=topic.is_fifo,
        sequence=sequence,
        dead_letter=redrive_target(attributes.get("RedrivePolicy", "")) if kind == NOTIFICATION else "",
        policy=policy,
        content_type=content_type,
        token=token,
    )


@lru_cache(maxsize=1024)
def _http_policy(topic_text: str, text: str) -> tuple[str, str]:
    """The retry policy as JSON, and the content type; empty where they are AWS's defaults."""
    if not topic_text and not text:
        return "", ""
    effective = retries.effective_subscription_policy(topic_text, text)
    policy = msgspec.json.encode(effective["healthyRetryPolicy"]).decode()
    return policy, effective["requestPolicy"]["headerContentType"]


def add_deliveries(
    ctx: Ctx, tx: Tx, topic: TopicRow, message: MessageRow, page: Sequence[SubscriptionRow], sequence: str = ""
) -> None:
    """One task for each subscription of `page` that matches. On FIFO topics a subscription gets a group's messages in order."""
    candidate = Candidate(message)
    for subscription in page:
        if subscription.state == rows.CONFIRMED and candidate.matches(subscription):
            delivery = delivery_of(topic, subscription, message, sequence=sequence)
            group = f"{subscription.id}/{message.group}" if topic.is_fifo else ""
            add_task(ctx, tx, DELIVERY_KINDS[subscription.protocol], rows.encode(delivery), group=group)


@lru_cache(maxsize=2048)
def _decoded(value: bytes) -> SubscriptionRow:
    return rows.decode_subscription(value)


async def first_page(tx: Tx, topic: TopicRow) -> list[SubscriptionRow] | None:
    """All subscriptions of a topic that has at most PAGE of them; None for more."""
    pairs = await tx.get_range(*keys.subscriptions(topic.id), limit=PAGE + 1)
    return [_decoded(value) for _, value in pairs] if len(pairs) <= PAGE else None


def fan_out(
    ctx: Ctx, tx: Tx, topic: TopicRow, messages: Sequence[MessageRow], page: list[SubscriptionRow] | None
) -> None:
    """Write what delivers `messages`, which are published together.

    A FIFO topic takes one way for all its messages, whatever their size, since the two ways have no common order.
    """
    if topic.is_fifo:
        size = limits.BATCH_ENTRIES_MAX * ROW_SIZE_BYTES + size_bytes_max(topic)
    else:
        size = sum(size_of(message) for message in messages)
    is_direct = page is not None and len(page) * size <= DIRECT_SIZE_BYTES_MAX
    for message in messages:
        if is_direct and page is not None:
            add_deliveries(ctx, tx, topic, message, page)
        else:
            row = rows.FanOutRow(topic.id, topic.account, topic.region, topic.name, message)
            group = f"{topic.arn}/{message.group}" if topic.is_fifo else ""
            add_task(ctx, tx, FAN_OUT, rows.encode(row), group=group)


async def carry_fan_out(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Serve page after page. If the process dies between two of them, the next one goes on where the row says."""
    while await node.run(ctx, serve_page, {"Key": task.key}):
        pass
    return Finished()


async def serve_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Write the deliveries of one page and the place of the next; whether there is one. The last page ends the task."""
    key: bytes = inp["Key"]
    value = await tx.get(key)
    if value is None:
        return False
    task = tasks.decode(value)
    row = rows.decode_fan_out(task.payload)
    topic_value = await tx.get(keys.topic(row.account, row.region, row.name))
    topic = rows.decode_topic(topic_value) if topic_value is not None else None
    if topic is None or topic.id != row.topic_id:
        tx.clear(key)  # the topic was deleted meanwhile, and its subscriptions with it
        return False
    limit = max(1, min(TASK_PAGE, DIRECT_SIZE_BYTES_MAX // size_of(row.message)))
    begin, end = keys.subscriptions(topic.id)
    if row.after:
        begin = keys.subscription(topic.id, row.after) + b"\0"
    pairs = await tx.get_range(begin, end, limit=limit)
    page = [rows.decode_subscription(value) for _, value in pairs]

    sequence = sequence_number(stamp_of(key, FAN_OUT), row.message.index) if topic.is_fifo else ""
    add_deliveries(ctx, tx, topic, row.message, page, sequence)
    if len(pairs) < limit:
        tx.clear(key)
        return False
    rest = msgspec.structs.replace(row, after=page[-1].id)
    tx.set(key, tasks.encode(msgspec.structs.replace(task, payload=rows.encode(rest))))
    return True


def stamp_of(key: bytes, kind: str) -> bytes:
    """The stamp of the commit that wrote a task."""
    at = len(tasks.lane_prefix(kind)) + 8
    return key[at : at + STAMP_SIZE_BYTES]
