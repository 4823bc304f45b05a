"""Every write handler runs a second time when its first commit meets a conflict, and must do the same again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from unkai.app.compose import IDENTITY, bootstrap, programs
from unkai.app.datadir import RootCredentials
from unkai.calls.authorize import Authorizer
from unkai.calls.execute import Platform
from unkai.kernel.caller import Caller
from unkai.kernel.clock import ManualClock
from unkai.kernel.errors import AwsError
from unkai.services import iam, sns, sqs
from unkai.store.api import Commit, Conflict
from unkai.store.engines.embedded import EmbeddedEngine
from unkai.store.engines.memory import open_memory

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
SECRET = b"s" * 32
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
FIFO = f"arn:aws:sns:{REGION}:{ACCOUNT}:f.fifo"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


class Contended:
    """An engine on which every commit meets a conflict, so that all transactions run again on the writer."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit) -> bytes:
        raise Conflict


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("CreateTopic", {"Name": "t", "Tags": [{"Key": "a", "Value": "b"}]}),
    ("CreateTopic", {"Name": "f.fifo", "Attributes": {"FifoTopic": "true", "ContentBasedDeduplication": "true"}}),
    ("SetTopicAttributes", {"TopicArn": TOPIC, "AttributeName": "DisplayName", "AttributeValue": "d"}),
    ("TagResource", {"ResourceArn": TOPIC, "Tags": [{"Key": "c", "Value": "d"}]}),
    ("UntagResource", {"ResourceArn": TOPIC, "TagKeys": ["a"]}),
    ("AddPermission", {"TopicArn": TOPIC, "Label": "l", "AWSAccountId": ["999999999999"], "ActionName": ["Publish"]}),
    ("RemovePermission", {"TopicArn": TOPIC, "Label": "l"}),
    ("PutDataProtectionPolicy", {"ResourceArn": TOPIC, "DataProtectionPolicy": "{}"}),
    ("Subscribe", {"TopicArn": TOPIC, "Protocol": "sqs", "Endpoint": QUEUE}),
    ("Subscribe", {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://example.com/"}),
    ("Subscribe", {"TopicArn": FIFO, "Protocol": "sqs", "Endpoint": QUEUE}),
    ("Publish", {"TopicArn": TOPIC, "Message": "m"}),
    ("Publish", {"TopicArn": FIFO, "Message": "m", "MessageGroupId": "g"}),
    ("Publish", {"TopicArn": FIFO, "Message": "m", "MessageGroupId": "g"}),
    (
        "PublishBatch",
        {
            "TopicArn": FIFO,
            "PublishBatchRequestEntries": [
                {"Id": "1", "Message": "x", "MessageGroupId": "g"},
                {"Id": "2", "Message": "x", "MessageGroupId": "g"},
            ],
        },
    ),
    ("DeleteTopic", {"TopicArn": FIFO}),
]


async def run_all(contended: bool) -> tuple[list[Any], int]:
    """The answers, and how many tasks are waiting."""
    engine = open_memory(programs(SECRET))
    clock = ManualClock()
    services = (*iam.SERVICES, sns.SERVICE, sqs.SERVICE)
    used: Any = Contended(engine) if contended else engine
    platform = Platform(services, used, clock, SECRET, Authorizer(IDENTITY), None)  # type: ignore[arg-type]
    await bootstrap(platform, RootCredentials(ACCOUNT, "AKIATEST000000000000", "0" * 40))
    answers: list[Any] = []
    for operation, inp in CALLS:
        answers.append(await platform.call("sns", operation, inp, as_=ROOT, region=REGION))
    arn = answers[8]["SubscriptionArn"]
    attribute = {"AttributeName": "FilterPolicy", "AttributeValue": '{"a":["b"]}'}
    for operation, inp in (("SetSubscriptionAttributes", attribute), ("Unsubscribe", {}), ("Unsubscribe", {})):
        await platform.call("sns", operation, {"SubscriptionArn": arn, **inp}, as_=ROOT, region=REGION)
    snapshot = engine.snapshot()
    broken = await sns.invariants.check(snapshot)
    waiting = len(await snapshot.get_range(b"\x02task", b"\x02tasl"))
    snapshot.close()
    assert broken == []
    return answers, waiting


def without_ids(answers: list[Any]) -> list[Any]:
    return [sorted(answer) for answer in answers]


# The same answers (ids aside), the same tasks, and whole invariants, whether or not every commit was refused the first time.
def test_second_runs() -> None:
    calm, calm_tasks = asyncio.run(run_all(False))
    busy, busy_tasks = asyncio.run(run_all(True))
    assert without_ids(busy) == without_ids(calm)
    assert busy_tasks == calm_tasks
    for answers in (calm, busy):
        first, duplicate, batch = answers[12], answers[13], answers[14]["Successful"]
        assert duplicate == first, "a duplicate gets the first one's answer"
        assert batch[0]["SequenceNumber"] == batch[1]["SequenceNumber"] > first["SequenceNumber"]


# The default policy lets no other account in; one that names an account lets it do what it names, and nothing else.
def test_default_policy_does_not_open_the_topic_to_other_accounts() -> None:
    async def main() -> None:
        engine = open_memory(programs(SECRET))
        services = (*iam.SERVICES, sns.SERVICE, sqs.SERVICE)
        platform = Platform(services, engine, ManualClock(), SECRET, Authorizer(IDENTITY), None)  # type: ignore[arg-type]
        await bootstrap(platform, RootCredentials(ACCOUNT, "AKIATEST000000000000", "0" * 40))
        await platform.call("sns", "CreateTopic", {"Name": "t"}, as_=ROOT, region=REGION)
        stranger = Caller("Root", "999999999999", "arn:aws:iam::999999999999:root", user_id="999999999999")
        publish = {"TopicArn": TOPIC, "Message": "m"}
        with pytest.raises(AwsError, match="AuthorizationError"):
            await platform.call("sns", "Publish", publish, as_=stranger, region=REGION)
        grant = {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "SNS:Publish", "Resource": TOPIC}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [grant]})
        value = {"TopicArn": TOPIC, "AttributeName": "Policy", "AttributeValue": policy}
        await platform.call("sns", "SetTopicAttributes", value, as_=ROOT, region=REGION)
        await platform.call("sns", "Publish", publish, as_=stranger, region=REGION)
        with pytest.raises(AwsError, match="AuthorizationError"):
            await platform.call("sns", "DeleteTopic", {"TopicArn": TOPIC}, as_=stranger, region=REGION)

    asyncio.run(main())
