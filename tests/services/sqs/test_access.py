"""Policies of queues, tags, and who may do what."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.node import ACCESS_KEY_ID, ACCOUNT, REGION, SECRET, Node
from tests.services.sqs.sqs_driver import Pure
from unkai.kernel.caller import Caller, anonymous
from unkai.kernel.errors import AwsError

OTHER = "210987654321"


def arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def policy_of(sqs: Any, queue: str) -> Any:
    shown = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"]).get("Attributes", {})
    return json.loads(shown["Policy"]) if shown else None


# AddPermission writes the statement that AWS writes; labels are unique; the policy is gone with its last statement.
def test_permissions(sqs: Any, queue: str, name: str) -> None:
    inp = {"QueueUrl": queue, "Label": "one", "AWSAccountIds": [OTHER], "Actions": ["ReceiveMessage"]}
    sqs.add_permission(**inp)
    statement = {
        "Sid": "one",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "SQS:ReceiveMessage",
        "Resource": arn(name),
    }
    expected = {"Version": "2008-10-17", "Id": f"{arn(name)}/SQSDefaultPolicy", "Statement": [statement]}
    assert policy_of(sqs, queue) == expected
    with pytest.raises(ClientError, match="Value one for parameter Label is invalid"):
        sqs.add_permission(**inp)
    with pytest.raises(ClientError, match="Only the queue owner is allowed to invoke this action"):
        sqs.add_permission(**inp | {"Label": "two", "Actions": ["DeleteQueue"]})
    sqs.remove_permission(QueueUrl=queue, Label="one")
    assert policy_of(sqs, queue) is None
    with pytest.raises(ClientError, match=r"can.t find label"):
        sqs.remove_permission(QueueUrl=queue, Label="one")


# A policy that could not be evaluated is refused when it is set. An empty one removes it, as Terraform does.
def test_policy_attribute(sqs: Any, queue: str) -> None:
    with pytest.raises(ClientError) as refused:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": '{"Statement": [{"Effect": "Maybe"}]}'})
    assert refused.value.response["Error"]["Code"] == "InvalidAttributeValue"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    assert policy_of(sqs, queue) == policy
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    assert policy_of(sqs, queue) is None


# A denial in the queue's own policy binds its account's root too, for a batch by the action of its single form.
def test_policy_is_enforced(sqs: Any, queue: str) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    for call, inp in (
        (sqs.send_message, {"MessageBody": "x"}),
        (sqs.send_message_batch, {"Entries": [{"Id": "1", "MessageBody": "x"}]}),
    ):
        with pytest.raises(ClientError, match="not authorized to perform: sqs:SendMessage") as refused:
            call(QueueUrl=queue, **inp)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    sqs.receive_message(QueueUrl=queue)


# Tags are set, merged and taken away, and policies may ask for them.
def test_tags(sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name, tags={"a": "1", "b": ""})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2", "c": "3"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "none"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2", "c": "3"}
    condition = {"StringEquals": {"aws:ResourceTag/c": "3"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:PurgeQueue", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    with pytest.raises(ClientError, match="not authorized"):
        sqs.purge_queue(QueueUrl=url)
    sqs.untag_queue(QueueUrl=url, TagKeys=["c", "b"])
    sqs.purge_queue(QueueUrl=url)
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=url)
    with pytest.raises(ClientError, match="Tag keys must be between 1 and 128"):
        sqs.tag_queue(QueueUrl=url, Tags={"": "x"})


# KMS settings are kept and shown, and turn the other kind of encryption off.
def test_kms_attributes(sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name, Attributes={"KmsMasterKeyId": "alias/aws/sqs"})["QueueUrl"]
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert shown["KmsMasterKeyId"] == "alias/aws/sqs"
    assert shown["KmsDataKeyReusePeriodSeconds"] == "300"
    assert shown["SqsManagedSseEnabled"] == "false"
    with pytest.raises(ClientError, match="Unknown Attribute Nonsense"):
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Nonsense"])


# Older SDKs and plain HTTP clients speak the query protocol: forms in, XML out, with the same answers.
def test_query_protocol(sqs: Any, queue: str, node: Node) -> None:
    out = query(
        node,
        {
            "Action": "SendMessageBatch",
            "QueueUrl": queue,
            "SendMessageBatchRequestEntry.1.Id": "one",
            "SendMessageBatchRequestEntry.1.MessageBody": "x & y",
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name": "a",
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType": "Number",
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue": "1",
            "SendMessageBatchRequestEntry.2.Id": "two",
            "SendMessageBatchRequestEntry.2.MessageBody": "z",
            "SendMessageBatchRequestEntry.2.DelaySeconds": "901",
        },
    )
    assert "<SendMessageBatchResultEntry><Id>one</Id>" in out
    assert "<BatchResultErrorEntry><Id>two</Id>" in out
    form = {"Action": "ReceiveMessage", "QueueUrl": queue, "AttributeName.1": "All", "MessageAttributeName.1": "a"}
    received = query(node, form)
    assert "<Body>x &amp; y</Body>" in received
    assert "<Attribute><Name>SenderId</Name>" in received
    assert "<MessageAttribute><Name>a</Name><Value>" in received
    refused = query(node, {"Action": "SendMessage", "QueueUrl": queue + "-none", "MessageBody": "x"})
    assert "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in refused
    assert "<Code>MissingParameter</Code>" in query(node, {"Action": "SendMessage", "QueueUrl": queue})


def query(node: Node, form: dict[str, str]) -> str:
    body = urlencode({"Version": "2012-11-05", **form})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", node.endpoint + "/", data=body, headers=headers)
    SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET), "sqs", REGION).add_auth(request)
    with urllib3.PoolManager() as pool:
        return pool.request("POST", node.endpoint + "/", body=body, headers=dict(request.headers)).data.decode()


# A policy may open a queue to the world for messages, but never its settings: AWS keeps those to the owner's account, whatever
# the policy says.
@pytest.mark.parametrize("caller", [anonymous(), Caller("Root", OTHER, f"arn:aws:iam::{OTHER}:root", user_id=OTHER)])
def test_strangers_never_own(pure: Pure, caller: Caller) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*"}]}
    pure.call("CreateQueue", QueueName="q", Attributes={"Policy": json.dumps(policy)})
    url = f"http://any/{ACCOUNT}/q"
    pure.call_as(caller, "SendMessage", QueueUrl=url, MessageBody="x")
    for operation, inp in (("DeleteQueue", {}), ("SetQueueAttributes", {"Attributes": {"DelaySeconds": "1"}})):
        with pytest.raises(AwsError) as refused:
            pure.call_as(caller, operation, QueueUrl=url, **inp)
        assert refused.value.code == "AccessDenied"
