"""Events reach queues: with filters, in AWS's form, after the change that caused them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def queue(client: Callable[..., Any], name: str) -> tuple[str, str]:
    """Url and ARN of a queue that any bucket of the account may send to."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{name}*"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    try:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    except ClientError as error:
        pytest.skip(f"queues have no policies yet: {error}")
    return url, arn


def received(sqs: Any, url: str) -> list[dict[str, Any]]:
    """All messages of a queue, without waiting longer than there is something."""
    bodies = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        for message in messages:
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def test_events(
    s3: Any, client: Callable[..., Any], advance: Callable[[float], None], name: str, queue: tuple[str, str]
) -> None:
    """A test event when it is configured, then one message for each matching change, none for the others."""
    sqs = client("sqs")
    url, arn = queue
    s3.create_bucket(Bucket=name)
    rules = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".jpg"}]
    one = {
        "Id": "images",
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"QueueConfigurations": [one]})
    test = received(sqs, url)
    assert [each["Event"] for each in test] == ["s3:TestEvent"]
    assert test[0]["Bucket"] == name

    etag = s3.put_object(Bucket=name, Key="in/a b.jpg", Body=b"123")["ETag"]
    s3.put_object(Bucket=name, Key="in/a.png", Body=b"")
    s3.put_object(Bucket=name, Key="out/a.jpg", Body=b"")
    s3.delete_object(Bucket=name, Key="in/a b.jpg")
    advance(0)
    first, second = sorted(
        (each["Records"][0] for each in received(sqs, url)), key=lambda r: r["s3"]["object"]["sequencer"]
    )
    assert (first["eventName"], second["eventName"]) == ("ObjectCreated:Put", "ObjectRemoved:Delete")
    assert first["eventSource"] == "aws:s3"
    assert first["s3"]["configurationId"] == "images"
    assert first["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{name}"
    assert first["s3"]["object"]["key"] == "in/a+b.jpg"
    assert (first["s3"]["object"]["size"], first["s3"]["object"]["eTag"]) == (3, etag.strip('"'))
    assert s3.get_bucket_notification_configuration(Bucket=name)["QueueConfigurations"] == [one]


# A destination that cannot be sent to is refused, and the configuration stays as it was.
def test_bad_destination(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    for arn in ("arn:aws:sqs:us-east-1:123456789012:missing", "arn:aws:sqs:eu-west-1:123456789012:elsewhere", "no-arn"):
        with pytest.raises(ClientError) as error:
            s3.put_bucket_notification_configuration(
                Bucket=name,
                NotificationConfiguration={
                    "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
                },
            )
        assert error.value.response["Error"]["Code"] == "InvalidArgument"
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=name)


# Two rules that could both send one event are refused.
def test_overlap(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    one = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:q", "Events": ["s3:ObjectCreated:*"]}
    other = {**one, "Events": ["s3:ObjectCreated:Put"]}
    with pytest.raises(ClientError) as error:
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"QueueConfigurations": [one, other]}
        )
    assert "overlap" in error.value.response["Error"]["Message"]
