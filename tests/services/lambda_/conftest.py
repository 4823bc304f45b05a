"""A node that runs functions, and the role and packages that tests need.

UNKAI_TEST_RUNNER=real drives the node's own runner instead of the one in tests/fake_runner.py; the tests are the same.
"""

from __future__ import annotations

import io
import json
import os
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.node import Node, running

MODULE = "unkai.cli" if os.environ.get("UNKAI_TEST_RUNNER") == "real" else "tests.fake_runner"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ECHO = "def lambda_handler(event, context):\n    return event\n"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("lambda") / "data", module=MODULE) as node:
        yield node
        log = node.data_dir.with_suffix(".log").read_text()
        assert "Traceback" not in log, log


@pytest.fixture(scope="session")
def client(node: Node) -> Callable[..., Any]:
    from functools import cache

    return cache(node.client)


@pytest.fixture(scope="session")
def endpoint(node: Node) -> str:
    return node.endpoint


@pytest.fixture
def lam(client: Callable[..., Any]) -> Any:
    return client("lambda")


@pytest.fixture(scope="session")
def role(client: Callable[..., Any]) -> str:
    """The ARN of a role that Lambda may assume, and that may do everything."""
    iam = client("iam")
    arn: str = iam.create_role(RoleName="lambda-tests", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="lambda-tests", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    return arn


def package(code: str = ECHO, name: str = "lambda_function.py") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, textwrap.dedent(code))
    return out.getvalue()


@pytest.fixture
def make(lam: Any, role: str) -> Callable[..., str]:
    """make(code, **settings) creates a function under a new name; its name."""

    def make(code: str = ECHO, **settings: Any) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        given: dict[str, Any] = {"Runtime": "python3.12", "Role": role, "Code": {"ZipFile": package(code)}, **settings}
        lam.create_function(FunctionName=name, **given)
        return name

    return make


def said(client: Callable[..., Any], function: str) -> list[str]:
    """What a function has printed so far, as its log has it: the lines that begin with "SAID "."""
    logs = client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
        lines = [event["message"].rstrip() for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [line.removeprefix("SAID ") for line in lines if line.startswith("SAID ")]


def eventually(look: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """What `look` gives once it gives something. For what other processes do; time that AWS waits for is moved, not slept."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
    return found
