"""Deploys the file conversion: buckets, topic, dead-letter queue, a layer with Pillow, three functions, a role for each.

    photos bucket --s3:ObjectCreated--> topic --fan-out--> resize, to_jpg, archive --> variants bucket
                                                              | after the last retry
                                                              v
                                                        failed queue

Plain boto3: on AWS the same calls build the same thing. Each function's role may read the photos, write its own prefix of the
variants, write its own logs, and send to the failed queue; nothing else.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FUNCTIONS = {"resize": "300x300/*", "to_jpg": "jpg/*", "archive": "zip/*"}
RUNTIME = f"python3.{sys.version_info.minor}"
PILLOW = "pillow==13.0.0"


@dataclass(frozen=True)
class Deployed:
    photos: str
    variants: str
    topic: str
    failed: str
    """The dead-letter queue's URL."""


def deploy(session: Any, cache: Path, say: Any = lambda what: None) -> Deployed:
    """Build everything; `say` is told each step."""
    s3, sns, sqs = session.client("s3"), session.client("sns"), session.client("sqs")
    account = session.client("sts").get_caller_identity()["Account"]
    photos, variants = f"photos-{account}", f"variants-{account}"
    say("buckets")
    for bucket in (photos, variants):
        s3.create_bucket(Bucket=bucket)

    say("topic and queue")
    topic = sns.create_topic(Name="photo-uploaded")["TopicArn"]
    _let(
        sns.set_topic_attributes,
        "TopicArn",
        topic,
        "s3.amazonaws.com",
        "sns:Publish",
        f"arn:aws:s3:::{photos}",
        account,
    )
    failed = sqs.create_queue(QueueName="photos-failed")["QueueUrl"]
    failed_arn = sqs.get_queue_attributes(QueueUrl=failed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    say("layer with Pillow")
    layer = session.client("lambda").publish_layer_version(
        LayerName="pillow", Content={"ZipFile": _pillow_layer(cache)}, CompatibleRuntimes=[RUNTIME]
    )["LayerVersionArn"]

    for name, prefix in FUNCTIONS.items():
        say(f"function {name}")
        role = _role(
            session.client("iam"),
            name,
            account,
            f"arn:aws:s3:::{photos}/*",
            f"arn:aws:s3:::{variants}/{prefix}",
            failed_arn,
        )
        _function(session, name, role, layer, variants, failed_arn, topic)

    say("notification")
    s3.put_bucket_notification_configuration(
        Bucket=photos,
        NotificationConfiguration={"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]},
    )
    return Deployed(photos, variants, topic, failed)


def _let(set_attributes: Any, name: str, arn: str, service: str, action: str, source: str, account: str) -> None:
    """A resource policy that lets one service act for one resource of this account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": source}, "StringEquals": {"aws:SourceAccount": account}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    set_attributes(**{name: arn, "AttributeName": "Policy", "AttributeValue": policy})


def _role(iam: Any, name: str, account: str, source: str, target: str, failed: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    logs = f"arn:aws:logs:*:{account}:log-group:/aws/lambda/photo-{name}"
    rights = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": source},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": target},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": failed},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [logs, f"{logs}:*"],
        },
    ]
    arn: str = iam.create_role(RoleName=f"photo-{name}", AssumeRolePolicyDocument=_document([trust]))["Role"]["Arn"]
    iam.put_role_policy(RoleName=f"photo-{name}", PolicyName="least", PolicyDocument=_document(rights))
    return arn


def _document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _function(session: Any, name: str, role: str, layer: str, variants: str, failed: str, topic: str) -> None:
    lambda_ = session.client("lambda")
    function = lambda_.create_function(
        FunctionName=f"photo-{name}",
        Runtime=RUNTIME,
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": _zip(HERE / "functions" / name)},
        Layers=[layer],
        MemorySize=512,
        Timeout=30,
        Environment={"Variables": {"RESULT_BUCKET": variants}},
        DeadLetterConfig={"TargetArn": failed},
    )["FunctionArn"]
    lambda_.get_waiter("function_active_v2").wait(FunctionName=function)
    lambda_.add_permission(
        FunctionName=function,
        StatementId="topic",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    session.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)


def _zip(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.py")):
            archive.write(file, file.relative_to(folder))
    return out.getvalue()


def _pillow_layer(cache: Path) -> bytes:
    """A layer zip: python/PIL/... as pip installs it for the interpreter that runs the functions."""
    target = cache / f"layer-{RUNTIME}"
    if not (target / "PIL").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            + ["--target", str(target), PILLOW],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(target.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, Path("python") / file.relative_to(target))
    return out.getvalue()
