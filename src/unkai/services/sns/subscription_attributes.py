"""Which attributes a subscription takes, and which values. Pure.

https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.services.sns import errors, limits, retries
from unkai.services.sns.conditions import FilterError
from unkai.services.sns.filter_policy import ATTRIBUTES, SCOPES, NestedFilter, compile_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.services.sns.rows import TopicRow

NAMES = frozenset(
    {
        "DeliveryPolicy",
        "FilterPolicy",
        "FilterPolicyScope",
        "RawMessageDelivery",
        "RedrivePolicy",
        "SubscriptionRoleArn",
        "ReplayPolicy",
    }
)
RAW_PROTOCOLS = ("sqs", "http", "https", "firehose")
EMPTY_FILTERS = ("", "{}")


def with_attributes(
    topic: TopicRow, protocol: str, endpoint: str, old: Mapping[str, str], given: Mapping[str, str], where: str
) -> dict[str, str]:
    """The attributes after a change, or AWS's refusal. `where` goes before the attribute's name (Subscribe says Reason)."""
    out = dict(old)
    for name, value in given.items():
        if name not in NAMES:
            raise errors.invalid_parameter(f"{where}Unknown attribute {name[:64]}" if where else "AttributeName")
        _check(topic, protocol, endpoint, name, value, where)
        if value == "" or (name == "FilterPolicy" and value in EMPTY_FILTERS):
            out.pop(name, None)
        else:
            out[name] = value.lower() if name == "RawMessageDelivery" else value
    if "FilterPolicy" in out and ("FilterPolicy" in given or "FilterPolicyScope" in given):
        _check_filter(out["FilterPolicy"], out.get("FilterPolicyScope", ATTRIBUTES), where)
    return out


def _check(topic: TopicRow, protocol: str, endpoint: str, name: str, value: str, where: str) -> None:
    if name == "RawMessageDelivery":
        if value.lower() not in ("true", "false"):
            raise errors.invalid_parameter(f"{where}{name}: Invalid value [{value[:64]}]. Must be true or false.")
        if value.lower() == "true" and protocol not in RAW_PROTOCOLS:
            raise errors.invalid_parameter(
                f"{where}{name}: Delivery protocol [{protocol}] does not support raw message delivery."
            )
    elif name == "FilterPolicyScope" and value not in ("", *SCOPES):
        raise errors.invalid_parameter(
            f"{where}{name}: Invalid value [{value[:64]}]. Please use either MessageBody or MessageAttributes"
        )
    elif name == "RedrivePolicy" and value:
        _check_redrive(topic, endpoint, value, where)
    elif name == "DeliveryPolicy" and value:
        if protocol not in ("http", "https"):
            raise errors.invalid_parameter(f"{where}{name}: is only supported for http and https subscriptions")
        retries.check_subscription_policy(value, where)
    elif name == "ReplayPolicy" and value:
        raise errors.invalid_parameter(f"{where}{name}: unkai keeps no archive of a topic's messages")


def _check_redrive(topic: TopicRow, endpoint: str, value: str, where: str) -> None:
    try:
        policy: Any = json.loads(value)
    except (ValueError, RecursionError):
        raise errors.invalid_parameter(f"{where}RedrivePolicy: failed to parse JSON.") from None
    target = policy.get("deadLetterTargetArn") if isinstance(policy, dict) else None
    arn = Arn.parse(target) if isinstance(target, str) else None
    if arn is None or arn.service != "sqs" or ":" in arn.resource:
        raise errors.invalid_parameter(f"{where}RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if topic.is_fifo and endpoint.endswith(".fifo") and not arn.resource.endswith(".fifo"):
        raise errors.invalid_parameter(
            f"{where}RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
        )


def _check_filter(text: str, scope: str, where: str) -> None:
    if len(text.encode()) > limits.FILTER_SIZE_BYTES_MAX:
        raise errors.filter_policy_too_large()
    try:
        compile_filter(text, scope)
    except NestedFilter as error:
        raise errors.invalid_parameter(str(error)) from None
    except FilterError as error:
        raise errors.invalid_parameter(f"{where}FilterPolicy: {error}") from None


def check_endpoint(topic: TopicRow, protocol: str, endpoint: str) -> None:
    """Refuse a protocol that is none, or an endpoint that is not of its protocol."""
    if protocol in ("sms", "email", "email-json", "application", "firehose"):
        raise errors.protocol_not_delivered(protocol)
    if protocol not in ("sqs", "lambda", "http", "https"):
        raise errors.invalid_parameter(f"Amazon SNS does not support this protocol string: {protocol[:64]}")
    if not endpoint:
        raise errors.invalid_parameter("Endpoint Reason: no value for required parameter")
    if len(endpoint) > limits.ENDPOINT_CHARS_MAX:
        raise errors.invalid_parameter("Endpoint Reason: must be at most 2048 characters long")
    if protocol in ("http", "https"):
        if not endpoint.startswith(f"{protocol}://") or len(endpoint) <= len(protocol) + 3:
            raise errors.invalid_parameter("Endpoint must match the specified protocol")
        if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
            raise errors.invalid_parameter("Endpoint")
        if topic.is_fifo:
            raise errors.invalid_parameter("Invalid parameter: Endpoint Reason: Please use FIFO SQS queue")
        return
    arn = Arn.parse(endpoint)
    if arn is None or not arn.region or not arn.account or arn.service != protocol:
        raise errors.invalid_parameter("SQS endpoint ARN" if protocol == "sqs" else "Lambda endpoint ARN")
    if protocol == "lambda" and not arn.resource.startswith("function:"):
        raise errors.invalid_parameter("Lambda endpoint ARN")
    if protocol == "sqs" and ":" in arn.resource:
        raise errors.invalid_parameter("SQS endpoint ARN")
    if protocol == "lambda" and topic.is_fifo:
        raise errors.invalid_parameter("Invalid parameter: Endpoint Reason: Please use FIFO SQS queue")
    if protocol == "sqs" and not topic.is_fifo and arn.resource.endswith(".fifo"):
        raise errors.invalid_parameter(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
        )
