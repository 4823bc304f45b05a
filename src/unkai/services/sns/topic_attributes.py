"""Which attributes a topic takes, and which values. Pure.

https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
https://docs.aws.amazon.com/sns/latest/dg/sns-topic-attributes.html (delivery status)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from unkai.services.sns import errors, limits, retries

if TYPE_CHECKING:
    from unkai.services.sns.rows import TopicRow

_STATUS_PROTOCOLS = ("HTTP", "Firehose", "Lambda", "Application", "SQS")
_ROLES = frozenset(
    f"{protocol}{outcome}FeedbackRoleArn" for protocol in _STATUS_PROTOCOLS for outcome in ("Success", "Failure")
)
_RATES = frozenset(f"{protocol}SuccessFeedbackSampleRate" for protocol in _STATUS_PROTOCOLS)
_FIFO_ONLY = frozenset({"ContentBasedDeduplication", "FifoThroughputScope", "ArchivePolicy"})
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"),
    "FifoThroughputScope": ("Topic", "MessageGroup"),
    "SignatureVersion": ("1", "2"),
    "TracingConfig": ("PassThrough", "Active"),
}
_MESSAGE_SIZE_MIN = 1024


def check_attribute(topic: TopicRow, name: str, value: str, where: str) -> None:
    """Refuse what SetTopicAttributes refuses. An empty value takes the attribute back. `where` goes before its name."""
    known = name in _CHOICES or name in _ROLES or name in _RATES or name in _FIFO_ONLY
    if not known and name not in ("DeliveryPolicy", "DisplayName", "KmsMasterKeyId", "MaximumMessageSize"):
        raise errors.invalid_parameter(f"{where}Unknown attribute {name[:64]}" if where else "AttributeName")
    if name in _FIFO_ONLY and not topic.is_fifo:
        raise errors.invalid_parameter(f"{where}{name}: is only supported for FIFO topics")
    if name == "ArchivePolicy" and value and value != "{}":
        raise errors.invalid_parameter(f"{where}ArchivePolicy: unkai keeps no archive of a topic's messages")
    if value == "":
        return
    if name in _CHOICES and value not in _CHOICES[name]:
        raise errors.invalid_parameter(f"{where}{name}: Invalid value [{value[:64]}].")
    if name in _RATES and not (value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= 100):
        raise errors.invalid_parameter(f"{where}{name}: must be a number from 0 to 100")
    if name in _ROLES and not value.startswith("arn:"):
        raise errors.invalid_parameter(f"{where}{name}: is an invalid arn")
    if name == "DisplayName" and len(value) > 100:
        raise errors.invalid_parameter(f"{where}DisplayName: must be at most 100 characters long")
    if name == "MaximumMessageSize":
        _check_size(value, where)
    if name == "DeliveryPolicy":
        retries.check_topic_policy(value, where)
    if len(value) > limits.POLICY_SIZE_BYTES_MAX:
        raise errors.invalid_parameter(f"{where}{name}: is too long")


def _check_size(value: str, where: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) <= 7):
        raise errors.invalid_parameter(f"{where}MaximumMessageSize: must be a number")
    if not _MESSAGE_SIZE_MIN <= int(value) <= limits.MESSAGE_SIZE_BYTES_MAX:
        raise errors.invalid_parameter(f"{where}MaximumMessageSize: must be from 1024 to 1048576")


def size_bytes_max(topic: TopicRow) -> int:
    return int(topic.attributes.get("MaximumMessageSize", limits.MESSAGE_SIZE_BYTES_DEFAULT))


def redrive_target(policy: str) -> str:
    """The queue of a RedrivePolicy, or an empty text."""
    target: str = json.loads(policy)["deadLetterTargetArn"] if policy else ""
    return target
