"""Messages of standard queues."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


# A message comes back as it was sent, with the MD5 that clients check, and is hidden from others meanwhile.
def test_send_receive_delete(sqs: Any, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="grüße")
    assert sent["MD5OfMessageBody"] == hashlib.md5("grüße".encode()).hexdigest()

    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "grüße"
    assert message["MessageId"] == sent["MessageId"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert count(sqs, queue) == (0, 0, 0)


def count(sqs: Any, queue: str) -> tuple[int, int, int]:
    """Visible, in flight, delayed."""
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    names = ("", "NotVisible", "Delayed")
    return tuple(int(attributes[f"ApproximateNumberOfMessages{name}"]) for name in names)  # type: ignore[return-value]


# What is not deleted within its visibility timeout comes back with a new receipt handle and a higher receive count.
def test_visibility_timeout(sqs: Any, queue: str, advance: Callable[[float], None]) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="again")
    (first,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=60)["Messages"]
    assert count(sqs, queue) == (0, 1, 0)

    advance(59)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    advance(1)
    (second,) = sqs.receive_message(QueueUrl=queue, AttributeNames=["All"])["Messages"]
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


# Deleting with the handle of an earlier receive succeeds, as AWS documents, but the message may stay. Here it stays.
def test_delete_with_an_old_receipt_handle(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="kept")
    (first,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
    (second,) = sqs.receive_message(QueueUrl=queue)["Messages"]

    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    assert count(sqs, queue) == (0, 1, 0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])
    assert count(sqs, queue) == (0, 0, 0)


# A timeout of 0 makes a message visible at once, but one receive never gives the same message twice.
def test_receive_with_timeout_0_gives_each_message_once(sqs: Any, queue: str) -> None:
    for body in "abc":
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)["Messages"]
    assert sorted(message["Body"] for message in messages) == ["a", "b", "c"]


# ChangeMessageVisibility counts from now; with 0 the message is back at once. Afterwards it is not in flight any more.
def test_change_visibility(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
    with pytest.raises(ClientError, match="not in flight"):
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=10)
    assert len(sqs.receive_message(QueueUrl=queue)["Messages"]) == 1


# DelaySeconds hides a new message from everybody for that long.
def test_delay(sqs: Any, queue: str, advance: Callable[[float], None]) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=100)
    assert count(sqs, queue) == (0, 0, 1)
    advance(100)
    assert len(sqs.receive_message(QueueUrl=queue)["Messages"]) == 1


# What outlives MessageRetentionPeriod is never received, whoever has received it before.
def test_retention(sqs: Any, name: str, advance: Callable[[float], None]) -> None:
    queue = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    advance(60)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    assert count(sqs, queue) == (0, 0, 0)


# Each wrong input gets AWS's code; these are what SDK users match on.
@pytest.mark.parametrize(
    ("inp", "code"),
    [
        ({"MessageBody": ""}, "MissingParameter"),
        ({"MessageBody": "a\x00b"}, "InvalidMessageContents"),
        ({"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ({"MessageBody": "x" * (1024 * 1024 + 1)}, "InvalidParameterValue"),
    ],
)
def test_refused_messages(sqs: Any, queue: str, inp: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        sqs.send_message(QueueUrl=queue, **inp)
    assert refused.value.response["Error"]["Code"] == code
    assert count(sqs, queue) == (0, 0, 0)


# A receipt handle is opaque; one that we never made is refused as such.
@pytest.mark.parametrize("handle", ["", "nonsense", "AAAA" * 20])
def test_invalid_receipt_handle(sqs: Any, queue: str, handle: str) -> None:
    with pytest.raises(ClientError) as refused:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    assert refused.value.response["Error"]["Code"] == "ReceiptHandleIsInvalid"


# The largest message that AWS takes since August 2025 is 1 MiB, and it arrives whole.
def test_largest_message(sqs: Any, queue: str) -> None:
    body = "ü" * (512 * 1024)
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == body
