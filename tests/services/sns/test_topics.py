"""Topics: their attributes, policies and tags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.node import ACCOUNT, REGION


def refused(code: str, message: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{message}")


# A new topic has AWS's default policy and an effective delivery policy; tools compare both with what they expect.
def test_attributes_of_a_new_topic(sns: Any, topic: str) -> None:
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["TopicArn"] == topic
    assert attributes["Owner"] == ACCOUNT
    assert attributes["DisplayName"] == ""
    assert [attributes[f"Subscriptions{state}"] for state in ("Confirmed", "Pending", "Deleted")] == ["0", "0", "0"]
    assert "DeliveryPolicy" not in attributes
    assert "FifoTopic" not in attributes
    (statement,) = json.loads(attributes["Policy"])["Statement"]
    assert statement["Sid"] == "__default_statement_ID"
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    http = json.loads(attributes["EffectiveDeliveryPolicy"])["http"]
    assert http["defaultHealthyRetryPolicy"]["numRetries"] == 3
    assert http["defaultRequestPolicy"] == {"headerContentType": "text/plain; charset=UTF-8"}


# Creating a topic again gives the same ARN, unless attributes or tags that are given differ: infrastructure tools rely on it.
def test_create_again(sns: Any, name: str) -> None:
    made = sns.create_topic(Name=name, Attributes={"DisplayName": "d"}, Tags=[{"Key": "a", "Value": "1"}])["TopicArn"]
    assert made == f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}"
    assert sns.create_topic(Name=name)["TopicArn"] == made
    assert sns.create_topic(Name=name, Attributes={"DisplayName": "d"})["TopicArn"] == made
    with refused("InvalidParameter", "Topic already exists with different attributes"):
        sns.create_topic(Name=name, Attributes={"DisplayName": "other"})
    with refused("InvalidParameter", "Topic already exists with different tags"):
        sns.create_topic(Name=name, Tags=[{"Key": "a", "Value": "2"}])


@pytest.mark.parametrize("bad", ["", "a.b", "ü", "a" * 257, "a b", "x.fifo"])
def test_names(sns: Any, bad: str) -> None:
    with refused("InvalidParameter", "Topic Name"):
        sns.create_topic(Name=bad)


def test_fifo_names(sns: Any, name: str) -> None:
    with refused("InvalidParameter", "Fifo Topic names must end with .fifo"):
        sns.create_topic(Name=name, Attributes={"FifoTopic": "true"})


# Every attribute that Terraform's aws_sns_topic sets comes back as it was set; an empty value takes it back.
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("DisplayName", "Orders"),
        ("SignatureVersion", "2"),
        ("TracingConfig", "Active"),
        ("KmsMasterKeyId", "alias/aws/sns"),
        ("SQSSuccessFeedbackRoleArn", "arn:aws:iam::123456789012:role/x"),
        ("LambdaFailureFeedbackRoleArn", "arn:aws:iam::123456789012:role/x"),
        ("HTTPSuccessFeedbackSampleRate", "100"),
        ("MaximumMessageSize", "1048576"),
        (
            "DeliveryPolicy",
            '{"http":{"defaultHealthyRetryPolicy":{"numRetries":5},"disableSubscriptionOverrides":true}}',
        ),
    ],
)
def test_set_attributes(sns: Any, topic: str, attribute: str, value: str) -> None:
    sns.set_topic_attributes(TopicArn=topic, AttributeName=attribute, AttributeValue=value)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"][attribute] == value
    sns.set_topic_attributes(TopicArn=topic, AttributeName=attribute, AttributeValue="")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"].get(attribute, "") == ""


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("Nonsense", "x", "AttributeName"),
        ("SignatureVersion", "3", "SignatureVersion"),
        ("SQSSuccessFeedbackSampleRate", "101", "SampleRate"),
        ("MaximumMessageSize", "1048577", "MaximumMessageSize"),
        ("ContentBasedDeduplication", "true", "FIFO"),
        ("Policy", "{", "Policy Error"),
        (
            "Policy",
            '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}}',
            "out of service",
        ),
        (
            "DeliveryPolicy",
            '{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":9,"maxDelayTarget":5}}}',
            "minDelay",
        ),
        ("DeliveryPolicy", '{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}', "numRetries"),
    ],
)
def test_refused_attributes(sns: Any, topic: str, attribute: str, value: str, message: str) -> None:
    with refused("InvalidParameter", message):
        sns.set_topic_attributes(TopicArn=topic, AttributeName=attribute, AttributeValue=value)


# What is no topic: the two answers that clients tell apart.
def test_topics_that_are_not_there(sns: Any, topic: str) -> None:
    with refused("NotFound", "Topic does not exist"):
        sns.get_topic_attributes(TopicArn=topic + "x")
    with refused("InvalidParameter", "An ARN must have at least 6 elements, not 1"):
        sns.get_topic_attributes(TopicArn="nonsense")
    sns.delete_topic(TopicArn=topic)
    sns.delete_topic(TopicArn=topic)
    with refused("NotFound", "Topic does not exist"):
        sns.publish(TopicArn=topic, Message="x")


# AddPermission and RemovePermission are statements of the policy, by label.
def test_permissions(sns: Any, topic: str) -> None:
    grant = {"TopicArn": topic, "Label": "l", "AWSAccountId": ["999999999999"], "ActionName": ["Publish"]}
    sns.add_permission(**grant)
    statement = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])["Statement"][1]
    assert statement == {
        "Sid": "l",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::999999999999:root"},
        "Action": "SNS:Publish",
        "Resource": topic,
    }
    with refused("InvalidParameter", "Statement already exists"):
        sns.add_permission(**grant)
    with refused("InvalidParameter", "Policy statement action out of service scope"):
        sns.add_permission(**grant | {"Label": "m", "ActionName": ["Nonsense"]})
    sns.remove_permission(TopicArn=topic, Label="l")
    sns.remove_permission(TopicArn=topic, Label="never there")
    assert len(json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])["Statement"]) == 1


# An explicit Deny in the topic's policy binds even the owner's users, under SNS's own error code.
def test_the_policy_decides(sns: Any, client: Any, topic: str) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "SNS:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"] == policy
    with refused("AuthorizationError", "not authorized to perform: SNS:Publish on resource"):
        sns.publish(TopicArn=topic, Message="x")


def test_tags(sns: Any, topic: str) -> None:
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "3"}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["b", "never there"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "a", "Value": "3"}]
    with refused("ResourceNotFound", "Resource does not exist"):
        sns.list_tags_for_resource(ResourceArn=topic + "x")
    with refused("TagLimitExceeded", "tag quota"):
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)])
    with refused("InvalidParameter", "Duplicated keys are not allowed"):
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}])


# The data protection policy is kept and given back (Terraform reads it); it is not applied, as the docs say.
def test_data_protection_policy(sns: Any, topic: str) -> None:
    assert sns.get_data_protection_policy(ResourceArn=topic).get("DataProtectionPolicy", "") == ""
    sns.put_data_protection_policy(ResourceArn=topic, DataProtectionPolicy='{"Name":"x"}')
    assert sns.get_data_protection_policy(ResourceArn=topic)["DataProtectionPolicy"] == '{"Name":"x"}'


# Pages hold 100 topics, and together each one once.
def test_list_topics(sns: Any, name: str, client: Any) -> None:
    other = client("sns", region_name="eu-north-1")
    made = {other.create_topic(Name=f"{name}-{n}")["TopicArn"] for n in range(101)}
    first = other.list_topics()
    second = other.list_topics(NextToken=first["NextToken"])
    assert len(first["Topics"]) == 100
    assert "NextToken" not in second
    assert {each["TopicArn"] for each in first["Topics"] + second["Topics"]} == made


# What unkai lacks says so.
def test_operations_that_are_missing(sns: Any) -> None:
    with refused("NotImplemented", "sns:OptInPhoneNumber"):
        sns.opt_in_phone_number(phoneNumber="+15551234567")
    with refused("NotImplemented", "sms"):
        sns.publish(PhoneNumber="+15551234567", Message="x")
