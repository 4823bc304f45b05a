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


@pytest.fixture
def pure() -> Iterator[Pure]:
    """Handlers without a server; nothing is broken afterwards."""
    node = Pure()
    yield node
    assert node.broken() == []
    node.close()
