"""Clients that invoke a function asynchronously, and a checker that knows what they were promised.

An event whose invocation was acknowledged runs at least once. One that fails at most twice succeeds and is never reported; one
that always fails runs at least three times and is then reported to the failure destination exactly once. An event that was not
acknowledged may run, and is reported at most once.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from typing import Any

from tests.sim.world import ACCOUNT, REGION, World
from unkai.kernel.errors import AwsError
from unkai.kernel.functions import FunctionSpec, Invocation

NAME = "function"
REPORTS = f"http://sim/{ACCOUNT}/reports"
ALWAYS = 99
TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
MAY_SEND = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}


class EventChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.acknowledged: set[int] = set()
        self.failures: dict[int, int] = {}
        """How often each event fails before it succeeds."""
        self.runs: Counter[int] = Counter()
        self.reported: dict[int, set[str]] = {}
        """The reports of each event. One that is received twice is still one."""
        self.broken: list[str] = []
        world.runner.outcome = self._outcome

    def _outcome(self, spec: FunctionSpec, invocation: Invocation) -> tuple[bytes, str]:
        number = json.loads(invocation.payload)["number"]
        self.runs[number] += 1
        if self.runs[number] <= self.failures[number]:
            return b'{"errorMessage": "on purpose"}', "Unhandled"
        return b'"done"', ""

    async def set_up(self) -> None:
        role = f"arn:aws:iam::{ACCOUNT}:role/runs"
        await self._insist("iam", "CreateRole", RoleName="runs", AssumeRolePolicyDocument=json.dumps(TRUST))
        policy = {"PolicyName": "p", "PolicyDocument": json.dumps(MAY_SEND)}
        await self._insist("iam", "PutRolePolicy", RoleName="runs", **policy)
        await self._insist("sqs", "CreateQueue", QueueName="reports")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(zipfile.ZipInfo("lambda_function.py"), "x")
        await self._insist(
            "lambda",
            "CreateFunction",
            FunctionName=NAME,
            Runtime="python3.12",
            Role=role,
            Code={"ZipFile": out.getvalue()},
        )
        to_queue = {"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:reports"}}
        await self._insist("lambda", "PutFunctionEventInvokeConfig", FunctionName=NAME, DestinationConfig=to_queue)

    async def _insist(self, service: str, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried, and then what was made already is no error."""
        while True:
            try:
                return await self.world.call(0, service, operation, **inp)
            except AwsError as error:
                if error.code in ("ResourceConflictException", "EntityAlreadyExists"):
                    return {}
                if error.sender_fault:
                    raise

    async def invoke(self, at: int) -> None:
        number = len(self.failures)
        self.failures[number] = self.world.random.choice([0, 0, 1, 2, ALWAYS])
        payload = json.dumps({"number": number}).encode()
        try:
            await self.world.call(at, "lambda", "Invoke", FunctionName=NAME, InvocationType="Event", Payload=payload)
        except AwsError as error:
            if error.sender_fault:
                self.broken.append(f"a client saw {error.code}: {error.message}")
            return
        self.acknowledged.add(number)

    async def drain(self) -> None:
        """Let every retry come due, then read all reports."""
        for _ in range(8):
            await self.world.jump(130_000)
            await self.world.quiet()
        empty = 0
        while empty < 3:
            # A take whose answer was lost has hidden its messages for the visibility timeout, and the receive looks empty.
            await self.world.jump(31_000)
            out = await self._insist("sqs", "ReceiveMessage", QueueUrl=REPORTS, MaxNumberOfMessages=10)
            empty = 0 if out.get("Messages") else empty + 1
            for message in out.get("Messages", ()):
                record = json.loads(message["Body"])
                self.reported.setdefault(record["requestPayload"]["number"], set()).add(message["MessageId"])
                if record["requestContext"]["condition"] != "RetriesExhausted":
                    self.broken.append(f"reported as {record['requestContext']['condition']}")
                await self._insist("sqs", "DeleteMessage", QueueUrl=REPORTS, ReceiptHandle=message["ReceiptHandle"])
        self._judge()

    def _judge(self) -> None:
        for number, failures in self.failures.items():
            runs, reports = self.runs[number], len(self.reported.get(number, ()))
            if number in self.acknowledged and not runs:
                self.broken.append(f"event {number} was acknowledged and never ran")
            if failures <= 2 and reports:
                self.broken.append(f"event {number} was reported although it fails only {failures} times")
            if failures <= 2 and runs and runs <= failures:
                self.broken.append(f"event {number} was given up after {runs} runs")
            if failures == ALWAYS and runs and (runs < 3 or reports != 1):
                self.broken.append(f"event {number} always fails, ran {runs} times and was reported {reports} times")
