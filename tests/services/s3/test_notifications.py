"""Events reach their destinations: with filters, in AWS's form, after the change that caused them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.s3.s3_world import World, world
from unkai.kernel.errors import AwsError
from unkai.store.retry import Run, run

SQS = "arn:aws:sqs:us-east-1:123456789012:queue"
SNS = "arn:aws:sns:us-east-1:123456789012:topic"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:work"


class Destinations:
    """Stands for the other services: what was sent to them, by whom; `down` refuses everything."""

    def __init__(self, w: World) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.down = False
        self._w = w
        self._own = w.platform.call
        w.platform.call = self.call  # type: ignore[method-assign]

    async def call(
        self, service: str, operation: str, inp: Any, *, as_: Any, region: str, finishing: Any = None
    ) -> Any:
        if service == "s3":
            return await self._own(service, operation, inp, as_=as_, region=region, finishing=finishing)
        assert (as_.type, as_.arn, as_.source_arn) == ("Service", "s3.amazonaws.com", "arn:aws:s3:::bucket")
        if self.down:
            raise AwsError("QueueDoesNotExist", "gone")
        self.calls.append((service, operation, dict(inp)))

        async def end(tx: Any) -> None:
            tx.clear(finishing)

        if finishing:
            await run(self._w.platform.engine, Run("", end, bytes, bytes))
        return {}

    def records(self) -> list[dict[str, Any]]:
        texts = [inp.get("MessageBody") or inp.get("Message") or inp["Payload"] for _, _, inp in self.calls]
        self.calls.clear()
        return [record for text in texts for record in json.loads(text)["Records"]]


async def configure(w: World, **configuration: Any) -> None:
    await w.call("CreateBucket", Bucket="bucket")
    await w.call("PutBucketNotificationConfiguration", Bucket="bucket", NotificationConfiguration=configuration)


# A test event when it is configured (Lambda is only asked), then one record for each matching change, none for the others.
def test_events() -> None:
    async def scenario() -> None:
        async with world() as w:
            sent = Destinations(w)
            rules = [{"Name": "prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".jpg"}]
            one = {
                "Id": "images",
                "QueueArn": SQS,
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
                "Filter": {"Key": {"FilterRules": rules}},
            }
            await configure(w, QueueConfigurations=[one])
            assert sent.calls[0][:2] == ("sqs", "SendMessage")
            test = json.loads(sent.calls.pop()[2]["MessageBody"])
            assert (test["Event"], test["Bucket"]) == ("s3:TestEvent", "bucket")

            etag = (await w.call("PutObject", Bucket="bucket", Key="in/a b.jpg", Body=b"123"))["ETag"]
            for key in ("in/a.png", "out/a.jpg"):
                await w.call("PutObject", Bucket="bucket", Key=key, Body=b"")
            await w.call("DeleteObject", Bucket="bucket", Key="in/a b.jpg")
            await w.settle()
            first, second = sorted(sent.records(), key=lambda record: record["s3"]["object"]["sequencer"])
            assert (first["eventName"], second["eventName"]) == ("ObjectCreated:Put", "ObjectRemoved:Delete")
            assert (first["eventVersion"], first["eventSource"], first["awsRegion"]) == ("2.1", "aws:s3", "us-east-1")
            assert first["eventTime"] == "2023-11-14T22:13:20.000Z"
            assert first["s3"]["configurationId"] == "images"
            assert first["s3"]["bucket"]["arn"] == "arn:aws:s3:::bucket"
            shown = {name: first["s3"]["object"][name] for name in ("key", "size", "eTag")}
            assert shown == {"key": "in/a+b.jpg", "size": 3, "eTag": etag.strip('"')}
            got = await w.call("GetBucketNotificationConfiguration", Bucket="bucket")
            assert got["QueueConfigurations"] == [one]

    asyncio.run(scenario())


# Every kind of destination, every kind of change; deletes with versions tell of the marker.
def test_all_destinations() -> None:
    async def scenario() -> None:
        async with world() as w:
            sent = Destinations(w)
            await configure(
                w,
                TopicConfigurations=[{"TopicArn": SNS, "Events": ["s3:ObjectCreated:Copy"]}],
                QueueConfigurations=[{"QueueArn": SQS, "Events": ["s3:ObjectRemoved:*"]}],
                LambdaFunctionConfigurations=[{"LambdaFunctionArn": LAMBDA, "Events": ["s3:ObjectTagging:*"]}],
            )
            assert [(service, inp.get("InvocationType")) for service, _, inp in sent.calls] == [
                ("sns", None),
                ("sqs", None),
                ("lambda", "DryRun"),
            ]
            sent.calls.clear()
            await w.call("PutBucketVersioning", Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
            await w.call("PutObject", Bucket="bucket", Key="k", Body=b"")
            await w.call("CopyObject", Bucket="bucket", Key="c", CopySource="bucket/k")
            marker = await w.call("DeleteObject", Bucket="bucket", Key="k")
            await w.call("PutObjectTagging", Bucket="bucket", Key="c", Tagging={"TagSet": []})
            await w.settle()
            by_service = {service: inp for service, _, inp in sent.calls}
            assert by_service["lambda"]["InvocationType"] == "Event"
            assert by_service["sns"]["Subject"] == "Amazon S3 Notification"
            found = {record["eventName"]: record for record in sent.records()}
            assert set(found) == {"ObjectCreated:Copy", "ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put"}
            removed = found["ObjectRemoved:DeleteMarkerCreated"]["s3"]["object"]
            assert removed["versionId"] == marker["VersionId"]

    asyncio.run(scenario())


# A destination that is down gets its events when it is back; one that stays away for a day is given up.
def test_retries() -> None:
    async def scenario() -> None:
        async with world() as w:
            sent = Destinations(w)
            await configure(w, QueueConfigurations=[{"QueueArn": SQS, "Events": ["s3:ObjectCreated:*"]}])
            sent.calls.clear()
            sent.down = True
            await w.call("PutObject", Bucket="bucket", Key="k", Body=b"")
            for _ in range(3):
                await w.settle()
                w.clock.advance(10 * 60_000)
            sent.down = False
            await w.settle()
            assert [record["s3"]["object"]["key"] for record in sent.records()] == ["k"]
            sent.down = True
            await w.call("PutObject", Bucket="bucket", Key="lost", Body=b"")
            w.clock.advance(25 * 3_600_000)
            await w.settle()
            sent.down = False
            w.clock.advance(3_600_000)
            await w.settle()
            assert sent.calls == []

    asyncio.run(scenario())


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


# The whole way with a real queue, whose policy lets S3 send for this bucket only.
def test_real_queue(s3: Any, client: Any, advance: Any, name: str) -> None:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{name}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    for bucket in (name, f"{name}-other"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    with pytest.raises(ClientError) as error:
        s3.put_bucket_notification_configuration(Bucket=f"{name}-other", NotificationConfiguration=wanted)
    assert error.value.response["Error"]["Code"] == "InvalidArgument"
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    bodies = []
    while len(bodies) < 2:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]:
            bodies.append(json.loads(message["Body"]))
    assert sorted(each.get("Event") or each["Records"][0]["eventName"] for each in bodies) == [
        "ObjectCreated:Put",
        "s3:TestEvent",
    ]
