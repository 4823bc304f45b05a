"""Batches: up to ten entries, each of which succeeds or fails by itself, and what fails them as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

MIB = 1024 * 1024


def entry(at: int, **more: Any) -> dict[str, Any]:
    return {"Id": f"e{at}", "MessageBody": f"m{at}", **more}


# A whole life in batches of ten.
def test_send_change_delete(sqs: Any, queue: str) -> None:
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=[entry(at) for at in range(10)])
    assert [one["Id"] for one in sent["Successful"]] == [f"e{at}" for at in range(10)]
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == [f"m{at}" for at in range(10)]
    handles = [{"Id": str(at), "ReceiptHandle": message["ReceiptHandle"]} for at, message in enumerate(messages)]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=queue, Entries=[handle | {"VisibilityTimeout": 100} for handle in handles]
    )
    assert len(changed["Successful"]) == 10
    assert len(sqs.delete_message_batch(QueueUrl=queue, Entries=handles)["Successful"]) == 10
    shown = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert shown["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "0"}


# What is wrong with one entry is told of that entry, in the codes of the query protocol; the others are done.
def test_partial_failure(sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
    entries = [entry(0), entry(1, DelaySeconds=901), entry(2, MessageBody="x" * 1025), entry(3, MessageBody="\x00")]
    out = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [one["Id"] for one in out["Successful"]] == ["e0"]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in out["Failed"]] == [
        ("e1", "InvalidParameterValue", True),
        ("e2", "InvalidParameterValue", True),
        ("e3", "InvalidMessageContents", True),
    ]
    assert "cannot be validated. Reason: Message must be shorter than 1024 bytes." in out["Failed"][1]["Message"]

    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    handles = [{"Id": "good", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "bad", "ReceiptHandle": "no"}]
    out = sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    assert [one["Id"] for one in out["Successful"]] == ["good"]
    assert out["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"


# Whole batches that AWS refuses, with its codes and words.
@pytest.mark.parametrize(
    ("entries", "code", "words"),
    [
        ([], "EmptyBatchRequest", "at least one SendMessageBatchRequestEntry"),
        ([entry(at) for at in range(11)], "TooManyEntriesInBatchRequest", "You have sent 11."),
        ([entry(1), entry(1)], "BatchEntryIdsNotDistinct", "Id e1 repeated."),
        ([entry(1) | {"Id": "a:b"}], "InvalidBatchEntryId", "at most 80 letters long"),
        ([entry(1) | {"Id": "x" * 81}], "InvalidBatchEntryId", "at most 80 letters long"),
        ([entry(1), entry(2, MessageBody="x" * (MIB - 1))], "BatchRequestTooLong", f"You have sent {MIB + 1} bytes."),
    ],
)
def test_refused(sqs: Any, queue: str, entries: list[dict[str, Any]], code: str, words: str) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert refused.value.response["Error"]["Code"] == f"AWS.SimpleQueueService.{code}"


# A batch may be as large as one message, and no larger.
def test_largest_batch(sqs: Any, queue: str) -> None:
    out = sqs.send_message_batch(QueueUrl=queue, Entries=[entry(1, MessageBody="x" * (MIB - 2)), entry(2)])
    assert len(out["Successful"]) == 2


# In a FIFO queue a missing group or deduplication id fails the whole batch.
def test_fifo_batches_need_ids(sqs: Any, fifo: str) -> None:
    with pytest.raises(ClientError, match="The request must contain the parameter MessageGroupId"):
        sqs.send_message_batch(QueueUrl=fifo, Entries=[entry(1, MessageDeduplicationId="d")])
    with pytest.raises(ClientError, match="The queue should either have ContentBasedDeduplication"):
        sqs.send_message_batch(QueueUrl=fifo, Entries=[entry(1, MessageGroupId="g")])


# A FIFO batch keeps its order, and deleting the first of a group lets the rest through.
def test_fifo_batch_order(sqs: Any, fifo: str) -> None:
    entries = [entry(at, MessageGroupId="g", MessageDeduplicationId=str(at)) for at in range(10)]
    sent = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)["Successful"]
    numbers = [one["SequenceNumber"] for one in sent]
    assert numbers == sorted(set(numbers))
    messages = sqs.receive_message(QueueUrl=fifo, MaxNumberOfMessages=4)["Messages"]
    assert [message["Body"] for message in messages] == ["m0", "m1", "m2", "m3"]
    assert "Messages" not in sqs.receive_message(QueueUrl=fifo)
    handles = [{"Id": str(at), "ReceiptHandle": message["ReceiptHandle"]} for at, message in enumerate(messages)]
    assert not sqs.delete_message_batch(QueueUrl=fifo, Entries=handles).get("Failed")
    assert sqs.receive_message(QueueUrl=fifo)["Messages"][0]["Body"] == "m4"
