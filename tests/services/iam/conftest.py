from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.node import Node as RunningNode
from tests.services.iam.driver import Node


@pytest.fixture
def local() -> Iterator[Node]:
    """A fresh account in this process; whatever the test did, the stored invariants must hold after it."""
    fresh = Node()
    yield fresh
    assert fresh.broken() == []
    fresh.close()


@pytest.fixture
def iam(client: Callable[..., Any]) -> Any:
    return client("iam")


@pytest.fixture
def sts(client: Callable[..., Any]) -> Any:
    return client("sts")


@pytest.fixture
def signed(node: RunningNode) -> Callable[..., Any]:
    """signed("sts", credentials) is a client with those credentials, in the form of CreateAccessKey's or AssumeRole's answer."""

    def make(service: str, credentials: dict[str, Any]) -> Any:
        return node.client(
            service,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
        )

    return make


@pytest.fixture
def user(iam: Any, name: str) -> dict[str, Any]:
    """A user without rights, named `name`, with an access key."""
    made: dict[str, Any] = iam.create_user(UserName=name, Path="/people/")["User"]
    return made | iam.create_access_key(UserName=name)["AccessKey"]


@pytest.fixture
def allow(iam: Any, name: str) -> Callable[..., None]:
    """allow("sqs:*", "*") gives the user named `name` one more inline policy."""

    def put(action: Any, resource: Any = "*", effect: str = "Allow", **condition: Any) -> None:
        statement = {"Effect": effect, "Action": action, "Resource": resource}
        if condition:
            statement["Condition"] = condition
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        count = len(iam.list_user_policies(UserName=name)["PolicyNames"])
        iam.put_user_policy(UserName=name, PolicyName=f"p{count}", PolicyDocument=text)

    return put
