"""One node for all service tests: what they make has random names, so that they do not see each other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from tests.node import Node, running


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    # HTTP subscriptions are tested with endpoints on this machine.
    options = ("--allow-outbound", "127.0.0.0/8")
    with running(tmp_path_factory.mktemp("node") / "data", options=options) as node:
        yield node
        log = node.data_dir.with_suffix(".log").read_text()
        assert "Traceback" not in log, log


@pytest.fixture(scope="session")
def client(node: Node) -> Callable[..., Any]:
    """client("sqs") gives a boto3 client with root's key; the same one each time, since making one is slow."""
    return cache(node.client)


@pytest.fixture(scope="session")
def endpoint(node: Node) -> str:
    return node.endpoint


@pytest.fixture
def advance(node: Node) -> Callable[[float], None]:
    """advance(seconds) moves node time; what falls due is done when it returns."""
    return node.advance


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
