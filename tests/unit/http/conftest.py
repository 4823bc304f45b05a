"""One event loop in a thread for all tests here; each test has its own servers on it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import uvloop
from http_front import Front

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def front(_loop: asyncio.AbstractEventLoop) -> Iterator[Front]:
    front = Front(_loop)
    yield front
    for server in front.servers:
        front.run(server.close(0))
        assert server.connection_count() == 0
