"""Groups, streams and events as a client sees them; wordings as AWS gives them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.node import ACCESS_KEY_ID, ACCOUNT, REGION, SECRET, Node


@pytest.fixture
def logs(client: Callable[..., Any]) -> Any:
    return client("logs")


@pytest.fixture
def group(logs: Any, name: str) -> str:
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    return name


@pytest.fixture
def now(node: Node) -> int:
    return int(node.control("GET", "/_unkai/clock")["node_ms"])


def refused(call: Callable[..., Any], **inp: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        call(**inp)
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


# What DescribeLogGroups gives, with both forms of the ARN; Terraform and CDK compare each of these members.
def test_group_members(logs: Any, name: str) -> None:
    logs.create_log_group(
        logGroupName=name, tags={"a": "b"}, kmsKeyId="arn:aws:kms:us-east-1:1:key/x", deletionProtectionEnabled=True
    )
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    (found,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert found.pop("creationTime") > 1_600_000_000_000
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    assert found == {
        "logGroupName": name,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "metricFilterCount": 0,
        "storedBytes": 0,
        "retentionInDays": 7,
        "kmsKeyId": "arn:aws:kms:us-east-1:1:key/x",
        "logGroupClass": "STANDARD",
        "deletionProtectionEnabled": True,
    }
    assert refused(logs.delete_log_group, logGroupName=name)[0] == "ValidationException"
    logs.put_log_group_deletion_protection(logGroupIdentifier=arn, deletionProtectionEnabled=False)
    logs.disassociate_kms_key(resourceIdentifier=arn)
    assert "kmsKeyId" not in logs.describe_log_groups(logGroupIdentifiers=[name])["logGroups"][0]
    logs.delete_log_group(logGroupName=name)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []


# Both tagging APIs see the same tags; the newer one takes the ARN without `:*`.
def test_tags(logs: Any, group: str) -> None:
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    logs.tag_log_group(logGroupName=group, tags={"old": "1"})
    logs.tag_resource(resourceArn=arn, tags={"new": "2"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"old": "1", "new": "2"}
    logs.untag_resource(resourceArn=arn, tagKeys=["old"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"new": "2"}
    logs.untag_log_group(logGroupName=group, tags=["new"])
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {}
    many = {str(at): "x" for at in range(50)}
    logs.tag_resource(resourceArn=arn, tags=many)
    assert refused(logs.tag_resource, resourceArn=arn, tags={"one": "more"})[0] == "TooManyTagsException"


# Listing pages by name, prefix and substring; ListLogGroups takes alternatives.
def test_listing(logs: Any, name: str) -> None:
    names = [f"{name}/{letter}" for letter in "abc"]
    for each in names:
        logs.create_log_group(logGroupName=each)
    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=name, PaginationConfig={"PageSize": 2}
    )
    assert [[found["logGroupName"] for found in page["logGroups"]] for page in pages] == [names[:2], names[2:]]
    by_part = logs.describe_log_groups(logGroupNamePattern=f"{name[3:]}/b")["logGroups"]
    assert [found["logGroupName"] for found in by_part] == [names[1]]
    listed = logs.list_log_groups(logGroupNamePattern=f"^{name[:10]}|nothing-like-it")["logGroups"]
    assert {found["logGroupName"] for found in listed} >= set(names)
    assert refused(logs.describe_log_groups, logGroupNamePrefix="a", logGroupNamePattern="b") == (
        "InvalidParameterException",
        "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
    )


# Names of up to 512 characters, beyond what a key holds, keep apart and keep their order by prefix.
def test_long_names(logs: Any, group: str) -> None:
    names = ["ü" * 500 + letter for letter in "ab"]
    for each in names:
        logs.create_log_stream(logGroupName=group, logStreamName=each)
    found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="ü" * 500)["logStreams"]
    assert sorted(stream["logStreamName"] for stream in found) == names
    only = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=names[1])["logStreams"]
    assert [stream["logStreamName"] for stream in only] == [names[1]]


# AWS's wordings, some without a full stop.
def test_wordings(logs: Any, group: str, now: int) -> None:
    invalid = "InvalidParameterException"
    event = [{"timestamp": now, "message": "x"}]
    given = {"logGroupName": group, "logStreamName": "s"}
    expected = [
        (
            logs.create_log_group,
            {"logGroupName": group},
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        ),
        (logs.create_log_stream, given, "ResourceAlreadyExistsException", "The specified log stream already exists"),
        (
            logs.delete_log_group,
            {"logGroupName": "no"},
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
        (
            logs.put_log_events,
            {"logGroupName": group, "logStreamName": "no", "logEvents": event},
            "ResourceNotFoundException",
            "The specified log stream does not exist.",
        ),
        (
            logs.create_log_group,
            {"logGroupName": "x" * 513},
            invalid,
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512.",
        ),
        (
            logs.get_log_events,
            {**given, "limit": 10001},
            invalid,
            "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: "
            "Member must have value less than or equal to 10000",
        ),
        (
            logs.get_log_events,
            {"logGroupIdentifier": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*", "logStreamName": "s"},
            invalid,
            "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [\\w#+=/:,.@-]*",
        ),
        (logs.get_log_events, {**given, "nextToken": "x/1"}, invalid, "The specified nextToken is invalid."),
        (
            logs.filter_log_events,
            {"logGroupName": group, "nextToken": "no"},
            invalid,
            "The specified nextToken is invalid.",
        ),
        (
            logs.describe_log_streams,
            {"logGroupName": group, "logGroupIdentifier": group},
            "ValidationException",
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
        ),
        (
            logs.delete_resource_policy,
            {"policyName": "none"},
            "ResourceNotFoundException",
            "Policy with name [none] does not exist.",
        ),
        (
            logs.delete_metric_filter,
            {"logGroupName": group, "filterName": "f"},
            "ResourceNotFoundException",
            "The specified metric filter does not exist.",
        ),
    ]
    for call, inp, code, message in expected:
        assert refused(call, **inp) == (code, message)
    assert refused(logs.put_retention_policy, logGroupName=group, retentionInDays=2)[0] == invalid


# A batch is refused whole where it is malformed; events out of the window are left out and named by index, the rest is kept.
def test_put_limits(logs: Any, group: str, now: int) -> None:
    given = {"logGroupName": group, "logStreamName": "s"}
    day = 86_400_000

    def put(*times: int, message: str = "x", count: int = 1) -> Any:
        return logs.put_log_events(**given, logEvents=[{"timestamp": ms, "message": message} for ms in times] * count)

    out = put(now - 15 * day, now - 1000, now, now + day)
    assert out["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3}
    assert len(out["nextSequenceToken"]) == 56
    assert len(logs.get_log_events(**given)["events"]) == 2
    assert put(now - 20 * day)["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    for times, words in (
        ((now, now - 1), "chronological order"),
        ((now - 2 * day, now), "cannot span more than 24 hours"),
    ):
        code, message = refused(put_of(logs, given), times=times)
        assert code == "InvalidParameterException"
        assert words in message
    put(now, message="y" * (1_048_576 - 26))
    with pytest.raises(ClientError, match="Upload too large: 1048577 bytes exceeds limit of 1048576"):
        put(now, message="y" * (1_048_576 - 25))
    put(now, count=10_000)
    with pytest.raises(ClientError, match="less than or equal to 10000"):
        put(now, count=10_001)
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert put(now - 2 * day, now)["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}


def put_of(logs: Any, given: dict[str, str]) -> Callable[..., Any]:
    def put(times: tuple[int, ...]) -> Any:
        return logs.put_log_events(**given, logEvents=[{"timestamp": ms, "message": "x"} for ms in times])

    return put


# Streams by name and by last event, up and down, in pages; streams without events come first when ascending.
def test_streams(logs: Any, group: str, now: int) -> None:
    for at, each in enumerate(("b", "a", "c")):
        logs.create_log_stream(logGroupName=group, logStreamName=each)
        event = [{"timestamp": now - 50_000 + at * 10_000, "message": "x"}]
        logs.put_log_events(logGroupName=group, logStreamName=each, logEvents=event)
    orders: list[tuple[dict[str, Any], str]] = [
        ({}, "abcs"),
        ({"descending": True}, "scba"),
        ({"orderBy": "LastEventTime"}, "sbac"),
        ({"orderBy": "LastEventTime", "descending": True}, "cabs"),
    ]
    for order, expected in orders:
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, PaginationConfig={"PageSize": 3}, **order
        )
        assert "".join(stream["logStreamName"] for page in pages for stream in page["logStreams"]) == expected
    (found,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a")["logStreams"]
    assert found["firstEventTimestamp"] == found["lastEventTimestamp"] == now - 40_000
    assert found["storedBytes"] == 0
    assert found["lastIngestionTime"] >= now
    assert found["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:a"
    (empty,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="s")["logStreams"]
    assert "lastEventTimestamp" not in empty


# Metric filters are kept and given back, by group, by prefix and by metric; TestMetricFilter tests the pattern.
def test_metric_filters(logs: Any, group: str) -> None:
    metric = {"metricName": group, "metricNamespace": "n", "metricValue": "$bytes", "defaultValue": 0.0}
    for each in ("one", "two"):
        logs.put_metric_filter(
            logGroupName=group, filterName=each, filterPattern="[ip, bytes]", metricTransformations=[metric]
        )
    found = logs.describe_metric_filters(metricName=group, metricNamespace="n")["metricFilters"]
    assert [each["filterName"] for each in found] == ["one", "two"]
    assert found[0]["metricTransformations"] == [metric]
    assert found[0]["applyOnTransformedLogs"] is False
    pages = logs.get_paginator("describe_metric_filters").paginate(logGroupName=group, PaginationConfig={"PageSize": 1})
    assert [page["metricFilters"][0]["filterName"] for page in pages] == ["one", "two"]
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["metricFilterCount"] == 2
    tested = logs.test_metric_filter(filterPattern="[ip, bytes > 10]", logEventMessages=["a 5", "b 11"])["matches"]
    assert tested == [{"eventNumber": 2, "eventMessage": "b 11", "extractedValues": {"$ip": "b", "$bytes": "11"}}]


# Policies of the account by name, of a group by its ARN with a revision that guards against lost updates.
def test_resource_policies(logs: Any, group: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "es.amazonaws.com"}, "Action": "logs:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    logs.put_resource_policy(policyName=group, policyDocument=document)
    found = [row for row in logs.describe_resource_policies()["resourcePolicies"] if row["policyName"] == group]
    assert found[0]["policyDocument"] == document
    assert found[0]["policyScope"] == "ACCOUNT"
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    revision = logs.put_resource_policy(resourceArn=arn, policyDocument=document)["revisionId"]
    assert refused(logs.put_resource_policy, resourceArn=arn, policyDocument=document)[0] == "InvalidParameterException"
    logs.delete_resource_policy(resourceArn=arn, expectedRevisionId=revision)
    assert refused(logs.put_resource_policy, policyName="x", policyDocument="{")[0] == "InvalidParameterException"
    logs.delete_resource_policy(policyName=group)


# Whatever characters a message has, it comes back as it was put.
@pytest.mark.parametrize("message", ["\x00\x01", "ü😀", "\u2028", "a\tb\r\nc"])
def test_any_text(logs: Any, group: str, now: int, message: str) -> None:
    given = {"logGroupName": group, "logStreamName": "s"}
    logs.put_log_events(**given, logEvents=[{"timestamp": now, "message": message}])
    assert [event["message"] for event in logs.get_log_events(**given)["events"]] == [message]


# What is not built answers with an error that names it, never with a success.
def test_what_is_missing_says_so(logs: Any, group: str) -> None:
    with pytest.raises(ClientError, match="logs:StartQuery"):
        logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")


# `aws logs tail --follow` pages through FilterLogEvents, remembers the ids at the latest timestamp, and asks again from there.
# Each event is shown once, also where several have one timestamp and come one after the other.
def test_what_the_command_line_does_to_follow(logs: Any, group: str, now: int) -> None:
    shown: list[str] = []
    seen_ids: set[str] = set()
    since = now - 10_000
    pages = logs.get_paginator("filter_log_events")
    for batch in (["a", "b"], ["c"], [], ["d"]):
        for message in batch:
            event = [{"timestamp": now + (message == "d"), "message": message}]
            logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=event)
        inp = {"logGroupName": group, "interleaved": True, "startTime": since}
        for page in pages.paginate(**inp, PaginationConfig={"PageSize": 1}):
            for event in page["events"]:
                if event["eventId"] not in seen_ids:
                    shown.append(event["message"])
                    seen_ids.add(event["eventId"])
                    since = max(since, event["timestamp"])
    assert shown == ["a", "b", "c", "d"]


# The real thing, where version 2 of the command line is installed (version 1 has no `logs tail`).
@pytest.mark.slow
def test_the_command_line_follows(node: Node, logs: Any, group: str, now: int) -> None:
    aws = shutil.which("aws")
    if aws is None or "aws-cli/2" not in subprocess.run([aws, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("version 2 of the aws command is not installed")
    for at in range(3):
        event = [{"timestamp": now - 1000 + at, "message": f"line {at}"}]
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=event)
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
    }
    command = [aws, "--endpoint-url", node.endpoint, "logs", "tail", group, "--follow"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        shown = [process.stdout.readline() for _ in range(3)]
        event = [{"timestamp": now + 5, "message": "line 3"}]
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=event)
        shown.append(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert [line.split(" s ")[1].strip() for line in shown] == ["line 0", "line 1", "line 2", "line 3"]
