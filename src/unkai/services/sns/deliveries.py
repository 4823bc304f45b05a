"""Carrying out deliveries: to queues, functions and HTTP endpoints, with retries by node time and dead-letter queues.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html

A delivery to a queue ends its task in the transaction that sends the message, so it happens exactly once. One to a function or
to an HTTP endpoint happens at least once: if the process dies after the call, it is made again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.kernel.caller import service_caller
from unkai.kernel.errors import AwsError
from unkai.kernel.tasks import Done, Finished, Retry, TaskResult
from unkai.layers.outbound import OutboundError, OutboundRefused, post
from unkai.layers.tasks import add_task
from unkai.services.sns import limits, retries, rows, signing
from unkai.services.sns.envelopes import body_of, canonical, envelope, fields, lambda_event, sequence_number
from unkai.services.sns.fan_out import stamp_of

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.sns.rows import DeliveryRow
    from unkai.store.api import Tx

log = logging.getLogger(__name__)

PRINCIPAL = "sns.amazonaws.com"
USER_AGENT = "Amazon Simple Notification Service Agent"
SQS_ATTRIBUTES_MAX = 10
RETRYABLE = frozenset(
    {
        "ServiceUnavailable",
        "ServiceException",
        "InternalFailure",
        "InternalError",
        "ThrottlingException",
        "Throttling",
        "RequestThrottled",
        "TooManyRequestsException",
        "OverLimit",
        "EC2ThrottledException",
        "ResourceConflictException",
    }
)
"""Errors of the called service that may pass. All others are the subscriber's to mend: they are not tried again."""
ANSWER_OK = range(200, 300)
HTTP_SERVER_ERROR = 500
HTTP_TOO_MANY = 429


class Failed(Exception):
    """A delivery did not happen. `passes` says whether trying again may help."""

    def __init__(self, reason: str, *, passes: bool) -> None:
        super().__init__(reason)
        self.passes = passes


async def carry_sqs(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    delivery = _delivery(task, "sns.sqs")
    try:
        return await _send(ctx, node, task, delivery, delivery.endpoint)
    except Failed as failed:
        return await _failed(ctx, node, task, delivery, retries.MANAGED, failed)


async def carry_lambda(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    delivery = _delivery(task, "sns.lambda")
    try:
        await _invoke(ctx, node, delivery)
    except Failed as failed:
        return await _failed(ctx, node, task, delivery, retries.MANAGED, failed)
    return Done()


async def carry_http(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    delivery = _delivery(task, "sns.http")
    try:
        await _post(ctx, node, delivery)
    except Failed as failed:
        return await _failed(ctx, node, task, delivery, retries.http_retries(delivery.policy), failed)
    return Done()


async def carry_dead(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """What could not be delivered, to the subscription's dead-letter queue. A queue that refuses it loses it, as on AWS."""
    delivery = rows.decode_delivery(task.payload)
    try:
        return await _send(ctx, node, task, delivery, delivery.dead_letter)
    except Failed as failed:
        wait_ms = retries.delay_ms(retries.MANAGED, task.attempt + 1) if failed.passes else None
        if wait_ms is None:
            log.warning("dead-letter queue refused a message", extra={"subscription": delivery.subscription})
            return Done()
        return await _retry(ctx, node, task, wait_ms)


def _delivery(task: TaskView, kind: str) -> DeliveryRow:
    delivery = rows.decode_delivery(task.payload)
    if delivery.is_fifo and not delivery.sequence:
        sequence = sequence_number(stamp_of(task.key, kind), delivery.message.index)
        return msgspec.structs.replace(delivery, sequence=sequence)
    return delivery


async def _failed(
    ctx: Ctx, node: Node, task: TaskView, delivery: DeliveryRow, policy: retries.Retries, failed: Failed
) -> TaskResult:
    wait_ms = retries.delay_ms(policy, task.attempt + 1) if failed.passes else None
    if wait_ms is not None:
        return await _retry(ctx, node, task, wait_ms)
    log.info("delivery failed", extra={"subscription": delivery.subscription, "reason": str(failed)})
    if not delivery.dead_letter:
        return Done()
    await node.run(ctx, bury, {"Key": task.key, "Delivery": rows.encode(delivery)})
    return Finished()


async def _retry(ctx: Ctx, node: Node, task: TaskView, wait_ms: int) -> TaskResult:
    """Unless it did happen: the answer of a call may be lost after its transaction, which ended the task."""
    if not await node.run(ctx, is_there, {"Key": task.key}):
        return Finished()
    return Retry(node.clock.node_ms() + wait_ms)


async def is_there(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """On the writer, after everything that it was asked before."""
    return await tx.get(inp["Key"]) is not None


async def bury(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """The delivery's task becomes one for the dead-letter queue."""
    if await tx.get(inp["Key"]) is None:
        return
    tx.clear(inp["Key"])
    delivery = rows.decode_delivery(inp["Delivery"])
    group = f"{delivery.subscription}/{delivery.message.group}" if delivery.is_fifo else ""
    add_task(ctx, tx, "sns.dead", inp["Delivery"], group=group)


# --- the three ways


async def _send(ctx: Ctx, node: Node, task: TaskView, delivery: DeliveryRow, queue_arn: str) -> TaskResult:
    arn = Arn.parse(queue_arn)
    assert arn is not None, "Subscribe has checked it"
    message = delivery.message
    inp: dict[str, Any] = {
        "QueueUrl": f"/{arn.account}/{arn.resource}",
        "MessageBody": await _text(ctx, node, delivery),
    }
    if delivery.raw and message.attributes:
        if len(message.attributes) > SQS_ATTRIBUTES_MAX:
            raise Failed("SQS takes at most 10 message attributes", passes=False)
        inp["MessageAttributes"] = message.attributes
    if message.group:
        inp["MessageGroupId"] = message.group
    if arn.resource.endswith(".fifo"):
        # A confirmation and a dead letter of a standard subscription have neither group nor deduplication id.
        inp.setdefault("MessageGroupId", delivery.subscription.rpartition(":")[2])
        inp["MessageDeduplicationId"] = message.dedup or message.id
    if message.trace:
        inp["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": message.trace}}
    await _call(node, "sqs", "SendMessage", inp, delivery, arn.region, task.key)
    return Finished()


async def _invoke(ctx: Ctx, node: Node, delivery: DeliveryRow) -> None:
    arn = Arn.parse(delivery.endpoint)
    assert arn is not None, "Subscribe has checked it"
    payload = lambda_event(delivery, *await _signed(ctx, node, delivery))
    inp = {"FunctionName": delivery.endpoint, "InvocationType": "Event", "Payload": payload}
    await _call(node, "lambda", "Invoke", inp, delivery, arn.region, None)


async def _call(
    node: Node,
    service: str,
    operation: str,
    inp: dict[str, Any],
    delivery: DeliveryRow,
    region: str,
    finishing: bytes | None,
) -> None:
    """Call as SNS on the topic's behalf; the policy of the queue or function decides."""
    account = delivery.topic.split(":", 5)[4]
    caller = service_caller(PRINCIPAL, account, delivery.topic)
    try:
        await node.call(service, operation, inp, as_=caller, region=region, finishing=finishing)
    except AwsError as error:
        raise Failed(f"{error.code}: {error.message}", passes=error.code in RETRYABLE) from None


async def _post(ctx: Ctx, node: Node, delivery: DeliveryRow) -> None:
    headers = {
        "x-amz-sns-message-type": delivery.kind,
        "x-amz-sns-message-id": delivery.message.id,
        "x-amz-sns-topic-arn": delivery.topic,
        "Content-Type": delivery.content_type or retries.DEFAULT_CONTENT_TYPE,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "gzip,deflate",
    }
    if delivery.kind != "SubscriptionConfirmation":
        headers["x-amz-sns-subscription-arn"] = delivery.subscription
    if delivery.raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    body = (await _text(ctx, node, delivery)).encode()
    try:
        answer = await post(
            delivery.endpoint, headers, body, allowed=node.outbound_allowed, timeout_s=limits.OUTBOUND_TIMEOUT_S
        )
    except OutboundRefused as error:
        raise Failed(str(error), passes=False) from None
    except OutboundError as error:
        raise Failed(str(error), passes=True) from None
    if answer.status not in ANSWER_OK:
        passes = answer.status >= HTTP_SERVER_ERROR or answer.status == HTTP_TOO_MANY
        raise Failed(f"the endpoint answered {answer.status}", passes=passes)


async def _text(ctx: Ctx, node: Node, delivery: DeliveryRow) -> str:
    if delivery.raw:
        return body_of(delivery.message, delivery.protocol)
    return envelope(delivery, *await _signed(ctx, node, delivery))


async def _signed(ctx: Ctx, node: Node, delivery: DeliveryRow) -> tuple[dict[str, str], str, str]:
    """The envelope's fields, their signature and where its certificate is. FIFO topics do not sign."""
    signed = fields(delivery)
    if delivery.is_fifo:
        return signed, "", ""
    key = await signing.signing_key(ctx, node)
    signature = await signing.sign(key, delivery.signature_version, canonical(signed))
    return signed, signature, signing.certificate_url(delivery.message.base_url, key)
