"""Asynchronous invocation: an event is a task until it has succeeded or failed for good; what follows from that are tasks again.

A function's error is tried again after one and two minutes; throttles and the platform's own failures until the event is too
old. Each step from one state of an event to the next is one transaction that ends the old task and writes the new ones.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel import functions
from unkai.kernel.arn import Arn
from unkai.kernel.errors import AwsError
from unkai.kernel.functions import Invocation
from unkai.kernel.tasks import Done, Finished, Retry, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.lambda_ import keys, limits, loading, records, running
from unkai.services.lambda_.names import FunctionRef
from unkai.services.lambda_.sessions import role_session

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.lambda_.running import Chosen
    from unkai.store.api import Tx

log = logging.getLogger(__name__)

INVOKE = "lambda.invoke"
DELIVER = "lambda.deliver"


class Event(msgspec.Struct, frozen=True, array_like=True):
    """An accepted asynchronous invocation. `failures` counts the function's errors, `runs` all tries that reached it."""

    account: str
    region: str
    name: str
    qualifier: str
    payload: bytes
    request_id: str
    accepted_ms: int
    trace: str = ""
    client_context: str = ""
    failures: int = 0
    runs: int = 0
    delays: int = 0

    @property
    def ref(self) -> FunctionRef:
        return FunctionRef(self.account, self.region, self.name, self.qualifier)


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """A record or a dead letter on its way to `target`, with the right of the function's role."""

    target: str
    body: str
    attributes: dict[str, Any]
    role: str
    account: str
    region: str
    name: str


class Rules(msgspec.Struct, frozen=True, array_like=True):
    """What is configured for events of one qualifier."""

    attempts: int
    age_ms: int
    on_success: str = ""
    on_failure: str = ""
    dead_letter: str = ""
    role: str = ""


_encode = msgspec.msgpack.Encoder().encode


async def rules_of(ctx: Ctx, tx: Tx, inp: list[str]) -> Rules | None:
    """A step that only reads; None where the function or its qualifier is gone."""
    ref = FunctionRef(*inp)
    function = await loading.find(tx, ref)
    if function is None:
        return None
    try:
        version, _ = await loading.resolve(tx, function, ref)
    except AwsError:
        return None
    setting = await loading.get_setting(tx, function, keys.EVENT, ref.qualifier)
    value = setting.value if setting is not None else {}
    destinations = value.get("DestinationConfig", {})
    return Rules(
        value.get("MaximumRetryAttempts", limits.RETRY_ATTEMPTS),
        value.get("MaximumEventAgeInSeconds", limits.EVENT_AGE_S_MAX) * 1000,
        destinations.get("OnSuccess", {}).get("Destination", ""),
        destinations.get("OnFailure", {}).get("Destination", ""),
        version.config.get("DeadLetterConfig", {}).get("TargetArn", ""),
        version.config["Role"],
    )


async def carry_invoke(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """A crash before the last transaction runs the function again; one after it has nothing left to do."""
    event = msgspec.msgpack.decode(task.payload, type=Event)
    ref = event.ref
    rules: Rules | None = await node.run(ctx, rules_of, [ref.account, ref.region, ref.name, ref.qualifier])
    if rules is None:
        return Done()  # the function was deleted, and its events with it
    now_ms = node.clock.node_ms()
    if now_ms - event.accepted_ms > rules.age_ms:
        await _end(ctx, node, task, event, rules, records.AGE_EXCEEDED)
        return Finished()
    try:
        chosen: Chosen = await node.run(
            ctx,
            running.choose,
            {"Ref": [ref.account, ref.region, ref.name, ref.qualifier], "RequestId": event.request_id},
        )
        running.check_reserved(chosen)
        spec = await running.spec_of(node, chosen)
        result = await node.runner.invoke(
            spec,
            Invocation(event.request_id, event.payload, ref.qualified_arn, event.trace, event.client_context),
        )
    except (AwsError, functions.TooManyRequests, functions.RuntimeUnavailable) as error:
        log.info("an event waits", extra={"function": ref.arn, "why": str(error)})
        return await _wait(ctx, node, task, event, rules)
    except (functions.InvalidCode, functions.UnknownRuntime) as error:
        answer = {"errorMessage": str(error), "errorType": type(error).__name__}
        return await _failed(ctx, node, task, event, rules, chosen, "Unhandled", msgspec.json.encode(answer))
    if result.function_error:
        return await _failed(ctx, node, task, event, rules, chosen, result.function_error, result.payload)
    event = msgspec.structs.replace(event, runs=event.runs + 1)
    await _end(ctx, node, task, event, rules, records.SUCCESS, chosen, response=result.payload)
    return Finished()


async def _wait(ctx: Ctx, node: Node, task: TaskView, event: Event, rules: Rules) -> TaskResult:
    """Throttled, or the platform failed: again after 1 s, doubling up to 5 minutes, until the event is too old."""
    delay_ms = min(limits.THROTTLE_DELAY_MS_MAX, limits.THROTTLE_DELAY_MS_MIN << min(event.delays, 20))
    due_ms = min(node.clock.node_ms() + delay_ms, event.accepted_ms + rules.age_ms + 1)
    later = msgspec.structs.replace(event, delays=event.delays + 1)
    await node.run(ctx, put_off, {"Key": task.key, "Event": _encode(later), "DueMs": due_ms})
    return Finished()


async def _failed(
    ctx: Ctx,
    node: Node,
    task: TaskView,
    event: Event,
    rules: Rules,
    chosen: Chosen,
    error: str,
    response: bytes,
) -> TaskResult:
    event = msgspec.structs.replace(event, failures=event.failures + 1, runs=event.runs + 1, delays=0)
    if event.failures <= rules.attempts:
        due_ms = node.clock.node_ms() + limits.RETRY_DELAYS_MS[event.failures - 1]
        if due_ms - event.accepted_ms <= rules.age_ms:
            await node.run(ctx, put_off, {"Key": task.key, "Event": _encode(event), "DueMs": due_ms})
            return Finished()
        await _end(ctx, node, task, event, rules, records.AGE_EXCEEDED, chosen, error, response)
        return Finished()
    await _end(ctx, node, task, event, rules, records.RETRIES_EXHAUSTED, chosen, error, response)
    return Finished()


async def put_off(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """The event's next try, in place of its task: both or neither."""
    if await tx.get(inp["Key"]) is None:
        return  # a second incarnation of the lane was faster
    tx.clear(inp["Key"])
    add_task(ctx, tx, INVOKE, inp["Event"], due_ms=inp["DueMs"])


async def _end(
    ctx: Ctx,
    node: Node,
    task: TaskView,
    event: Event,
    rules: Rules,
    condition: str,
    chosen: Chosen | None = None,
    error: str = "",
    response: bytes | None = None,
) -> None:
    """The event is over: its task goes, and what is to be told becomes tasks, in one transaction."""
    deliveries: list[bytes] = []
    target = rules.on_success if condition == records.SUCCESS else rules.on_failure
    ref = event.ref
    rest = (rules.role, ref.account, ref.region, ref.name)
    if target:
        record = records.destination_record(
            event,
            condition=condition,
            now_ms=node.clock.node_ms(),
            arn=f"{ref.arn}:{ref.qualifier or '$LATEST'}",
            version=chosen.version.version if chosen is not None else "",
            error=error,
            response=response,
        )
        deliveries.append(_encode(Delivery(target, records.text_of(record), {}, *rest)))
    if rules.dead_letter and condition != records.SUCCESS:
        body = event.payload.decode(errors="replace")
        attributes = records.dead_letter_attributes(event, response)
        deliveries.append(_encode(Delivery(rules.dead_letter, body, attributes, *rest)))
    await node.run(ctx, finish_event, {"Key": task.key, "Deliveries": deliveries})


async def finish_event(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    if await tx.get(inp["Key"]) is None:
        return  # a second incarnation of the lane was faster
    tx.clear(inp["Key"])
    for delivery in inp["Deliveries"]:
        add_task(ctx, tx, DELIVER, delivery)


def _call(delivery: Delivery, parsed: Arn) -> tuple[str, str, dict[str, Any]]:
    if parsed.service == "sqs":
        url = f"https://sqs.{parsed.region}.amazonaws.com/{parsed.account}/{parsed.resource}"
        inp: dict[str, Any] = {"QueueUrl": url, "MessageBody": delivery.body}
        return "sqs", "SendMessage", inp | ({"MessageAttributes": delivery.attributes} if delivery.attributes else {})
    if parsed.service == "sns":
        inp = {"TopicArn": delivery.target, "Message": delivery.body}
        return "sns", "Publish", inp | ({"MessageAttributes": delivery.attributes} if delivery.attributes else {})
    inp = {"FunctionName": delivery.target, "InvocationType": "Event", "Payload": delivery.body.encode()}
    return "lambda", "Invoke", inp


async def carry_delivery(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """The task ends in the transaction that delivers, so it arrives exactly once. A target that refuses gets nothing, as on AWS,
    where a metric (DestinationDeliveryFailures, DeadLetterErrors) is all that tells of it."""
    delivery = msgspec.msgpack.decode(task.payload, type=Delivery)
    parsed = Arn.parse(delivery.target)
    if parsed is None:
        return Done()
    arn = FunctionRef(delivery.account, delivery.region, delivery.name).arn
    service, operation, inp = _call(delivery, parsed)
    try:
        session = await role_session(node, delivery.role, delivery.account, delivery.region, delivery.name, arn)
        await node.call(
            service, operation, inp, as_=session.caller, region=parsed.region or ctx.region, finishing=task.key
        )
    except AwsError as error:
        transient = not error.sender_fault and error.code != "NotImplemented"
        if transient or "Throttl" in error.code or error.code == "TooManyRequestsException":
            delay_ms = min(limits.THROTTLE_DELAY_MS_MAX, limits.THROTTLE_DELAY_MS_MIN << min(task.attempt, 20))
            return Retry(node.clock.node_ms() + delay_ms)
        log.warning("not delivered", extra={"function": arn, "target": delivery.target, "why": error.code})
        return Done()
    return Finished()
