"""Topics and queues that may be delivered to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.node import ACCOUNT, REGION


@pytest.fixture
def sns(client: Callable[..., Any]) -> Any:
    return client("sns")


@pytest.fixture
def topic(sns: Any, name: str) -> str:
    arn: str = sns.create_topic(Name=name)["TopicArn"]
    return arn


@dataclass(frozen=True)
class Queue:
    sqs: Any
    url: str
    arn: str

    def receive(self, wait_s: int = 5, count: int = 1) -> list[dict[str, Any]]:
        """Messages in the order they came, deleted; waits for the first `count` of them."""
        out: list[dict[str, Any]] = []
        while True:
            page = self.sqs.receive_message(
                QueueUrl=self.url,
                WaitTimeSeconds=wait_s if len(out) < count else 0,
                MaxNumberOfMessages=10,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            for message in page:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            out += page
            if not page:
                return out

    def bodies(self, count: int = 1) -> list[str]:
        """The published messages, out of their envelopes, after `count` of them have come."""
        return [json.loads(message["Body"])["Message"] for message in self.receive(count=count)]


@pytest.fixture
def make_queue(client: Callable[..., Any], name: str) -> Callable[..., Queue]:
    """make_queue("a") makes a queue that SNS may send to; `policy=False` leaves it closed."""
    sqs = client("sqs")

    def make(suffix: str = "q", policy: bool = True, **attributes: str) -> Queue:
        queue_name = f"{name}-{suffix}"
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue_name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        if policy:
            attributes["Policy"] = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        url = sqs.create_queue(QueueName=queue_name, Attributes=attributes)["QueueUrl"]
        return Queue(sqs, url, arn)

    return make


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()


@pytest.fixture
def subscribe(sns: Any) -> Callable[..., str]:
    """subscribe(topic, queue, FilterPolicy=...) gives the subscription's ARN."""

    def do(topic: str, queue: Queue, **attributes: str) -> str:
        arn: str = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes=attributes)[
            "SubscriptionArn"
        ]
        return arn

    return do
