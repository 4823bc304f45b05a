"""What Logs does by itself: retention, removal, deliveries. Every write handler runs twice here (see driver)."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.services.logs.driver import ACCOUNT, FUNCTION, REGION, Node
from unkai.calls.programs import run_of
from unkai.kernel.caller import service_caller
from unkai.kernel.errors import AwsError
from unkai.services.logs import events, keys
from unkai.services.logs.streams import note_last_event
from unkai.store.retry import run
from unkai.store.tuples import pack

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@pytest.fixture
def node() -> Iterator[Node]:
    with closing(Node()) as node:
        node.policy = _policy("logs.amazonaws.com")
        node.call("CreateLogGroup", logGroupName="g")
        node.call("CreateLogStream", logGroupName="g", logStreamName="s")
        yield node


def _policy(principal: str) -> str:
    """What lambda:AddPermission writes for Logs, as AWS's guide has it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": principal},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:*"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def put(node: Node, *messages: str, stream: str = "s", back_ms: int = 0) -> None:
    ms = node.clock.node_ms() - back_ms
    given = [{"timestamp": ms, "message": message} for message in messages]
    node.call("PutLogEvents", logGroupName="g", logStreamName=stream, logEvents=given)


def messages(node: Node) -> list[str]:
    return [event["message"] for event in node.call("FilterLogEvents", logGroupName="g")["events"]]


def subscribe(node: Node, pattern: str = "", name: str = "f") -> None:
    node.call(
        "PutSubscriptionFilter", logGroupName="g", filterName=name, filterPattern=pattern, destinationArn=FUNCTION
    )


def delivered(node: Node) -> list[dict[str, Any]]:
    """What the function was given, unpacked as every consumer of Logs unpacks it."""
    out = []
    for _, inp in node.invocations:
        if inp["InvocationType"] == "Event":
            data = json.loads(inp["Payload"])["awslogs"]["data"]
            out.append(json.loads(gzip.decompress(base64.b64decode(data))))
    return out


# An event is hidden the moment its retention ends, removed soon after, and its bytes are given back; later events stay.
def test_retention_removes(node: Node) -> None:
    node.call("PutRetentionPolicy", logGroupName="g", retentionInDays=1)
    put(node, "old", back_ms=HOUR_MS)
    node.advance(0)
    put(node, "new")
    assert messages(node) == ["old", "new"]
    node.clock.advance(23 * HOUR_MS + 1000)
    assert messages(node) == ["new"]
    node.advance(HOUR_MS)
    node.advance(HOUR_MS)
    assert messages(node) == []
    assert node.call("DescribeLogGroups")["logGroups"][0]["storedBytes"] == 0
    assert node.rows(pack("logsg")[:6]) > 0  # the stream is still there


# Retention takes what ended before it was asked for, in pages; without retention nothing is removed.
def test_retention_of_what_is_there(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unkai.services.logs.workers.ENTRIES_PAGE", 3)
    for at in range(10):
        put(node, str(at), back_ms=(10 - at) * DAY_MS)
    node.call("PutRetentionPolicy", logGroupName="g", retentionInDays=5)
    node.advance(0)
    node.call("DeleteRetentionPolicy", logGroupName="g")
    assert messages(node) == ["5", "6", "7", "8", "9"]
    node.advance(400 * DAY_MS)
    assert messages(node) == ["5", "6", "7", "8", "9"]


# Deleting removes all rows by pages, and what is made again under the old name is empty.
def test_deletion_removes_everything(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENTRIES_PAGE", "CHUNKS_PAGE", "SMALL_ROWS_PAGE"):
        monkeypatch.setattr(f"unkai.services.logs.workers.{name}", 2)
    node.call("CreateLogStream", logGroupName="g", logStreamName="kept")
    for _ in range(5):
        put(node, "a")
        put(node, "b", stream="kept")
    node.call("DeleteLogStream", logGroupName="g", logStreamName="s")
    assert messages(node) == ["b"] * 5  # before the rows are removed
    node.advance(0)
    node.call("CreateLogStream", logGroupName="g", logStreamName="s")
    assert messages(node) == ["b"] * 5
    node.call("DeleteLogStream", logGroupName="g", logStreamName="s")
    node.call("DeleteLogGroup", logGroupName="g")
    node.advance(0)
    assert node.rows(pack("logsg")) == 0
    node.call("CreateLogGroup", logGroupName="g")
    assert messages(node) == []


# Matching events reach the function once each, in AWS's envelope, with the ids that FilterLogEvents shows.
def test_delivery(node: Node) -> None:
    subscribe(node, "ERROR")
    put(node, "ERROR one", "fine", "ERROR ü")
    put(node, "nothing here")
    node.advance(0)
    (got,) = delivered(node)
    shown = node.call("FilterLogEvents", logGroupName="g", filterPattern="ERROR")["events"]
    assert got == {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "g",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [
            {"id": event["eventId"], "timestamp": event["timestamp"], "message": event["message"]} for event in shown
        ],
    }
    caller = node.invocations[-1][0]
    assert (caller.arn, caller.source_arn) == (
        "logs.amazonaws.com",
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:*",
    )


# A batch that is larger than one invocation may carry is cut; nothing is lost or repeated.
def test_large_deliveries_are_cut(node: Node) -> None:
    subscribe(node)
    sent = [f"{at} " + "x" * 100_000 for at in range(10)]
    put(node, *sent)
    node.advance(0)
    got = delivered(node)
    assert len(got) > 2
    assert sorted(event["message"] for part in got for event in part["logEvents"]) == sorted(sent)


# Throttled, it is tried again; refused, it is dropped: nobody waits behind it.
def test_delivery_is_tried_again(node: Node) -> None:
    subscribe(node)
    node.refusals = [AwsError("TooManyRequestsException", "Rate exceeded", status=429)] * 2
    put(node, "patient")
    node.advance(0)
    assert delivered(node) == []
    for _ in range(3):
        node.advance(5000)
    assert [part["logEvents"][0]["message"] for part in delivered(node)] == ["patient"]
    node.refusals = [AwsError("ResourceNotFoundException", "Function not found", status=404)]
    put(node, "dropped")
    for _ in range(3):
        node.advance(DAY_MS)
    assert len(delivered(node)) == 1


# The function must allow Logs when the filter is put; a permission for the service in its region counts as well.
def test_permission_is_checked(node: Node) -> None:
    node.policy = None
    with pytest.raises(AwsError, match="Could not execute the lambda function"):
        subscribe(node)
    assert node.call("DescribeSubscriptionFilters", logGroupName="g")["subscriptionFilters"] == []
    node.policy = _policy(f"logs.{REGION}.amazonaws.com")
    subscribe(node)
    put(node, "x")
    node.advance(0)
    assert len(delivered(node)) == 1


# At most two per group; putting one again replaces it and keeps its creation time; all is refused before anything is invoked.
def test_limits_of_filters(node: Node) -> None:
    subscribe(node, name="b")
    subscribe(node, name="a")
    with pytest.raises(AwsError, match="Resource limit exceeded"):
        subscribe(node, name="c")
    node.clock.advance(1000)
    subscribe(node, "ERROR", name="b")
    first, second = node.call("DescribeSubscriptionFilters", logGroupName="g")["subscriptionFilters"]
    assert (first["filterName"], second["filterPattern"]) == ("a", "ERROR")
    assert second["creationTime"] == node.clock.node_ms() - 1000
    page = node.call("DescribeSubscriptionFilters", logGroupName="g", limit=1)
    rest = node.call("DescribeSubscriptionFilters", logGroupName="g", limit=1, nextToken=page["nextToken"])
    assert rest["subscriptionFilters"] == [second]
    assert "nextToken" not in rest
    node.call("DeleteSubscriptionFilter", logGroupName="g", filterName="a")
    with pytest.raises(AwsError, match=r"The specified subscription filter does not exist\."):
        node.call("DeleteSubscriptionFilter", logGroupName="g", filterName="a")


# Destinations that are not there yet say so; those that are wrong are refused in AWS's words.
@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (
            {"destinationArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/x"},
            "InvalidParameterException",
            "without roleArn",
        ),
        (
            {"destinationArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/x", "roleArn": "arn:aws:iam::1:role/x"},
            "NotImplemented",
            "kinesis",
        ),
        (
            {"destinationArn": f"arn:aws:lambda:{REGION}:210987654321:function:x"},
            "AccessDeniedException",
            "Cross-account",
        ),
        ({"destinationArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:x"}, "InvalidParameterException", "destinationArn"),
        ({"filterPattern": "{ nonsense"}, "InvalidParameterException", "Invalid filter pattern"),
        ({"logGroupName": "none"}, "ResourceNotFoundException", r"The specified log group does not exist\."),
    ],
)
def test_refused_destinations(node: Node, more: dict[str, Any], code: str, message: str) -> None:
    given: dict[str, Any] = {"logGroupName": "g", "filterName": "f", "filterPattern": "", "destinationArn": FUNCTION}
    with pytest.raises(AwsError, match=message) as refused:
        node.call("PutSubscriptionFilter", **(given | more))
    assert refused.value.code == code
    assert node.invocations == []


# A resource policy lets a service of AWS write; statements for other principals are not enforced, as AWS documents.
def test_resource_policies(node: Node) -> None:
    route53 = service_caller("route53.amazonaws.com", ACCOUNT)
    given: Any = {"logGroupName": "g", "logStreamName": "s"}
    event = [{"timestamp": node.clock.node_ms(), "message": "query"}]
    with pytest.raises(AwsError, match="not authorized"):
        node.call("PutLogEvents", as_=route53, **given, logEvents=event)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "route53.amazonaws.com", "AWS": "*"},
        "Action": "logs:PutLogEvents",
        "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    node.call("PutResourcePolicy", policyName="p", policyDocument=document)
    node.call("PutLogEvents", as_=route53, **given, logEvents=event)
    with pytest.raises(AwsError, match="not authorized"):
        node.call("PutLogEvents", as_=service_caller("sns.amazonaws.com", ACCOUNT), **given, logEvents=event)
    with pytest.raises(AwsError, match="not authorized"):
        node.call("GetLogEvents", as_=route53, **given)


# The index of streams by last event survives two puts that both move it from the same place: readers drop the stale row.
def test_streams_by_last_event_after_a_race(node: Node) -> None:
    put(node, "x")
    now = node.clock.node_ms()
    node.call("CreateLogStream", logGroupName="g", logStreamName="other")

    async def race(ctx: Any, tx: Any, inp: Any) -> None:
        """As a put that read its place before the other one moved it."""
        group = await events.load_group(ctx, tx, ACCOUNT, "g")
        stream = await events.load_stream(tx, group, "s")
        tx.set(keys.last_event(group.id, (now + 5000).to_bytes(8, "big"), stream.id), b"s")
        await note_last_event(tx, group, stream, now + 9000)

    ctx = node.platform.make_ctx(service_caller("logs.amazonaws.com", ACCOUNT), ACCOUNT, REGION, "race")
    node.loop.run_until_complete(run(node.memory, run_of("logs.race", race, ctx, {})))
    node.check()
    found = node.call("DescribeLogStreams", logGroupName="g", orderBy="LastEventTime", descending=True)["logStreams"]
    assert [stream["logStreamName"] for stream in found] == ["s", "other"]
