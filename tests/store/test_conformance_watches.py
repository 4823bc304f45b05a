"""Watches on every engine: none missed, one woken per signal, none lost when a waiter leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_worlds import World, begin

from unkai.store.api import Conflict

if TYPE_CHECKING:
    from pathlib import Path

    from unkai.store.api import Engine, Watch


async def signal(engine: Engine, channel: bytes = b"c", count: int = 1) -> None:
    opened = begin(engine)
    opened.tx.signal(channel, count)
    await opened.commit()


async def woken(watches: list[Watch]) -> list[int]:
    """Which of them are woken by now."""
    found = await asyncio.gather(*(watch.wait(0.05) for watch in watches))
    return [n for n, is_woken in enumerate(found) if is_woken]


async def test_a_signal_after_registration_is_not_missed(world: World) -> None:
    watch = await world.engine.watch(b"c")
    await signal(world.engine)
    assert await watch.wait(1)
    assert await watch.wait(0), "it stays woken"
    watch.close()


async def test_a_signal_wakes_the_longest_waiting_first(world: World) -> None:
    watches = [await world.engine.watch(b"c") for _ in range(5)]
    other = await world.engine.watch(b"other")
    await signal(world.engine)
    assert await woken([*watches, other]) == [0]
    await signal(world.engine, count=2)
    assert await woken([*watches, other]) == [0, 1, 2]
    await signal(world.engine, count=9)
    assert await woken([*watches, other]) == [0, 1, 2, 3, 4]
    for watch in (*watches, other):
        watch.close()
    assert not world.embedded.writer.watches._channels or world.kind == "remote"


async def test_a_signal_nobody_used_is_passed_on(world: World) -> None:
    first, second = await world.engine.watch(b"c"), await world.engine.watch(b"c")
    await signal(world.engine)
    first.close()  # it was woken, and left without waiting
    assert await second.wait(1)
    third = await world.engine.watch(b"c")
    second.close()  # it used its signal, so nothing is passed on
    second.close()
    assert not await third.wait(0.05)
    third.close()


async def test_one_that_leaves_before_its_signal_takes_none(world: World) -> None:
    first, second = await world.engine.watch(b"c"), await world.engine.watch(b"c")
    first.close()
    first.close()
    assert not await second.wait(0.05), "leaving twice signals nobody"
    await signal(world.engine)
    assert await second.wait(1)
    second.close()


async def test_leaving_at_the_moment_of_the_signal_loses_none(tmp_path: Path) -> None:
    # The wake-up is on its way to the first watch when it leaves: only the store process can pass it on.
    async with World("remote", tmp_path) as world:
        first, second = await world.engine.watch(b"c"), await world.engine.watch(b"c")
        world.embedded.writer.watches.fire(b"c", 1)
        first.close()
        assert await second.wait(1)
        second.close()


async def test_a_registration_that_is_cancelled_takes_no_signal(world: World) -> None:
    for turns in range(4):
        task = asyncio.get_running_loop().create_task(world.engine.watch(b"c"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(results[0], BaseException):
            results[0].close()
    second = await world.engine.watch(b"c")
    await signal(world.engine)
    assert await second.wait(1)
    second.close()


async def test_a_refused_transaction_signals_nobody(world: World) -> None:
    watch = await world.engine.watch(b"c")
    opened, other = begin(world.engine), begin(world.engine)
    await opened.tx.get(b"a")
    opened.tx.signal(b"c")
    other.tx.set(b"a", b"")
    await other.commit()
    with pytest.raises(Conflict):
        await opened.commit()
    assert not await watch.wait(0.05)
    watch.close()


async def test_wake_all(world: World) -> None:
    watches = [await world.engine.watch(b"%d" % n) for n in range(3)]
    await world.engine.wake_all()
    assert await woken(watches) == [0, 1, 2]
    for watch in watches:
        watch.close()


async def test_waits_end(world: World) -> None:
    watch = await world.engine.watch(b"c")
    assert not await watch.wait(0)
    waiting = asyncio.get_running_loop().create_task(watch.wait(None))
    await signal(world.engine)
    assert await waiting
    watch.close()


async def test_a_lost_connection_wakes_all(tmp_path: Path) -> None:
    # Its own watches, whose places are gone, and the others', since a signal may have died with it.
    async with World("remote", tmp_path) as world:
        other = await world.second_engine()
        mine, theirs = await world.engine.watch(b"c"), await other.watch(b"d")
        world.engine._connection.close()  # type: ignore[attr-defined]
        assert await mine.wait(1)
        assert await theirs.wait(1)
        mine.close()
        theirs.close()
        again = await world.engine.watch(b"c")
        await signal(other)
        assert await again.wait(1), "it has connected anew"
        again.close()
        other._connection.close()  # type: ignore[attr-defined]


async def test_registering_while_the_connection_breaks(tmp_path: Path) -> None:
    async with World("remote", tmp_path) as world:
        await world.engine.wake_all()
        task = asyncio.get_running_loop().create_task(world.engine.watch(b"c"))
        await asyncio.sleep(0)
        world.engine._connection.close()  # type: ignore[attr-defined]
        watch = await task
        await signal(world.engine)
        assert await watch.wait(1)
        watch.close()
