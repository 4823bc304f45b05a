"""Events through the whole node, on the real runtime: an object is put, a topic tells a function, the function writes a result."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.node import ACCOUNT, REGION, Node, running

CODE = """
import json, boto3
s3 = boto3.client("s3")

def lambda_handler(event, context):
    for record in json.loads(event["Records"][0]["Sns"]["Message"]).get("Records", []):
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if body == b"bad":
            raise ValueError("no picture: " + key)
        s3.put_object(Bucket="results", Key=key + ".upper", Body=body.upper())
"""
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
RIGHTS = [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"},
    {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::results/*"},
    {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"},
    {"Effect": "Allow", "Action": "logs:*", "Resource": "*"},
]

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns").exists(), reason="functions run on Linux")


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def eventually(look: Any, timeout_s: float = 20.0) -> Any:
    """What other processes do takes real time; what AWS would wait for is not waited for here."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return found


def deploy(node: Node) -> str:
    """The dead-letter queue's URL."""
    for bucket in ("photos", "results"):
        node.client("s3").create_bucket(Bucket=bucket)
    sns, lam, iam = node.client("sns"), node.client("lambda"), node.client("iam")
    topic = sns.create_topic(Name="put")["TopicArn"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::photos"}},
    }
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document(allow))
    failed = node.client("sqs").create_queue(QueueName="failed")["QueueUrl"]
    role = iam.create_role(RoleName="converter", AssumeRolePolicyDocument=document(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="converter", PolicyName="p", PolicyDocument=document(*RIGHTS))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("lambda_function.py", CODE)
    function = lam.create_function(
        FunctionName="convert",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Code={"ZipFile": out.getvalue()},
        Handler="lambda_function.lambda_handler",
        Timeout=20,
        DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"},
    )["FunctionArn"]
    lam.add_permission(
        FunctionName=function,
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    notification = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    node.client("s3").put_bucket_notification_configuration(Bucket="photos", NotificationConfiguration=notification)
    return str(failed)


# Architecture 2 in small: every object put becomes a result; what cannot be converted is tried three times, ends in the
# dead-letter queue, and its reason stands in the function's log. A right that is taken away is gone with the next event.
def test_object_to_topic_to_function_to_object(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=2) as node:
        failed = deploy(node)
        s3 = node.client("s3")
        for key, body in (("a", b"one"), ("b", b"two"), ("bad", b"bad")):
            s3.put_object(Bucket="photos", Key=key, Body=body)

        eventually(lambda: s3.list_objects_v2(Bucket="results")["KeyCount"] == 2)
        assert s3.get_object(Bucket="results", Key="a.upper")["Body"].read() == b"ONE"

        logs = node.client("logs")

        def errors() -> list[str]:
            group = "/aws/lambda/convert"
            if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                return []
            events = logs.filter_log_events(logGroupName=group, filterPattern="ValueError")["events"]
            return [event["message"] for event in events if "no picture: bad" in event["message"]]

        eventually(errors)
        node.advance(240)
        sqs = node.client("sqs")
        message = eventually(lambda: sqs.receive_message(QueueUrl=failed).get("Messages"))[0]
        assert "bad" in message["Body"]
        eventually(lambda: len(errors()) == 3)
