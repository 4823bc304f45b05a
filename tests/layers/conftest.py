"""A memory engine and blobs in a temporary folder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from unkai.layers.blobs import FileBlobs
from unkai.store.engines.memory import open_memory

if TYPE_CHECKING:
    from pathlib import Path

    from unkai.store.engines.embedded import EmbeddedEngine


@pytest.fixture
def engine() -> EmbeddedEngine:
    return open_memory({})


@pytest.fixture
def blobs(tmp_path: Path, engine: EmbeddedEngine) -> FileBlobs:
    blobs = FileBlobs(tmp_path / "blobs", engine.snapshot)
    asyncio.run(blobs.recover())
    return blobs
