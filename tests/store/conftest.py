"""Runs `async def` tests on a loop, and the conformance suite on every engine."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from store_worlds import ENGINES, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None

    async def main() -> None:
        async with AsyncExitStack() as stack:
            arguments = {}
            for name in pyfuncitem._fixtureinfo.argnames:
                value = pyfuncitem.funcargs[name]
                arguments[name] = await stack.enter_async_context(value) if isinstance(value, World) else value
            async with asyncio.timeout(60):
                await pyfuncitem.obj(**arguments)

    asyncio.run(main())
    return True


@pytest.fixture(params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)
