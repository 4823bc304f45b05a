"""FIFO topics: order by group, deduplication, sequence numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.services.sns.conftest import Queue
from tests.services.sns.test_topics import refused


@pytest.fixture
def fifo(sns: Any, name: str) -> str:
    arn: str = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    return arn


@pytest.fixture
def fifo_queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue("q.fifo", FifoQueue="true")


# A queue gets each group's messages in the order of publishing, with the topic's deduplication id, group and a sequence
# number that grows; FIFO envelopes carry no signature.
def test_order(sns: Any, fifo: str, fifo_queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(fifo, fifo_queue)
    answers = [
        sns.publish(TopicArn=fifo, Message=f"m{n}", MessageGroupId=f"g{n % 2}", MessageDeduplicationId=str(n))
        for n in range(8)
    ]
    sequences = [answer["SequenceNumber"] for answer in answers]
    assert sequences == sorted(sequences)
    assert {len(sequence) for sequence in sequences} == {20}

    received = fifo_queue.receive(count=8)
    bodies = [json.loads(message["Body"]) for message in received]
    assert [body["Message"] for body in bodies if int(body["Message"][1:]) % 2 == 0] == ["m0", "m2", "m4", "m6"]
    assert [body["Message"] for body in bodies if int(body["Message"][1:]) % 2 == 1] == ["m1", "m3", "m5", "m7"]
    assert {body["SequenceNumber"] for body in bodies} == set(sequences)
    assert "Signature" not in bodies[0]
    assert received[0]["Attributes"]["MessageGroupId"] in ("g0", "g1")
    assert received[0]["Attributes"]["MessageDeduplicationId"] == bodies[0]["Message"][1:]


# A second message with the same deduplication id within five minutes gets the first one's answer and is not delivered.
def test_deduplication(
    sns: Any, fifo: str, fifo_queue: Queue, subscribe: Callable[..., str], advance: Callable[[float], None]
) -> None:
    subscribe(fifo, fifo_queue, RawMessageDelivery="true")
    inp = {"TopicArn": fifo, "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    first = sns.publish(Message="first", **inp)
    second = sns.publish(Message="second", **inp)
    assert second["MessageId"] == first["MessageId"]
    assert second["SequenceNumber"] == first["SequenceNumber"]
    advance(299)
    assert sns.publish(Message="third", **inp)["MessageId"] == first["MessageId"]
    advance(2)
    assert sns.publish(Message="fourth", **inp)["MessageId"] != first["MessageId"]
    assert [message["Body"] for message in fifo_queue.receive(count=2)] == ["first", "fourth"]


# By content: SHA-256 of the body. By scope MessageGroup: the same id in another group is another message.
def test_deduplication_by_content_and_scope(
    sns: Any, fifo: str, fifo_queue: Queue, subscribe: Callable[..., str]
) -> None:
    subscribe(fifo, fifo_queue, RawMessageDelivery="true")
    with refused("InvalidParameter", "The topic should either have ContentBasedDeduplication enabled"):
        sns.publish(TopicArn=fifo, Message="x", MessageGroupId="g")
    with refused("InvalidParameter", "The MessageGroupId parameter is required for FIFO topics"):
        sns.publish(TopicArn=fifo, Message="x")
    sns.set_topic_attributes(TopicArn=fifo, AttributeName="ContentBasedDeduplication", AttributeValue="true")
    ids = {sns.publish(TopicArn=fifo, Message="Test", MessageGroupId=group)["MessageId"] for group in "ab"}
    assert len(ids) == 1
    (message,) = fifo_queue.receive()
    assert (
        message["Attributes"]["MessageDeduplicationId"]
        == "532eaabd9574880dbf76b9b8cc00832c20a6ec113d682299550d7a6e0f345e25"
    )
    sns.set_topic_attributes(TopicArn=fifo, AttributeName="FifoThroughputScope", AttributeValue="MessageGroup")
    ids = {sns.publish(TopicArn=fifo, Message="Other", MessageGroupId=group)["MessageId"] for group in "ab"}
    assert len(ids) == 2


# Within a batch the same rules hold, between its entries too.
def test_batch(sns: Any, fifo: str, fifo_queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(fifo, fifo_queue, RawMessageDelivery="true")
    entries = [
        {"Id": str(n), "Message": f"m{n}", "MessageGroupId": "g", "MessageDeduplicationId": str(n % 3)}
        for n in range(4)
    ]
    out = sns.publish_batch(TopicArn=fifo, PublishBatchRequestEntries=entries)["Successful"]
    assert out[3]["MessageId"] == out[0]["MessageId"]
    assert out[3]["SequenceNumber"] == out[0]["SequenceNumber"]
    sequences = [each["SequenceNumber"] for each in out[:3]]
    assert sequences == sorted(set(sequences))
    assert [message["Body"] for message in fifo_queue.receive(count=3)] == ["m0", "m1", "m2"]


# A standard queue may listen to a FIFO topic; a dead-letter queue of a FIFO subscription must be FIFO too.
def test_other_queues(sns: Any, fifo: str, queue: Queue, fifo_queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(fifo, queue)
    sns.publish(TopicArn=fifo, Message="x", MessageGroupId="g", MessageDeduplicationId="d")
    assert queue.bodies() == ["x"]
    with refused("InvalidParameter", "must use a FIFO queue as DLQ for a FIFO Subscription"):
        subscribe(fifo, fifo_queue, RedrivePolicy=json.dumps({"deadLetterTargetArn": queue.arn}))
    with refused("InvalidParameter", "Endpoint"):
        sns.subscribe(TopicArn=fifo, Protocol="http", Endpoint="http://example.com/")
