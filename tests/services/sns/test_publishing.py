"""Publishing to queues: envelopes, signatures, attributes, filters, structure, batches, dead letters, fan-out."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.services.sns.conftest import Queue
from tests.services.sns.test_topics import refused


# The envelope is JSON with these members, and its signature verifies with the certificate that it names: what every SNS message
# validator does, for both signature versions.
@pytest.mark.parametrize(("version", "algorithm"), [("1", hashes.SHA1()), ("2", hashes.SHA256())])
def test_envelope_and_signature(
    sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str], version: str, algorithm: Any
) -> None:
    arn = subscribe(topic, queue)
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
    attributes = {
        "n": {"DataType": "Number", "StringValue": "99.12"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03"},
    }
    sent = sns.publish(TopicArn=topic, Message='grüße "x"\n', Subject="s", MessageAttributes=attributes)
    body = json.loads(queue.receive()[0]["Body"])

    certificate_url, unsubscribe_url = body.pop("SigningCertURL"), body.pop("UnsubscribeURL")
    signature = base64.b64decode(body.pop("Signature"))
    timestamp = body.pop("Timestamp")
    assert body == {
        "Type": "Notification",
        "MessageId": sent["MessageId"],
        "TopicArn": topic,
        "Subject": "s",
        "Message": 'grüße "x"\n',
        "SignatureVersion": version,
        "MessageAttributes": {"n": {"Type": "Number", "Value": "99.12"}, "b": {"Type": "Binary", "Value": "AgM="}},
    }
    assert arn in unsubscribe_url
    with urllib.request.urlopen(certificate_url) as answer:
        key = x509.load_pem_x509_certificate(answer.read()).public_key()
    signed = {**body, "Timestamp": timestamp}
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{signed[name]}\n" for name in names)
    key.verify(signature, text.encode(), padding.PKCS1v15(), algorithm)  # type: ignore[union-attr, call-arg]


# With raw delivery the queue gets the message as it was published, and its attributes as the queue's own.
def test_raw_delivery(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(topic, queue, RawMessageDelivery="true")
    sns.publish(TopicArn=topic, Message="as it is", MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}})
    (message,) = queue.receive()
    assert message["Body"] == "as it is"
    assert message["MessageAttributes"] == {"a": {"DataType": "String", "StringValue": "b"}}


# Two queues, two filters: one on attributes, one on the body. A body that is no JSON passes no filter on bodies.
def test_filters(sns: Any, topic: str, make_queue: Callable[..., Queue], subscribe: Callable[..., str]) -> None:
    by_attribute, by_body = make_queue("a"), make_queue("b")
    subscribe(topic, by_attribute, FilterPolicy='{"kind":["x"]}')
    subscribe(topic, by_body, FilterPolicy='{"k":{"l":[{"numeric":[">",1]}]}}', FilterPolicyScope="MessageBody")
    kind = {"kind": {"DataType": "String", "StringValue": "x"}}
    sns.publish(TopicArn=topic, Message='{"k":{"l":2}}', MessageAttributes=kind)
    sns.publish(TopicArn=topic, Message="no json", MessageAttributes=kind)
    sns.publish(TopicArn=topic, Message='{"k":{"l":5}}')
    sns.publish(TopicArn=topic, Message='{"k":{"l":1}}')
    assert sorted(by_attribute.bodies(2)) == ["no json", '{"k":{"l":2}}']
    assert sorted(by_body.bodies(2)) == ['{"k":{"l":2}}', '{"k":{"l":5}}']


# MessageStructure json gives each protocol its own body.
def test_message_structure(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(topic, queue)
    publish = {"TopicArn": topic, "MessageStructure": "json"}
    sns.publish(Message='{"default":"d","sqs":"for queues"}', **publish)
    sns.publish(Message='{"default":"d","lambda":"l"}', **publish)
    assert sorted(queue.bodies(2)) == ["d", "for queues"]
    with refused("InvalidParameter", "Message Structure - JSON message body failed to parse"):
        sns.publish(Message="x", **publish)
    with refused("InvalidParameter", "Message Structure - No default entry in JSON message body"):
        sns.publish(Message='{"sqs":"x"}', **publish)


@pytest.mark.parametrize(
    ("inp", "code", "message"),
    [
        ({"Message": ""}, "InvalidParameter", "Empty message"),
        ({"Message": "x" * 262_145}, "InvalidParameter", "Message too long"),
        ({"Subject": ""}, "InvalidParameter", "Subject"),
        ({"Subject": "x" * 101}, "InvalidParameter", "Subject"),
        ({"Subject": "a\nb"}, "InvalidParameter", "Subject"),
        ({"MessageDeduplicationId": "x"}, "InvalidParameter", "not valid for this topic type"),
        ({"MessageStructure": "xml"}, "InvalidParameter", "MessageStructure"),
    ],
)
def test_refused_messages(sns: Any, topic: str, inp: dict[str, str], code: str, message: str) -> None:
    with refused(code, message):
        sns.publish(**{"TopicArn": topic, "Message": "x"} | inp)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("a", {"DataType": "String", "StringValue": ""}, "must contain non-empty message attribute value"),
        ("a", {"DataType": "Number", "StringValue": "x"}, "Could not cast message attribute 'a' value to number"),
        ("a", {"DataType": "Odd", "StringValue": "x"}, "invalid message attribute type"),
        ("a", {"DataType": "String", "BinaryValue": b"x"}, "with type 'String' must use field 'String'"),
        ("a", {"DataType": "Binary", "StringValue": "x"}, "with type 'Binary' must use field 'Binary'"),
        ("a^", {"DataType": "String", "StringValue": "x"}, "Invalid non-alphanumeric character '#x5E'"),
        (".a", {"DataType": "String", "StringValue": "x"}, "starting with character '.'"),
        ("a.", {"DataType": "String", "StringValue": "x"}, "ending with character '.'"),
        ("a..b", {"DataType": "String", "StringValue": "x"}, "successive '.' character"),
        ("a" * 256, {"DataType": "String", "StringValue": "x"}, "must be less than 256 bytes"),
        ("a", {"DataType": "String.Array", "StringValue": "{}"}, "JSON array"),
    ],
)
def test_refused_attributes(sns: Any, topic: str, attribute: str, value: Any, message: str) -> None:
    with refused("ParameterValueInvalid", message):
        sns.publish(TopicArn=topic, Message="x", MessageAttributes={attribute: value})


def test_batch(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(topic, queue)
    entries = [{"Id": str(n), "Message": f"m{n}"} for n in range(9)] + [{"Id": "bad", "Message": "x", "Subject": "\n"}]
    out = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [each["Id"] for each in out["Successful"]] == [str(n) for n in range(9)]
    assert [(each["Id"], each["Code"]) for each in out["Failed"]] == [("bad", "InvalidParameter")]
    assert sorted(queue.bodies(9)) == [f"m{n}" for n in range(9)]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([{"Id": str(n), "Message": "x"} for n in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "1", "Message": "x"}, {"Id": "1", "Message": "y"}], "BatchEntryIdsNotDistinct"),
        ([{"Id": "a.b", "Message": "x"}], "InvalidBatchEntryId"),
        ([{"Id": "a" * 81, "Message": "x"}], "InvalidBatchEntryId"),
        ([{"Id": str(n), "Message": "x" * 140_000} for n in range(2)], "BatchRequestTooLong"),
    ],
)
def test_refused_batches(sns: Any, topic: str, entries: Any, code: str) -> None:
    with refused(code, ""):
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)


# A queue that does not let SNS in is the subscriber's fault: the message goes to the dead-letter queue at once, untouched.
@pytest.mark.parametrize("raw", ["true", "false"])
def test_dead_letters(
    sns: Any, topic: str, make_queue: Callable[..., Queue], subscribe: Callable[..., str], raw: str
) -> None:
    closed, dead = make_queue("closed", policy=False), make_queue("dead")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn})
    subscribe(topic, closed, RedrivePolicy=redrive, RawMessageDelivery=raw)
    sns.publish(TopicArn=topic, Message="lost?")
    (message,) = dead.receive()
    assert (message["Body"] if raw == "true" else json.loads(message["Body"])["Message"]) == "lost?"


# A topic with more subscriptions than one transaction serves: each one still gets the message, once.
@pytest.mark.slow
def test_fan_out_to_many(sns: Any, topic: str, make_queue: Callable[..., Queue], subscribe: Callable[..., str]) -> None:
    queues = [make_queue(str(n)) for n in range(103)]
    for queue in queues:
        subscribe(topic, queue, RawMessageDelivery="true")
    sns.publish(TopicArn=topic, Message="to all")
    for queue in queues:
        assert [message["Body"] for message in queue.receive()] == ["to all"]


# A group on a standard topic goes along to the queue, where it makes a fair queue.
def test_group_on_a_standard_topic(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    subscribe(topic, queue)
    sns.publish(TopicArn=topic, Message="x", MessageGroupId="tenant-1")
    assert queue.bodies() == ["x"]
