"""Lambda and the services around it, on one node: Logs, S3 and SNS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.lambda_.conftest import TRUST, eventually, package, said

Make = Callable[..., str]


# A function's lines are readable in its log group, in a stream of the day and version, soon after it ran.
def test_output_is_logged(lam: Any, make: Make, client: Callable[..., Any]) -> None:
    name = make()
    request_id = lam.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    logs = client("logs")

    def lines() -> Any:
        try:
            return logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []

    found = eventually(lines, timeout_s=2)
    assert any(one["message"].startswith(f"START RequestId: {request_id}") for one in found)
    assert "[$LATEST]" in found[0]["logStreamName"]


# A role without rights on logs logs nothing, and runs all the same.
def test_no_rights_no_logs(lam: Any, make: Make, client: Callable[..., Any], name: str) -> None:
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    silent, loud = make(Role=role), make()
    assert lam.invoke(FunctionName=silent)["StatusCode"] == 200
    lam.invoke(FunctionName=loud)

    def groups() -> list[str]:
        found = client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
        return [one["logGroupName"] for one in found]

    eventually(lambda: f"/aws/lambda/{loud}" in groups())
    assert f"/aws/lambda/{silent}" not in groups()


# Packages come from S3 too, read with the caller's own rights; what S3 refuses is said in S3's words.
def test_code_from_s3(lam: Any, make: Make, client: Callable[..., Any], name: str) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=name, Key="f.zip", Body=package("def lambda_handler(e, c):\n    return 1"))[
        "VersionId"
    ]
    s3.put_object(Bucket=name, Key="f.zip", Body=package("def lambda_handler(e, c):\n    return 2") + b"")
    latest = make(Code={"S3Bucket": name, "S3Key": "f.zip"})
    older = make(Code={"S3Bucket": name, "S3Key": "f.zip", "S3ObjectVersion": first})
    assert lam.invoke(FunctionName=latest)["Payload"].read() == b"2"
    assert lam.invoke(FunctionName=older)["Payload"].read() == b"1"
    with pytest.raises(ClientError, match="S3 Error Code: NoSuchKey") as caught:
        make(Code={"S3Bucket": name, "S3Key": "none.zip"})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"


COLLECT = "import json\ndef lambda_handler(event, context):\n    print('SAID', json.dumps(event))\n"


# The first architecture's way: an object is put, S3 tells a topic, the topic invokes the function.
def test_s3_to_sns_to_function(lam: Any, make: Make, client: Callable[..., Any], name: str) -> None:
    function = make(COLLECT)
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
    sns, s3 = client("sns"), client("s3")
    topic = sns.create_topic(Name=name)["TopicArn"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    lam.add_permission(
        FunctionName=function,
        StatementId="sns",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    s3.create_bucket(Bucket=name)
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]},
    )
    s3.put_object(Bucket=name, Key="picture.png", Body=b"x")

    def keys() -> list[str]:
        events = [json.loads(line) for line in said(client, function)]
        messages = [json.loads(record["Sns"]["Message"]) for event in events for record in event["Records"]]
        return [record["s3"]["object"]["key"] for message in messages for record in message.get("Records", ())]

    assert eventually(keys) == ["picture.png"]


# S3 invokes directly where the function's policy lets the bucket; without that the notification is refused.
def test_s3_to_function(lam: Any, make: Make, client: Callable[..., Any], name: str) -> None:
    function = make(COLLECT)
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    wanted = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    lam.add_permission(
        FunctionName=function,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{name}",
        SourceAccount="123456789012",
    )
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    s3.put_object(Bucket=name, Key="a", Body=b"x")
    eventually(lambda: '"key": "a"' in "".join(said(client, function)))
