"""Subscriptions to queues and functions: making, listing, attributes, ending."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.node import ACCOUNT, REGION
from tests.services.sns.conftest import Queue
from tests.services.sns.test_topics import refused


# A queue of the caller's own account is confirmed at once.
def test_attributes(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    arn = subscribe(topic, queue)
    assert arn.startswith(topic + ":")
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"] == {
        "SubscriptionArn": arn,
        "TopicArn": topic,
        "Protocol": "sqs",
        "Endpoint": queue.arn,
        "Owner": ACCOUNT,
        "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
        "PendingConfirmation": "false",
        "ConfirmationWasAuthenticated": "true",
        "RawMessageDelivery": "false",
    }
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1"


# Subscribing an endpoint again gives the same subscription, unless attributes that are given differ.
def test_subscribe_again(topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    arn = subscribe(topic, queue, RawMessageDelivery="true")
    assert subscribe(topic, queue) == arn
    assert subscribe(topic, queue, RawMessageDelivery="true") == arn
    with refused("InvalidParameter", "Subscription already exists with different attributes"):
        subscribe(topic, queue, RawMessageDelivery="false")


# What is set comes back; FilterPolicyScope shows with a filter only; an empty value takes an attribute back.
def test_set_attributes(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    arn = subscribe(topic, queue)

    def set_attribute(attribute: str, value: str) -> dict[str, str]:
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=attribute, AttributeValue=value)
        attributes: dict[str, str] = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        return attributes

    assert set_attribute("RawMessageDelivery", "true")["RawMessageDelivery"] == "true"
    shown = set_attribute("FilterPolicy", '{"a":["b"]}')
    assert (shown["FilterPolicy"], shown["FilterPolicyScope"]) == ('{"a":["b"]}', "MessageAttributes")
    assert set_attribute("FilterPolicyScope", "MessageBody")["FilterPolicyScope"] == "MessageBody"
    assert set_attribute("FilterPolicy", '{"a":{"b":["c"]}}')["FilterPolicy"] == '{"a":{"b":["c"]}}'
    with refused("InvalidParameter", "Filter policy scope MessageAttributes does not support nested filter policy"):
        set_attribute("FilterPolicyScope", "MessageAttributes")
    assert "FilterPolicy" not in set_attribute("FilterPolicy", "{}")
    redrive = json.dumps({"deadLetterTargetArn": queue.arn})
    assert set_attribute("RedrivePolicy", redrive)["RedrivePolicy"] == redrive
    assert "RedrivePolicy" not in set_attribute("RedrivePolicy", "")


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("Nonsense", "x", "Invalid parameter: AttributeName"),
        ("RawMessageDelivery", "maybe", r"RawMessageDelivery: Invalid value \[maybe\]. Must be true or false."),
        ("FilterPolicyScope", "Random", r"FilterPolicyScope: Invalid value \[Random\]. Please use either"),
        ("FilterPolicy", "{invalid", "Invalid parameter: FilterPolicy: failed to parse JSON"),
        ("RedrivePolicy", "{invalid", "Invalid parameter: RedrivePolicy: failed to parse JSON"),
        ("RedrivePolicy", '{"deadLetterTargetArn":"x"}', "RedrivePolicy: deadLetterTargetArn is an invalid arn"),
        ("DeliveryPolicy", "{}", "only supported for http"),
    ],
)
def test_refused_attributes(
    sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str], attribute: str, value: str, message: str
) -> None:
    arn = subscribe(topic, queue)
    with refused("InvalidParameter", message):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=attribute, AttributeValue=value)


@pytest.mark.parametrize(
    ("protocol", "endpoint", "message"),
    [
        ("sqs", "https://example.com/queue", "Invalid parameter: SQS endpoint ARN"),
        (
            "sqs",
            f"arn:aws:sqs:{REGION}:{ACCOUNT}:x.fifo",
            "FIFO SQS Queues can not be subscribed to standard SNS topics",
        ),
        ("lambda", "x", "Invalid parameter: Lambda endpoint ARN"),
        ("http", "https://example.com", "Endpoint must match the specified protocol"),
        ("test-protocol", "x", "Amazon SNS does not support this protocol string: test-protocol"),
    ],
)
def test_refused_endpoints(sns: Any, topic: str, protocol: str, endpoint: str, message: str) -> None:
    with refused("InvalidParameter", message):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)


# Mail and telephones are out of this node's reach: it says so instead of keeping a subscription that never delivers.
@pytest.mark.parametrize("protocol", ["email", "email-json", "sms", "application", "firehose"])
def test_protocols_that_are_not_delivered(sns: Any, topic: str, protocol: str) -> None:
    with refused("NotImplemented", f"unkai does not deliver to the protocol {protocol}"):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint="x@example.com")


# Unsubscribing again succeeds; what is no subscription's ARN is refused in AWS's words.
def test_unsubscribe(sns: Any, topic: str, queue: Queue, subscribe: Callable[..., str]) -> None:
    arn = subscribe(topic, queue)
    sns.unsubscribe(SubscriptionArn=arn)
    sns.unsubscribe(SubscriptionArn=arn)
    with refused("NotFound", "Subscription does not exist"):
        sns.get_subscription_attributes(SubscriptionArn=arn)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "0"
    with refused("InvalidParameter", "SubscriptionArn Reason: An ARN must have at least 6 elements, not 1"):
        sns.unsubscribe(SubscriptionArn="nonsense")
    with refused("InvalidParameter", "Invalid parameter: SubscriptionId"):
        sns.unsubscribe(SubscriptionArn=topic)


# Both lists page by 100 and show each subscription once; a deleted topic's subscriptions vanish with it, and a topic of the
# same name starts with none.
def test_lists(client: Callable[..., Any], name: str, advance: Callable[[float], None]) -> None:
    sns = client("sns", region_name="eu-west-3")
    topic = sns.create_topic(Name=name)["TopicArn"]
    endpoints = {f"arn:aws:sqs:eu-west-3:{ACCOUNT}:{name}-{n}" for n in range(101)}
    for endpoint in endpoints:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)
    for operation, inp in ((sns.list_subscriptions_by_topic, {"TopicArn": topic}), (sns.list_subscriptions, {})):
        first = operation(**inp)
        second = operation(**inp, NextToken=first["NextToken"])
        shown = first["Subscriptions"] + second["Subscriptions"]
        assert len(first["Subscriptions"]) == 100
        assert {each["Endpoint"] for each in shown} == endpoints
        assert {each["TopicArn"] for each in shown} == {topic}
    sns.delete_topic(TopicArn=topic)
    advance(1)
    assert sns.list_subscriptions()["Subscriptions"] == []
    sns.create_topic(Name=name)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
