"""Event source mappings: queues that feed functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.lambda_.conftest import eventually, said

Make = Callable[..., str]

# Each invocation prints its records' bodies as one line.
COLLECT = """
    import json
    def lambda_handler(event, context):
        print("SAID", json.dumps([record["body"] for record in event["Records"]]))
        {rest}
"""


@pytest.fixture
def sqs(client: Callable[..., Any]) -> Any:
    return client("sqs")


@pytest.fixture
def queue(sqs: Any, name: str) -> tuple[str, str]:
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"


@pytest.fixture
def connect(lam: Any, queue: tuple[str, str]) -> Iterator[Callable[..., Any]]:
    """connect(function, **settings) maps the queue to the function for the length of the test."""
    made: list[str] = []

    def connect(function: str, **settings: Any) -> Any:
        mapping = lam.create_event_source_mapping(EventSourceArn=queue[1], FunctionName=function, **settings)
        made.append(mapping["UUID"])
        return mapping

    yield connect
    for uuid in made:
        lam.delete_event_source_mapping(UUID=uuid)


@pytest.fixture
def batches(client: Callable[..., Any]) -> Callable[[str], list[list[str]]]:
    """batches(function) gives the bodies of each batch that it got."""
    return lambda function: [json.loads(line) for line in said(client, function)]


def depth(sqs: Any, url: str) -> int:
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(got["ApproximateNumberOfMessages"]) + int(got["ApproximateNumberOfMessagesNotVisible"])


# What a function has worked off is deleted from the queue.
def test_messages_reach_the_function(
    lam: Any, make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any
) -> None:
    function = make(COLLECT.format(rest=""))
    mapping = connect(function)
    assert mapping["State"] == "Creating"
    assert lam.get_event_source_mapping(UUID=mapping["UUID"])["State"] == "Enabled"
    for n in range(5):
        sqs.send_message(QueueUrl=queue[0], MessageBody=str(n))
    eventually(lambda: len({body for batch in batches(function) for body in batch}) == 5)
    eventually(lambda: depth(sqs, queue[0]) == 0)


# A window fills batches: ten messages sent one by one arrive together.
def test_window(
    make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any, advance: Callable[[float], None]
) -> None:
    for n in range(15):
        sqs.send_message(QueueUrl=queue[0], MessageBody=str(n))
    function = make(COLLECT.format(rest=""))
    connect(function, BatchSize=15, MaximumBatchingWindowInSeconds=300)
    assert len(eventually(lambda: batches(function))[0]) == 15


# Of a batch only the failed messages come again, after their visibility timeout.
def test_partial_failure(
    make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any, advance: Callable[[float], None]
) -> None:
    rest = "return {'batchItemFailures': [{'itemIdentifier': r['messageId']} for r in event['Records'] if r['body'] == 'bad']}"
    function = make(COLLECT.format(rest=rest))
    connect(function, FunctionResponseTypes=["ReportBatchItemFailures"])
    sqs.send_message(QueueUrl=queue[0], MessageBody="good")
    sqs.send_message(QueueUrl=queue[0], MessageBody="bad")
    eventually(lambda: {body for batch in batches(function) for body in batch} == {"good", "bad"})
    eventually(lambda: depth(sqs, queue[0]) == 1)
    count = len(batches(function))
    advance(31)
    assert eventually(lambda: batches(function)[count:])[0] == ["bad"]


# A function that fails deletes nothing: the whole batch comes again.
def test_failure(
    make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any, advance: Callable[[float], None]
) -> None:
    function = make(COLLECT.format(rest="raise ValueError"))
    connect(function)
    sqs.send_message(QueueUrl=queue[0], MessageBody="x")
    eventually(lambda: len(batches(function)) == 1)
    advance(31)
    eventually(lambda: len(batches(function)) == 2)
    assert depth(sqs, queue[0]) == 1


# What no filter wants never reaches the function, and is deleted.
def test_filters(make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any) -> None:
    pattern = json.dumps({"body": {"kind": [{"prefix": "a"}]}})
    function = make(COLLECT.format(rest=""))
    connect(function, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    for kind in ("b", "abc", "c"):
        sqs.send_message(QueueUrl=queue[0], MessageBody=json.dumps({"kind": kind}))
    sqs.send_message(QueueUrl=queue[0], MessageBody="no json")
    eventually(lambda: depth(sqs, queue[0]) == 0)
    seen = eventually(lambda: batches(function))
    assert [json.loads(body)["kind"] for batch in seen for body in batch] == ["abc"]


# A disabled mapping leaves the queue alone; enabled again it goes on.
def test_disable_and_enable(lam: Any, make: Make, sqs: Any, queue: tuple[str, str], connect: Any, batches: Any) -> None:
    function = make(COLLECT.format(rest=""))
    mapping = connect(function, Enabled=False)
    sqs.send_message(QueueUrl=queue[0], MessageBody="x")
    assert sqs.receive_message(QueueUrl=queue[0], VisibilityTimeout=0)["Messages"]
    lam.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    eventually(lambda: batches(function) == [["x"]])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BatchSize": 11}, "window"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "[]"}]}}, "Invalid filter pattern definition"),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/x"}, "kinesis"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:nobody"}, "ReceiveMessage"),
    ],
)
def test_refusals(lam: Any, make: Make, queue: tuple[str, str], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        lam.create_event_source_mapping(**{"EventSourceArn": queue[1], "FunctionName": make(), **settings})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"


# Terraform finds a mapping by its id; the same pair twice is a conflict that names the first one.
def test_crud(lam: Any, make: Make, queue: tuple[str, str], connect: Any) -> None:
    function = make()
    mapping = connect(function, Enabled=False, ScalingConfig={"MaximumConcurrency": 2})
    with pytest.raises(lam.exceptions.ResourceConflictException, match=mapping["UUID"]):
        connect(function)
    assert [one["UUID"] for one in lam.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]] == [
        mapping["UUID"]
    ]
    assert lam.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=5)["BatchSize"] == 5
    assert lam.get_event_source_mapping(UUID=mapping["UUID"])["ScalingConfig"] == {"MaximumConcurrency": 2}
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_event_source_mapping(UUID="00000000-0000-4000-8000-000000000000")
