from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.services.sqs.sqs_driver import Pure


@pytest.fixture
def sqs(client: Callable[..., Any]) -> Any:
    return client("sqs")


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


@pytest.fixture
def fifo(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return url


@pytest.fixture(params=[False, True], ids=["", "conflicts"])
def pure(request: pytest.FixtureRequest) -> Iterator[Pure]:
    """Handlers without a server, run once and run twice; nothing is broken afterwards."""
    node = Pure()
    node.engine.conflicts = request.param
    yield node
    assert node.broken() == []
    node.close()
