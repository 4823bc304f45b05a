from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from iam_driver import Node

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def node() -> Iterator[Node]:
    """A fresh account; whatever the test did, the stored invariants must hold after it."""
    fresh = Node()
    yield fresh
    assert fresh.broken() == []
    fresh.close()
