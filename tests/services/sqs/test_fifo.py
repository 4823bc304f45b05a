"""FIFO queues: groups, deduplication, retried receives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError


def send(sqs: Any, queue: str, body: str, group: str = "g", **more: Any) -> dict[str, Any]:
    inp = {"MessageDeduplicationId": body, **more}
    out: dict[str, Any] = sqs.send_message(QueueUrl=queue, MessageBody=body, MessageGroupId=group, **inp)
    return out


def receive(sqs: Any, queue: str, limit: int = 10, **more: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=limit, **more).get(
        "Messages", []
    )
    return messages


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in messages]


# Messages of a group come in the order of sending, and no more of the group comes while one is in flight; other groups do.
def test_a_group_is_blocked_by_what_is_in_flight(sqs: Any, fifo: str) -> None:
    for body in ("a1", "a2", "b1"):
        send(sqs, fifo, body, group=body[0])
    (a1,) = receive(sqs, fifo, 1)
    assert a1["Body"] == "a1"
    assert bodies(receive(sqs, fifo)) == ["b1"]
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=a1["ReceiptHandle"])
    assert bodies(receive(sqs, fifo)) == ["a2"]


# AWS's own example of what hides what: a message whose timeout was made longer hides those behind it, not those before it.
@pytest.mark.parametrize(("extended", "left"), [(0, []), (1, ["0"]), (2, ["0", "1"])])
def test_a_longer_timeout_hides_what_comes_after(
    sqs: Any, fifo: str, advance: Callable[[float], None], extended: int, left: list[str]
) -> None:
    for at in range(3):
        send(sqs, fifo, str(at))
    messages = receive(sqs, fifo, VisibilityTimeout=10)
    handle = messages[extended]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=handle, VisibilityTimeout=100)
    advance(20)
    assert bodies(receive(sqs, fifo)) == left


# The same deduplication id within five minutes is accepted and delivered once, also when the first was deleted; the answer is
# that of the first sending. Afterwards it is a new message.
def test_deduplication_by_id(sqs: Any, fifo: str, advance: Callable[[float], None]) -> None:
    first = send(sqs, fifo, "x")
    (message,) = receive(sqs, fifo)
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])
    again = send(sqs, fifo, "x")
    assert again["MessageId"] == first["MessageId"]
    assert again["SequenceNumber"] == first["SequenceNumber"]
    assert receive(sqs, fifo) == []
    advance(300)
    assert send(sqs, fifo, "x")["SequenceNumber"] > first["SequenceNumber"]
    assert bodies(receive(sqs, fifo)) == ["x"]


# A batch that names one deduplication id twice delivers it once and tells both entries the same.
def test_deduplication_within_a_batch(sqs: Any, fifo: str) -> None:
    entry = {"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    out = sqs.send_message_batch(QueueUrl=fifo, Entries=[entry | {"Id": "1"}, entry | {"Id": "2"}])
    one, two = out["Successful"]
    assert (one["MessageId"], one["SequenceNumber"]) == (two["MessageId"], two["SequenceNumber"])
    assert bodies(receive(sqs, fifo)) == ["x"]


# With ContentBasedDeduplication the id is the SHA-256 of the body; an explicit id goes before it.
def test_deduplication_by_content(sqs: Any, name: str) -> None:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    for more in ({}, {}, {"MessageDeduplicationId": "other"}):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", **more)
    messages = receive(sqs, url, AttributeNames=["All"])
    assert [message["Attributes"]["MessageDeduplicationId"] for message in messages] == [
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "other",
    ]


# High throughput mode deduplicates within a group only; without it one id is one message, whatever its group.
@pytest.mark.parametrize(("scope", "count"), [("queue", 1), ("messageGroup", 2)])
def test_deduplication_scope(sqs: Any, name: str, scope: str, count: int) -> None:
    attributes = {"FifoQueue": "true", "DeduplicationScope": scope}
    if scope == "messageGroup":
        attributes["FifoThroughputLimit"] = "perMessageGroupId"
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    for group in "ab":
        send(sqs, url, "x", group=group)
    assert len(receive(sqs, url)) == count


# A receive whose answer was lost is asked for again under its attempt id: the same messages under the same handles, with a
# new timeout. Once one of them was changed, the id stands for nothing.
def test_receive_attempts(sqs: Any, fifo: str, advance: Callable[[float], None]) -> None:
    for body in "xy":
        send(sqs, fifo, body)
    first = receive(sqs, fifo, ReceiveRequestAttemptId="try", VisibilityTimeout=30)
    advance(20)
    again = receive(sqs, fifo, ReceiveRequestAttemptId="try", VisibilityTimeout=30)
    assert [message["ReceiptHandle"] for message in again] == [message["ReceiptHandle"] for message in first]
    advance(20)
    assert receive(sqs, fifo) == []
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first[0]["ReceiptHandle"])
    assert receive(sqs, fifo, ReceiveRequestAttemptId="try") == []


# A waiting receiver of a FIFO queue is woken by a send, and by the deletion that sets a group free.
def test_waiters(sqs: Any, fifo: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receive, sqs, fifo, WaitTimeSeconds=20)
        send(sqs, fifo, "1")
        (one,) = waiting.result()
        send(sqs, fifo, "2")
        waiting = pool.submit(receive, sqs, fifo, WaitTimeSeconds=20)
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=one["ReceiptHandle"])
        assert bodies(waiting.result()) == ["2"]


# Only the queue's delay delays messages of a FIFO queue; 0 for a message means nothing and anything else is refused.
def test_delay(sqs: Any, name: str, advance: Callable[[float], None]) -> None:
    attributes = {"FifoQueue": "true", "DelaySeconds": "10"}
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    send(sqs, url, "x", DelaySeconds=0)
    assert receive(sqs, url) == []
    with pytest.raises(ClientError, match="Value 2 for parameter DelaySeconds is invalid"):
        send(sqs, url, "y", DelaySeconds=2)
    advance(10)
    assert bodies(receive(sqs, url)) == ["x"]


# A handle whose timeout has ended deletes nothing in a FIFO queue, since somebody else may have the message; and it says so.
def test_expired_handle(sqs: Any, fifo: str, advance: Callable[[float], None]) -> None:
    send(sqs, fifo, "x")
    (message,) = receive(sqs, fifo, VisibilityTimeout=1)
    advance(2)
    with pytest.raises(ClientError, match="The receipt handle has expired"):
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])


# AWS's codes and words, which clients match on.
@pytest.mark.parametrize(
    ("inp", "code", "words"),
    [
        ({}, "MissingParameter", "The request must contain the parameter MessageGroupId."),
        ({"MessageGroupId": "g"}, "InvalidParameterValue", "The queue should either have ContentBasedDeduplication"),
        ({"MessageGroupId": ""}, "InvalidParameterValue", "MessageGroupId can only include alphanumeric"),
        (
            {"MessageGroupId": "g", "MessageDeduplicationId": "a b"},
            "InvalidParameterValue",
            "MessageDeduplicationId can",
        ),
    ],
)
def test_refused(sqs: Any, fifo: str, inp: dict[str, str], code: str, words: str) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        sqs.send_message(QueueUrl=fifo, MessageBody="x", **inp)
    assert refused.value.response["Error"]["Code"] == code


# Names, and attributes that only one kind of queue has.
@pytest.mark.parametrize(
    ("suffix", "attributes", "code"),
    [
        ("", {"FifoQueue": "true"}, "InvalidParameterValue"),
        (".fifo", {}, "InvalidParameterValue"),
        ("", {"FifoQueue": "false"}, "InvalidAttributeName"),
        ("", {"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ("", {"DeduplicationScope": "queue"}, "InvalidAttributeName"),
        (".fifo", {"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId"}, "InvalidAttributeValue"),
    ],
)
def test_refused_queues(sqs: Any, name: str, suffix: str, attributes: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        sqs.create_queue(QueueName=name + suffix, Attributes=attributes)
    assert refused.value.response["Error"]["Code"] == code


# Whether a queue is FIFO can never be changed.
def test_type_is_fixed(sqs: Any, fifo: str, queue: str) -> None:
    with pytest.raises(ClientError, match="Modifying queue type is not supported"):
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"FifoQueue": "false"})
    with pytest.raises(ClientError, match="Unknown Attribute FifoQueue"):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"FifoQueue": "true"})
    shown = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["All"])["Attributes"]
    assert shown["FifoThroughputLimit"] == "perQueue"
    assert shown["DeduplicationScope"] == "queue"


# A purge empties the groups, and what was deduplicated stays so.
def test_purge_keeps_deduplication(sqs: Any, fifo: str) -> None:
    send(sqs, fifo, "x")
    sqs.purge_queue(QueueUrl=fifo)
    send(sqs, fifo, "x")
    send(sqs, fifo, "y")
    assert bodies(receive(sqs, fifo)) == ["y"]
