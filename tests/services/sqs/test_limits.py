"""Limits that are not reached in daily life, and promises that hold for every operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.sqs.sqs_driver import Pure
from unkai.kernel.errors import AwsError
from unkai.model.load import load_service
from unkai.services.sqs import SERVICE, limits


# A queue has at most so many messages in flight: a short poll of a standard queue then gets OverLimit, a receive of a FIFO queue
# nothing. What is visible again does not count, and what is deleted makes room.
@pytest.mark.parametrize("fifo", [False, True])
def test_in_flight_limit(pure: Pure, monkeypatch: pytest.MonkeyPatch, fifo: bool) -> None:
    monkeypatch.setattr(limits, "IN_FLIGHT_MAX", 3)
    name = "q.fifo" if fifo else "q"
    pure.call("CreateQueue", QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})
    for at in range(5):
        more = {"MessageGroupId": str(at), "MessageDeduplicationId": str(at)} if fifo else {}
        pure.call("SendMessage", QueueUrl=name, MessageBody=str(at), **more)
    messages = pure.call("ReceiveMessage", QueueUrl=name, MaxNumberOfMessages=3)["Messages"]
    if fifo:
        assert pure.call("ReceiveMessage", QueueUrl=name) == {}
    else:
        with pytest.raises(AwsError) as refused:
            pure.call("ReceiveMessage", QueueUrl=name)
        assert refused.value.code == "OverLimit"
    pure.call("DeleteMessage", QueueUrl=name, ReceiptHandle=messages[0]["ReceiptHandle"])
    assert pure.call("ReceiveMessage", QueueUrl=name)["Messages"]
    pure.clock.advance(31_000)
    assert pure.call("ReceiveMessage", QueueUrl=name)["Messages"]


# A message may be held for twelve hours in all, counted from its receive: AWS refuses what would exceed that.
def test_twelve_hours(pure: Pure) -> None:
    pure.call("CreateQueue", QueueName="q")
    pure.call("SendMessage", QueueUrl="q", MessageBody="x")
    (message,) = pure.call("ReceiveMessage", QueueUrl="q", VisibilityTimeout=3600)["Messages"]
    inp = {"QueueUrl": "q", "ReceiptHandle": message["ReceiptHandle"]}
    pure.clock.advance(60_000)
    pure.call("ChangeMessageVisibility", **inp, VisibilityTimeout=43_200 - 60)
    with pytest.raises(AwsError, match=r"beyond the limit \[43200 seconds\]"):
        pure.call("ChangeMessageVisibility", **inp, VisibilityTimeout=43_200)


# Each operation of the model is there, and the page that people read names it.
def test_every_operation_is_there_and_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "services" / "sqs.md").read_text()
    operations = set(load_service("sqs").operations)
    assert operations == set(SERVICE.operations)
    assert all(f"| {operation} | yes |" in page for operation in operations)
