from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
