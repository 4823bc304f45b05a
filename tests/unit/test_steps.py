"""The steps of effects and tasks: what each kind gets, and that a read step leaves no snapshot open behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from unkai.app.compose import IDENTITY
from unkai.calls.authorize import Authorizer
from unkai.calls.execute import Platform
from unkai.calls.programs import programs_of
from unkai.kernel.caller import service_caller
from unkai.kernel.clock import ManualClock
from unkai.kernel.ctx import Ctx
from unkai.kernel.service import Service
from unkai.layers.blobs import FileBlobs
from unkai.store.api import ReadTx, Tx
from unkai.store.engines.memory import MemoryStore, open_memory

SECRET = b"s" * 32
KEY = b"\x01counted"


async def put(ctx: Ctx, tx: Tx, inp: Any) -> None:
    tx.set(KEY, inp)


async def append(ctx: Ctx, tx: Tx, inp: Any) -> None:
    tx.set(KEY, (await tx.get(KEY) or b"") + inp)


async def look(ctx: Ctx, tx: ReadTx, inp: Any) -> Any:
    if inp == "refuse":
        raise LookupError
    return await tx.get(KEY), ctx.now_ms, hasattr(tx, "set")


SERVICE = Service(name="sqs", prefix="sqs", operations={}, steps=(put,), serial_steps=(append,), read_steps=(look,))


def test_read_steps_see_what_was_committed_and_cannot_write() -> None:
    asyncio.run(_look_between_writes())


async def _look_between_writes() -> None:
    store = MemoryStore()
    engine = open_memory(programs_of([SERVICE], SECRET), store)
    clock = ManualClock(1_000)
    blobs = FileBlobs(Path("no large values here"), engine.snapshot)
    platform = Platform([SERVICE], engine, clock, SECRET, Authorizer(IDENTITY), blobs)
    ctx = platform.make_ctx(service_caller("sqs.amazonaws.com", "1"), "1", "eu-west-1", "request")

    await platform.run(ctx, put, b"a")
    await platform.run(ctx, append, b"b")
    clock.advance(500)
    # A step's time is when it runs, not when its effect began.
    assert await platform.run(ctx, look, None) == (b"ab", 1_500, False)
    with pytest.raises(LookupError):
        await platform.run(ctx, look, "refuse")
    assert not store.open_versions
