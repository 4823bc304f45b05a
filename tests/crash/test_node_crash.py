"""Kill each kind of process of a running node under load, at random moments.

Nothing that was acknowledged may be lost, and what clients see is retryable and over within two seconds.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.node import Node, running

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("UNKAI_CRASH_ROUNDS", "6"))
SENDERS = 4
RECOVERY_S_MAX = 2.0


class Sender(threading.Thread):
    """Sends numbered messages until told to stop; knows what was acknowledged and how long it was ever refused."""

    def __init__(self, node: Node, url: str, name: str) -> None:
        super().__init__()
        self.sqs = node.client("sqs")
        self.url = url
        self.label = name
        self.stopped = threading.Event()
        self.acknowledged: set[str] = set()
        self.refusals: list[str] = []
        self.longest_outage_s = 0.0

    def run(self) -> None:
        number = 0
        since = None
        while not self.stopped.is_set():
            body = f"{self.label}-{number}"
            number += 1
            try:
                self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
            except (ClientError, BotoCoreError) as error:
                since = since or time.monotonic()
                self._note(error)
                continue
            if since is not None:
                self.longest_outage_s = max(self.longest_outage_s, time.monotonic() - since)
                since = None
            self.acknowledged.add(body)

    def _note(self, error: Exception) -> None:
        if isinstance(error, ClientError):
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status not in (500, 502, 503, 504):
                self.refusals.append(str(error))


def children(node: Node, kind: str) -> list[int]:
    """The processes of a node whose name begins with `unkai-` and `kind`."""
    pid = node.process.pid
    pids = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().startswith(f"unkai-{kind}")]


def receive_all(sqs: Any, url: str) -> list[str]:
    bodies: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=3600).get("Messages"):
        bodies += [message["Body"] for message in messages]
    return bodies


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    rng = random.Random()
    with running(tmp_path / "data", workers=2) as node:
        url = node.client("sqs").create_queue(QueueName="crash")["QueueUrl"]
        senders = [Sender(node, url, f"s{at}") for at in range(SENDERS)]
        for sender in senders:
            sender.start()
        assert len(children(node, "store")) == 1
        assert len(children(node, "worker")) == 2
        for round_ in range(ROUNDS):
            time.sleep(rng.uniform(0.2, 0.5))
            victims = children(node, "store" if round_ % 2 == 0 else "worker")
            if victims:  # the last one may still be starting
                os.kill(rng.choice(victims), signal.SIGKILL)
        time.sleep(0.5)
        for sender in senders:
            sender.stopped.set()
        for sender in senders:
            sender.join()
        received = receive_all(node.client("sqs"), url)
        assert node.process.poll() is None

    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert len(acknowledged) > 50
    assert acknowledged <= set(received), f"lost: {sorted(acknowledged - set(received))[:5]}"
    assert [line for sender in senders for line in sender.refusals] == []
    assert max(sender.longest_outage_s for sender in senders) < RECOVERY_S_MAX


# The whole node is killed, supervisor and all: what was acknowledged is there after the next start.
def test_the_whole_node_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=1) as node:
        url = node.client("sqs").create_queue(QueueName="crash")["QueueUrl"]
        sender = Sender(node, url, "s")
        sender.start()
        time.sleep(0.5)
        os.kill(node.process.pid, signal.SIGKILL)
        node.process.wait()
        sender.stopped.set()
        sender.join()
    assert sender.acknowledged
    with running(tmp_path / "data", workers=1) as node:
        received = receive_all(node.client("sqs"), url.replace(url.split("/")[2], node.endpoint.split("/")[2]))
    assert sender.acknowledged <= set(received)


CODE = "def lambda_handler(event, context):\n    return event['n'] + 1\n"
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def runtime_of(node: Node) -> list[int]:
    """The process that runs functions: the supervisor's child that is a program of its own."""
    pid = node.process.pid
    pids = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid for pid in pids if "unkai.app.functions" in Path(f"/proc/{pid}/cmdline").read_text()]


# What runs functions is killed with all its environments while it is called: callers see at most retryable errors, for less
# than two seconds, and it is there again.
@pytest.mark.skipif(not Path("/proc/self/ns").exists(), reason="functions run on Linux")
def test_a_killed_runtime_comes_back(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=1) as node:
        policy = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        role = node.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("lambda_function.py", CODE)
        lam = node.client("lambda")
        lam.create_function(
            FunctionName="f1",
            Runtime=f"python3.{sys.version_info.minor}",
            Role=role,
            Code={"ZipFile": package.getvalue()},
            Handler="lambda_function.lambda_handler",
        )
        refusals: set[int] = set()
        for n in range(3):
            assert json.load(lam.invoke(FunctionName="f1", Payload=json.dumps({"n": n}))["Payload"]) == n + 1
            (victim,) = runtime_of(node)
            os.kill(victim, signal.SIGKILL)
            since = time.monotonic()
            while True:
                try:
                    assert json.load(lam.invoke(FunctionName="f1", Payload=b'{"n": 1}')["Payload"]) == 2
                    break
                except ClientError as error:
                    refusals.add(error.response["ResponseMetadata"]["HTTPStatusCode"])
            assert time.monotonic() - since < RECOVERY_S_MAX
        assert refusals <= {500, 502, 503, 504}
