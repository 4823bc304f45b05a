"""Function output on its way to CloudWatch Logs, against a Logs service of a few lines."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from unkai.kernel.caller import service_caller
from unkai.kernel.clock import ManualClock
from unkai.kernel.ctx import Ctx
from unkai.kernel.errors import AwsError, access_denied
from unkai.kernel.functions import LogBatch, LogLine
from unkai.kernel.ids import Ids
from unkai.services.lambda_.logs import HELD_SIZE_BYTES_MAX, FunctionLogs

ROLE = "arn:aws:iam::123456789012:role/r"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


class Node:
    """A node with STS and Logs, and nothing else."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.clock = ManualClock()
        self.allowed = allowed
        self.streams: dict[tuple[str, str], list[str]] = {}
        self.groups: set[str] = set()
        self.callers: set[str] = set()
        self.puts = 0

    async def run(self, ctx: Any, step: Any, inp: Any, *, ending: bool = False) -> Any:
        return ROLE

    async def call(
        self, service: str, operation: str, inp: Any, *, as_: Any, region: str, finishing: Any = None
    ) -> Any:
        if service == "sts":
            keys = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 1 << 60}
            return {"Credentials": keys, "AssumedRoleUser": {"AssumedRoleId": "AROA:f", "Arn": "arn"}}
        self.callers.add(as_.arn)
        if not self.allowed:
            raise access_denied("no")
        group, stream = inp["logGroupName"], inp.get("logStreamName", "")
        if operation == "CreateLogGroup":
            self.groups.add(group)
        elif group not in self.groups or (operation == "PutLogEvents" and (group, stream) not in self.streams):
            raise AwsError("ResourceNotFoundException", "")
        elif operation == "CreateLogStream":
            self.streams.setdefault((group, stream), [])
        else:
            self.puts += 1
            self.streams[group, stream] += [event["message"] for event in inp["logEvents"]]
        return {}


def make(node: Node) -> FunctionLogs:
    ctx = Ctx(service_caller("lambda.amazonaws.com", ""), "", "", "r", 0, Ids(b"s", "r"))
    return FunctionLogs(ctx, node)  # type: ignore[arg-type]


def batch(*texts: str) -> LogBatch:
    return LogBatch(
        ARN, "123456789012", "us-east-1", "/aws/lambda/f", "s", [LogLine(n, t) for n, t in enumerate(texts)]
    )


# The role makes its group and stream on first use, and what comes together is written together.
def test_lines_are_written_in_one_call() -> None:
    async def main() -> Node:
        node = Node()
        logs = make(node)
        await logs(batch("START"))
        await logs(batch("one", "two"))
        await logs.write()
        return node

    node = asyncio.run(main())
    assert node.streams == {("/aws/lambda/f", "s"): ["START", "one", "two"]}
    assert node.puts == 1
    assert node.callers == {ROLE}


# A group that somebody deletes is made again, as on AWS.
def test_a_deleted_group_comes_back() -> None:
    async def main() -> Node:
        node = Node()
        logs = make(node)
        await logs(batch("before"))
        await logs.write()
        node.groups.clear()
        node.streams.clear()
        await logs(batch("after"))
        await logs.write()
        return node

    assert asyncio.run(main()).streams == {("/aws/lambda/f", "s"): ["after"]}


# A role without rights on logs logs nothing, and nothing else comes of it.
def test_without_rights_nothing_is_logged() -> None:
    async def main() -> Node:
        node = Node(allowed=False)
        logs = make(node)
        await logs(batch("x"))
        await logs.write()
        return node

    assert asyncio.run(main()).streams == {}


# A function that writes faster than the store takes lines cannot eat the process's memory.
def test_what_is_held_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> SimpleNamespace:
        node = Node()
        logs = make(node)
        for _ in range(40):
            await logs(batch("x" * (HELD_SIZE_BYTES_MAX // 20)))
        return SimpleNamespace(held=logs._held_bytes)

    assert asyncio.run(main()).held <= HELD_SIZE_BYTES_MAX
    assert "dropped" in caplog.text
