"""Dead-letter queues: who may name which, what moves there and when, and how it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.services.sqs.sqs_driver import Pure, arn
from unkai.kernel.errors import AwsError
from unkai.services.sqs import keys
from unkai.store.tuples import pack

DAY_MS = 24 * 3600 * 1000


def redrive(name: str, count: Any = 1) -> dict[str, str]:
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn(name), "maxReceiveCount": count})}


def make(pure: Pure, suffix: str = "", **more: str) -> None:
    """A queue `q` with its dead-letter queue `d`."""
    fifo = {"FifoQueue": "true"} if suffix else {}
    pure.call("CreateQueue", QueueName=f"d{suffix}", Attributes=fifo)
    pure.call("CreateQueue", QueueName=f"q{suffix}", Attributes=fifo | redrive(f"d{suffix}") | more)


def kill(pure: Pure, count: int, suffix: str = "") -> None:
    """Send messages to `q` and receive them until they are dead."""
    for at in range(count):
        more = {"MessageGroupId": "g", "MessageDeduplicationId": str(at)} if suffix else {}
        pure.call("SendMessage", QueueUrl=f"q{suffix}", MessageBody=str(at), **more)
    left = count
    while left > 0:
        got = pure.call("ReceiveMessage", QueueUrl=f"q{suffix}", MaxNumberOfMessages=10, VisibilityTimeout=0)
        left -= len(got.get("Messages", ()))
    assert bodies(pure, f"q{suffix}") == []


def bodies(pure: Pure, queue: str) -> list[str]:
    out: list[str] = []
    while got := pure.call("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        out += [message["Body"] for message in got]
    return out


def refusal(pure: Pure, operation: str, **inp: Any) -> AwsError:
    with pytest.raises(AwsError) as refused:
        pure.call(operation, **inp)
    return refused.value


# What was received maxReceiveCount times moves instead of being received once more, with its id, its attributes and its count,
# and says where it came from. A number given as text is a number from then on, as on AWS.
def test_a_message_dies(pure: Pure) -> None:
    make(pure, **redrive("d", "2"))
    shown = pure.call("GetQueueAttributes", QueueUrl="q", AttributeNames=["RedrivePolicy"])["Attributes"]
    assert json.loads(shown["RedrivePolicy"]) == {"deadLetterTargetArn": arn("d"), "maxReceiveCount": 2}
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    sent = pure.call("SendMessage", QueueUrl="q", MessageBody="x", MessageAttributes=attributes)
    for _ in range(2):
        assert pure.call("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)["Messages"]
    assert pure.call("ReceiveMessage", QueueUrl="q") == {}
    asked = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    (message,) = pure.call("ReceiveMessage", QueueUrl="d", **asked)["Messages"]
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn("q")
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"


# A dead message is as old as it was in a standard queue, and new in a FIFO queue; what is too old is swept from the disk in
# the background, in the order of its age, not of its arrival.
@pytest.mark.parametrize(("suffix", "is_left"), [("", False), (".fifo", True)])
def test_retention_of_the_dead(pure: Pure, suffix: str, is_left: bool) -> None:
    make(pure, suffix, MessageRetentionPeriod="1209600")
    more = {"MessageGroupId": "g", "MessageDeduplicationId": "1"} if suffix else {}
    pure.call("SendMessage", QueueUrl=f"q{suffix}", MessageBody="old", **more)
    pure.call("ReceiveMessage", QueueUrl=f"q{suffix}", VisibilityTimeout=0)
    pure.advance(3 * DAY_MS)
    assert bodies(pure, f"q{suffix}") == []
    pure.advance(2 * DAY_MS)
    shown = pure.call("GetQueueAttributes", QueueUrl=f"d{suffix}", AttributeNames=["ApproximateNumberOfMessages"])
    assert shown["Attributes"]["ApproximateNumberOfMessages"] == ("1" if is_left else "0")
    assert (bodies(pure, f"d{suffix}") == ["old"]) is is_left


# Disk space comes back without anybody receiving: messages, deduplication ids and counters of a queue that everybody forgot.
def test_sweeping(pure: Pure) -> None:
    make(pure, ".fifo")
    kill(pure, 5, ".fifo")
    pure.call("SendMessage", QueueUrl="q.fifo", MessageBody="x", MessageGroupId="g", MessageDeduplicationId="x")
    assert pure.keys(pack("sqsf")) > 0
    pure.advance(11 * DAY_MS)
    assert pure.keys(pack("sqsf")) == 0
    assert pure.keys(pack("sqsq")) <= 2  # the two counters of messages
    assert pure.broken() == []


# What a deleted or purged queue held goes away in the background.
def test_clean_up(pure: Pure) -> None:
    make(pure, ".fifo")
    kill(pure, 3, ".fifo")
    pure.call("PurgeQueue", QueueUrl="d.fifo")
    pure.call("DeleteQueue", QueueUrl="q.fifo")
    pure.call("DeleteQueue", QueueUrl="d.fifo")
    pure.advance(0)
    assert [pure.keys(pack(kind)) for kind in ("sqs", "sqsd", "sqsf", "sqsm", "sqsq", "timer")] == [0] * 6


# The list of sources follows every policy, by pages for those who ask for pages.
def test_list_sources(pure: Pure) -> None:
    pure.call("CreateQueue", QueueName="d")
    for name in "abc":
        pure.call("CreateQueue", QueueName=name, Attributes=redrive("d"))
    listed = pure.call("ListDeadLetterSourceQueues", QueueUrl="d", MaxResults=2)
    assert [url.rsplit("/", 1)[1] for url in listed["queueUrls"]] == ["a", "b"]
    rest = pure.call("ListDeadLetterSourceQueues", QueueUrl="d", MaxResults=2, NextToken=listed["NextToken"])
    assert [url.rsplit("/", 1)[1] for url in rest["queueUrls"]] == ["c"]
    pure.call("SetQueueAttributes", QueueUrl="a", Attributes={"RedrivePolicy": ""})
    pure.call("DeleteQueue", QueueUrl="b")
    assert len(pure.call("ListDeadLetterSourceQueues", QueueUrl="d")["queueUrls"]) == 1


# RedriveAllowPolicy is asked when a policy is set, and again when a message would move: then it stays, and is not lost.
def test_redrive_allow_policy(pure: Pure) -> None:
    make(pure)
    deny = {"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    pure.call("SetQueueAttributes", QueueUrl="d", Attributes=deny)
    assert refusal(pure, "CreateQueue", QueueName="other", Attributes=redrive("d")).code == "InvalidParameterValue"
    pure.call("SendMessage", QueueUrl="q", MessageBody="x")
    for _ in range(3):
        assert pure.call("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)["Messages"]
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn("q")]}
    pure.call("SetQueueAttributes", QueueUrl="d", Attributes={"RedriveAllowPolicy": json.dumps(allow)})
    assert bodies(pure, "q") == []
    assert bodies(pure, "d") == ["x"]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("no json", "Redrive policy is not a valid JSON map"),
        ('{"maxReceiveCount": 1}', "mandatory attribute: deadLetterTargetArn"),
        (json.dumps({"deadLetterTargetArn": arn("d")}), "mandatory attribute: maxReceiveCount"),
        (redrive("d", 0)["RedrivePolicy"], "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000"),
        (redrive("d", "x")["RedrivePolicy"], "Invalid value for maxReceiveCount: x"),
        (redrive("d", True)["RedrivePolicy"], "Invalid value for maxReceiveCount: True"),
        (redrive("none")["RedrivePolicy"], "Dead letter target does not exist"),
        (redrive("f.fifo")["RedrivePolicy"], "must be same type of queue as the source"),
        ('{"deadLetterTargetArn": "dummy", "maxReceiveCount": 1}', "Invalid value for deadLetterTargetArn"),
    ],
)
def test_refused_policies(pure: Pure, policy: str, words: str) -> None:
    pure.call("CreateQueue", QueueName="d")
    pure.call("CreateQueue", QueueName="f.fifo", Attributes={"FifoQueue": "true"})
    error = refusal(pure, "CreateQueue", QueueName="q", Attributes={"RedrivePolicy": policy})
    assert error.code == "InvalidParameterValue"
    assert words in error.message


# --- move tasks


def tasks(pure: Pure, source: str = "d") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = pure.call("ListMessageMoveTasks", SourceArn=arn(source), MaxResults=10)["Results"]
    return listed


# Messages go back to where they came from, each to its own queue, in order, as new messages; the list keeps the result.
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_move_back(pure: Pure, suffix: str) -> None:
    make(pure, suffix)
    kill(pure, 12, suffix)
    pure.call("StartMessageMoveTask", SourceArn=arn(f"d{suffix}"))
    pure.advance(0)
    (task,) = tasks(pure, f"d{suffix}")
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 12)
    assert "TaskHandle" not in task
    assert bodies(pure, f"d{suffix}") == []
    (first,) = pure.call("ReceiveMessage", QueueUrl=f"q{suffix}", AttributeNames=["All"], VisibilityTimeout=0)[
        "Messages"
    ]
    assert first["Attributes"]["ApproximateReceiveCount"] == "1"
    assert "DeadLetterQueueSourceArn" not in first["Attributes"]


# A rate is kept by the clock, a task that was cancelled moves no more, and only one task runs at a time.
def test_rate_and_cancellation(pure: Pure) -> None:
    make(pure)
    kill(pure, 10)
    pure.call("CreateQueue", QueueName="elsewhere")
    inp = {"SourceArn": arn("d"), "DestinationArn": arn("elsewhere"), "MaxNumberOfMessagesPerSecond": 2}
    handle = pure.call("StartMessageMoveTask", **inp)["TaskHandle"]
    assert "There is already a task running" in refusal(pure, "StartMessageMoveTask", **inp).message
    pure.advance(2000)
    (task,) = tasks(pure)
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", handle)
    assert task["ApproximateNumberOfMessagesToMove"] == 10
    assert task["ApproximateNumberOfMessagesMoved"] == 5
    assert pure.call("CancelMessageMoveTask", TaskHandle=handle) == {"ApproximateNumberOfMessagesMoved": 5}
    pure.advance(10_000)
    assert tasks(pure)[0]["Status"] == "CANCELLED"
    assert len(bodies(pure, "elsewhere")) == 5
    assert len(bodies(pure, "d")) == 5


# A destination that goes away, and a message that nobody knows the source of, end a task with a reason; nothing is lost.
def test_failed_moves(pure: Pure) -> None:
    make(pure)
    kill(pure, 3)
    pure.call("CreateQueue", QueueName="elsewhere")
    inp = {"SourceArn": arn("d"), "DestinationArn": arn("elsewhere"), "MaxNumberOfMessagesPerSecond": 1}
    pure.call("StartMessageMoveTask", **inp)
    pure.advance(0)
    pure.call("DeleteQueue", QueueUrl="elsewhere")
    pure.advance(5000)
    (task,) = tasks(pure)
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    pure.call("PurgeQueue", QueueUrl="d")
    pure.call("SendMessage", QueueUrl="d", MessageBody="sent here")
    pure.call("StartMessageMoveTask", SourceArn=arn("d"))
    pure.advance(0)
    assert tasks(pure)[0]["FailureReason"] == "CouldNotDetermineMessageSource"
    assert bodies(pure, "d") == ["sent here"]


# What arrives after the start is not moved, so that a task ends although what it moves dies again at once.
def test_a_move_ends(pure: Pure) -> None:
    make(pure)
    kill(pure, 3)
    pure.call("StartMessageMoveTask", SourceArn=arn("d"), MaxNumberOfMessagesPerSecond=1)
    for _ in range(20):
        pure.advance(500)
        pure.call("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0, MaxNumberOfMessages=10)
    (task,) = tasks(pure)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 3)
    assert len(bodies(pure, "d")) == 3


@pytest.mark.parametrize(
    ("inp", "code", "words"),
    [
        ({"SourceArn": "nonsense"}, "InvalidParameterValue", "You must use this format to specify the SourceArn"),
        ({"SourceArn": arn("none")}, "ResourceNotFoundException", "the SourceArn parameter doesn't exist"),
        ({"SourceArn": arn("q")}, "InvalidParameterValue", "must be configured as a Dead Letter Queue"),
        (
            {"SourceArn": arn("d"), "DestinationArn": arn("none")},
            "ResourceNotFoundException",
            "the DestinationArn parameter doesn't exist",
        ),
        ({"SourceArn": arn("d"), "MaxNumberOfMessagesPerSecond": 501}, "InvalidParameterValue", "501"),
    ],
)
def test_refused_moves(pure: Pure, inp: dict[str, Any], code: str, words: str) -> None:
    make(pure)
    error = refusal(pure, "StartMessageMoveTask", **inp)
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize("handle", ["", "nonsense", "e30=", "WzFd"])
def test_refused_handles(pure: Pure, handle: str) -> None:
    error = refusal(pure, "CancelMessageMoveTask", TaskHandle=handle)
    assert (error.code, error.message) == ("InvalidParameterValue", "Value for parameter TaskHandle is invalid.")


# Only the last ten tasks of a queue are kept.
def test_old_tasks_go(pure: Pure) -> None:
    make(pure)
    for _ in range(12):
        pure.call("StartMessageMoveTask", SourceArn=arn("d"))
        pure.advance(1)
    assert len(tasks(pure)) == 10
    assert pure.keys(keys.move_tasks("123456789012", "us-east-1", "d")[0]) == 10
