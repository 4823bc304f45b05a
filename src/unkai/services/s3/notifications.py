"""Event notifications: written as tasks in the transaction of the change they tell of, delivered to SNS, SQS and Lambda.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import msgspec

from unkai.kernel.arn import Arn
from unkai.kernel.caller import service_caller
from unkai.kernel.clock import iso8601
from unkai.kernel.errors import AwsError
from unkai.kernel.tasks import Done, Finished, Retry, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.s3 import arns, buckets, errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx, Tx

log = logging.getLogger(__name__)

NOTIFY = "s3.notify"
"""The task kind that delivers one event to one destination."""
PRINCIPAL = "s3.amazonaws.com"
SETTING = "notification"
GIVE_UP_MS = 24 * 3600 * 1000
RETRY_MS_MIN = 1000
RETRY_MS_MAX = 5 * 60 * 1000
_KINDS = (
    ("TopicConfigurations", "TopicArn", "sns"),
    ("QueueConfigurations", "QueueArn", "sqs"),
    ("LambdaFunctionConfigurations", "LambdaFunctionArn", "lambda"),
)
_LATER_VERSION = ("Lifecycle", "ObjectTagging", "ObjectAcl")


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One event for one destination, as its task carries it. `stamp` becomes the sequencer: the order of commits."""

    destination: str
    configuration: str
    bucket: str
    account: str
    region: str
    name: str
    stamp: bytes
    key: str
    size: int
    etag: str
    version: str
    at_ms: int
    principal: str
    source_ip: str
    request_id: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


async def announce(ctx: Ctx, tx: Tx, bucket: BucketRow, name: str, key: str, row: ObjectRow) -> None:
    """Have everybody told who asked for this event, once the transaction has committed."""
    if SETTING not in bucket.has:
        return
    configuration = await buckets.read_setting(tx, bucket, SETTING)
    for each, arn, _ in _each(configuration or {}):
        if not _wants(each, name, key):
            continue
        event = Event(
            destination=arn,
            configuration=each["Id"],
            bucket=bucket.name,
            account=bucket.account,
            region=bucket.region,
            name=name,
            stamp=tx.stamp().mark,
            key=key,
            size=row.size,
            etag=row.etag,
            version=row.version if bucket.versioning else "",
            at_ms=ctx.now_ms,
            principal=ctx.caller.user_id or ctx.caller.account,
            source_ip=ctx.context.get("aws:SourceIp", ""),
            request_id=ctx.request_id,
        )
        add_task(ctx, tx, NOTIFY, _encode(event))


def _each(configuration: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every configuration with its destination's ARN and service."""
    for kind, member, service in _KINDS:
        for each in configuration.get(kind, ()):
            yield each, each[member], service


def _filters(each: Mapping[str, Any]) -> tuple[str, str]:
    rules = each.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    found = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return found.get("prefix", ""), found.get("suffix", "")


def _wants(each: Mapping[str, Any], name: str, key: str) -> bool:
    prefix, suffix = _filters(each)
    if not (key.startswith(prefix) and key.endswith(suffix)):
        return False
    family = f"s3:{name.partition(':')[0]}:*"
    return f"s3:{name}" in each["Events"] or family in each["Events"]


# --- configuration


async def put_bucket_notification_configuration(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Every destination is tried first. A death in between leaves the old configuration; a test event may have been sent."""
    bucket = await node.run(ctx, check_notifications, inp)
    if not inp.get("SkipDestinationValidation"):
        for _, arn, service in _each(inp["NotificationConfiguration"]):
            await _try_destination(ctx, node, bucket, arn, service)
    await node.run(ctx, set_notifications, inp)
    return {}


async def check_notifications(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, str]:
    """Refuse what can be refused without asking the destinations; the bucket's name, account and region."""
    bucket = await buckets.load(ctx, tx, inp)
    configuration = inp["NotificationConfiguration"]
    if "EventBridgeConfiguration" in configuration:
        raise errors.lacking("event notifications to EventBridge")
    seen: list[tuple[dict[str, Any], str]] = []
    ids: set[str] = set()
    for each, arn, service in _each(configuration):
        parsed = Arn.parse(arn)
        if parsed is None or parsed.service != service:
            raise errors.invalid_argument("The ARN could not be parsed", arn[:256])
        if parsed.region != bucket.region:
            raise errors.invalid_argument(
                "The notification destination service region is not valid for the bucket location constraint"
            )
        if each.get("Id") in ids:
            raise errors.invalid_argument("Same ID used for multiple configurations. IDs must be unique")
        ids.update({each["Id"]} if "Id" in each else ())
        _check_filter(each)
        for other, _ in seen:
            _check_overlap(each, other)
        seen.append((each, arn))
    return {"Name": bucket.name, "Account": bucket.account, "Region": bucket.region}


def _check_filter(each: Mapping[str, Any]) -> None:
    names = [rule["Name"].lower() for rule in each.get("Filter", {}).get("Key", {}).get("FilterRules", ())]
    if any(name not in ("prefix", "suffix") for name in names):
        raise errors.invalid_argument("filter rule name must be either prefix or suffix")
    if len(set(names)) != len(names):
        raise errors.invalid_argument(
            "Cannot specify more than one prefix rule in a filter."
            if names.count("prefix") > 1
            else "Cannot specify more than one suffix rule in a filter."
        )


def _check_overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    shared = any(
        a == b or (a.endswith("*") and b.startswith(a[:-1])) or (b.endswith("*") and a.startswith(b[:-1]))
        for a in one["Events"]
        for b in other["Events"]
    )
    (prefix, suffix), (other_prefix, other_suffix) = _filters(one), _filters(other)
    prefixes = prefix.startswith(other_prefix) or other_prefix.startswith(prefix)
    suffixes = suffix.endswith(other_suffix) or other_suffix.endswith(suffix)
    if shared and prefixes and suffixes:
        raise errors.invalid_argument(
            "Configurations overlap. Configurations on the same bucket cannot share a common event type."
        )


async def _try_destination(ctx: Ctx, node: Node, bucket: Mapping[str, str], arn: str, service: str) -> None:
    """Send the test event (Lambda gets none: AWS only asks whether it may invoke)."""
    text = json.dumps(
        {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": iso8601(ctx.now_ms),
            "Bucket": bucket["Name"],
            "RequestId": ctx.request_id,
            "HostId": ctx.request_id,
        }
    )
    caller = service_caller(PRINCIPAL, bucket["Account"], arns.arn_of(bucket["Name"]))
    operation, inp = _call(arn, service, text)
    if service == "lambda":
        inp = {"FunctionName": arn, "InvocationType": "DryRun"}
    try:
        await node.call(service, operation, inp, as_=caller, region=bucket["Region"])
    except AwsError as error:
        if not error.sender_fault:
            raise
        raise errors.invalid_argument(
            "Unable to validate the following destination configurations", arn, error.message
        ) from None


def _call(arn: str, service: str, text: str) -> tuple[str, dict[str, Any]]:
    """The operation that hands `text` to a destination, and its input."""
    if service == "sns":
        return "Publish", {"TopicArn": arn, "Subject": "Amazon S3 Notification", "Message": text}
    if service == "sqs":
        parsed = Arn.parse(arn)
        assert parsed is not None, "checked when it was configured"
        url = f"https://sqs.{parsed.region}.amazonaws.com/{parsed.account}/{parsed.resource}"
        return "SendMessage", {"QueueUrl": url, "MessageBody": text}
    return "Invoke", {"FunctionName": arn, "InvocationType": "Event", "Payload": text.encode()}


async def set_notifications(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    await check_notifications(ctx, tx, inp)
    bucket = await buckets.load(ctx, tx, inp)
    configuration = {
        kind: [
            each if "Id" in each else {**each, "Id": ctx.ids.uuid()} for each in inp["NotificationConfiguration"][kind]
        ]
        for kind, _, _ in _KINDS
        if inp["NotificationConfiguration"].get(kind)
    }
    if configuration:
        buckets.write_setting(tx, bucket, SETTING, configuration)
    else:
        buckets.clear_setting(tx, bucket, SETTING)


async def get_bucket_notification_configuration(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    return dict(await buckets.read_setting(tx, bucket, SETTING) or {})


# --- delivery


async def deliver(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Hand one event to its destination: exactly once inside SQS and SNS, at least once to Lambda, as AWS promises."""
    event = _decode(task.payload)
    parsed = Arn.parse(event.destination)
    assert parsed is not None, "checked when it was configured"
    caller = service_caller(PRINCIPAL, event.account, arns.arn_of(event.bucket))
    operation, inp = _call(event.destination, parsed.service, json.dumps({"Records": [record(event)]}))
    finishing = task.key if parsed.service in ("sqs", "sns") else None
    try:
        await node.call(parsed.service, operation, inp, as_=caller, region=parsed.region, finishing=finishing)
    except AwsError as error:
        # A destination that is gone or closed may come back; for a day it is tried.
        if node.clock.node_ms() - task.created_ms > GIVE_UP_MS:
            log.warning("a notification was given up", extra={"destination": event.destination, "code": error.code})
            return Done()
        return Retry(node.clock.node_ms() + min(RETRY_MS_MAX, RETRY_MS_MIN << min(task.attempt, 20)))
    return Finished() if finishing else Done()


def record(event: Event) -> dict[str, Any]:
    """The event as destinations read it."""
    entity: dict[str, Any] = {"key": quote_plus(event.key, safe="/")}
    if event.name.startswith(("ObjectCreated", "ObjectTagging")):
        entity |= {"size": event.size, "eTag": event.etag}
    if event.version:
        entity["versionId"] = event.version
    entity["sequencer"] = event.stamp.hex().upper()
    return {
        "eventVersion": "2.3" if event.name.startswith(_LATER_VERSION) else "2.1",
        "eventSource": "aws:s3",
        "awsRegion": event.region,
        "eventTime": iso8601(event.at_ms),
        "eventName": event.name,
        "userIdentity": {"principalId": event.principal},
        "requestParameters": {"sourceIPAddress": event.source_ip},
        "responseElements": {"x-amz-request-id": event.request_id, "x-amz-id-2": event.request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": event.configuration,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": {"principalId": arns.canonical_id(event.account)},
                "arn": arns.arn_of(event.bucket),
            },
            "object": entity,
        },
    }
