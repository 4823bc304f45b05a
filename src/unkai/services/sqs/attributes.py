"""The attributes of queues: which there are, what they may be, what they are where nobody set them.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
Attributes are kept and compared as text, as AWS does; those that hold JSON are kept in one form, so that Terraform, which
writes maxReceiveCount as text in some versions and as a number in others, reads back what it compares with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.policy.document import parse
from unkai.services.sqs import errors, limits, redrive_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.services.sqs.rows import QueueRow

DEFAULTS = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": str(limits.MESSAGE_SIZE_BYTES_MAX),
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}
FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
NUMBER_RANGES = {
    "VisibilityTimeout": (0, limits.VISIBILITY_S_MAX),
    "MaximumMessageSize": (1024, limits.MESSAGE_SIZE_BYTES_MAX),
    "MessageRetentionPeriod": (60, 1_209_600),
    "DelaySeconds": (0, limits.DELAY_S_MAX),
    "ReceiveMessageWaitTimeSeconds": (0, limits.WAIT_S_MAX),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
BOOLEANS = frozenset({"SqsManagedSseEnabled", "ContentBasedDeduplication", "FifoQueue"})
CHOICES = {
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
# An empty text removes these. Terraform sends it for what has left a configuration.
REMOVABLE = frozenset({"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"})
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
READABLE = frozenset({*DEFAULTS, *FIFO_DEFAULTS, *NUMBER_RANGES, *REMOVABLE, *COUNTS}) | {
    "All",
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
}


def number(queue: QueueRow, name: str) -> int:
    """A numeric attribute, or its default."""
    return int(queue.attributes.get(name) or DEFAULTS[name])


def checked(given: Mapping[str, str], *, fifo: bool, creating: bool = False) -> dict[str, str]:
    """`given` in the form in which it is kept. Raises what CreateQueue and SetQueueAttributes raise."""
    kept = {name: _checked(name, value, fifo=fifo) for name, value in given.items()}
    if "FifoQueue" in given and (not fifo or kept["FifoQueue"] != "true"):
        if fifo and not creating:
            raise errors.invalid_attribute_value("FifoQueue", "Modifying queue type is not supported.")
        raise errors.invalid_attribute_name("FifoQueue")
    if kept.get("KmsMasterKeyId") and kept.get("SqsManagedSseEnabled") == "true":
        raise errors.invalid_attribute_value(
            "SqsManagedSseEnabled", "You can use one type of server-side encryption (SSE) at one time."
        )
    return kept


def _checked(name: str, value: str, *, fifo: bool) -> str:
    if name in CHOICES and not fifo:
        raise errors.only_fifo(name)
    if name == "ContentBasedDeduplication" and not fifo:
        raise errors.invalid_attribute_name(name)
    if name in NUMBER_RANGES:
        low, high = NUMBER_RANGES[name]
        if not (value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high):
            raise errors.invalid_attribute_value(name)
        return str(int(value))
    if name in BOOLEANS:
        if value.lower() not in ("true", "false"):
            raise errors.invalid_attribute_value(name)
        return value.lower()
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise errors.invalid_attribute_value(name)
        return value
    if name not in REMOVABLE:
        raise errors.invalid_attribute_name(name)
    if not value:
        return ""
    if name == "Policy":
        check_policy(value)
    elif name == "RedrivePolicy":
        return redrive_policy.normalized(value)
    elif name == "RedriveAllowPolicy":
        redrive_policy.parse_allow(value)
    elif len(value) > 2048:
        raise errors.invalid_attribute_value(name)
    return value


def check_policy(text: str) -> None:
    """What is not a policy that could be evaluated is refused when it is set, not when it is needed."""
    try:
        parse(text, "resource")
    except AwsError as error:
        raise errors.invalid_attribute_value("Policy", error.message) from None


def check_together(attributes: Mapping[str, str]) -> None:
    """High throughput needs a deduplication scope of the message group.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html"""
    high_throughput = attributes.get("FifoThroughputLimit") == "perMessageGroupId"
    if high_throughput and attributes.get("DeduplicationScope") != "messageGroup":
        raise errors.invalid_attribute_value(
            "FifoThroughputLimit",
            "The value perMessageGroupId is allowed only when the value for DeduplicationScope is messageGroup.",
        )


def changed(queue: QueueRow, kept: Mapping[str, str]) -> dict[str, str]:
    """The queue's attributes after `kept` was set."""
    merged = {**queue.attributes, **kept}
    if kept.get("KmsMasterKeyId"):
        merged["SqsManagedSseEnabled"] = "false"
    elif kept.get("SqsManagedSseEnabled") == "true":
        merged.pop("KmsMasterKeyId", None)
    merged = {name: value for name, value in merged.items() if value}
    check_together(merged)
    return merged


def shown(queue: QueueRow) -> dict[str, str]:
    """All that GetQueueAttributes shows but the counts."""
    attributes = dict(DEFAULTS)
    if queue.fifo:
        attributes |= FIFO_DEFAULTS
    attributes |= queue.attributes
    if "KmsMasterKeyId" in attributes:
        attributes.setdefault("KmsDataKeyReusePeriodSeconds", "300")
    attributes["QueueArn"] = queue.arn
    attributes["CreatedTimestamp"] = str(queue.created_ms // 1000)
    attributes["LastModifiedTimestamp"] = str(queue.modified_ms // 1000)
    return attributes
