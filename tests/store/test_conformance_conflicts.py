"""What conflicts with what, on every engine: nothing read may have changed; nothing else ever conflicts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_worlds import World, begin, read_all, write

from unkai.store.api import CommitUnknown, Conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.store.transaction import Transaction

STORED = [(b"k%d" % n, b"v%d" % n) for n in range(0, 10, 2)]

READS: dict[str, Callable[[Transaction], Awaitable[object]]] = {
    "get k4": lambda tx: tx.get(b"k4"),
    "get absent k5": lambda tx: tx.get(b"k5"),
    "get k4 after writing": lambda tx: _after_writing(tx, tx.get, b"k4"),
    "range k2..k6": lambda tx: tx.get_range(b"k2", b"k6"),
    "range k2..k6, limit 1": lambda tx: tx.get_range(b"k2", b"k6", limit=1),
    "range k2..k6, limit 1, reverse": lambda tx: tx.get_range(b"k2", b"k6", limit=1, reverse=True),
    "range k2..k6, limit 9": lambda tx: tx.get_range(b"k2", b"k6", limit=9),
    "depend on k4": lambda tx: _depend(tx, b"k4"),
    "peek k4": lambda tx: tx.peek(b"k4"),
    "peek range k2..k6": lambda tx: tx.peek_range(b"k2", b"k6"),
    "own write of k4": lambda tx: _own_write(tx, b"k4"),
    "own write of k4, cleared range": lambda tx: _own_clear(tx, b"k4"),
    "own addition to n": lambda tx: _own_addition(tx, b"n"),
    "nothing": lambda tx: tx.peek(b"z"),
}


async def _after_writing(tx: Transaction, get: Callable[[bytes], Awaitable[object]], key: bytes) -> None:
    tx.set(b"z", b"")
    await get(key)


async def _depend(tx: Transaction, key: bytes) -> None:
    tx.depend(key)


async def _own_write(tx: Transaction, key: bytes) -> None:
    tx.set(key, b"own")
    assert await tx.get(key) == b"own", "known without looking at the store, so it cannot have changed"


async def _own_clear(tx: Transaction, key: bytes) -> None:
    tx.clear_range(b"k", b"l")
    assert await tx.get(key) is None


async def _own_addition(tx: Transaction, key: bytes) -> None:
    tx.add(key, 1)  # blind: only reading it back would look at the store


WRITES: dict[str, Callable[[Transaction], None]] = {
    "set k4": lambda tx: tx.set(b"k4", b"x"),
    "set k4 to the same": lambda tx: tx.set(b"k4", b"v4"),
    "set k5": lambda tx: tx.set(b"k5", b"x"),
    "set k2": lambda tx: tx.set(b"k2", b"x"),
    "set k6": lambda tx: tx.set(b"k6", b"x"),
    "clear k4": lambda tx: tx.clear(b"k4"),
    "clear k3..k6": lambda tx: tx.clear_range(b"k3", b"k6"),
    "clear k6..k9": lambda tx: tx.clear_range(b"k6", b"k9"),
    "max k4": lambda tx: tx.max(b"k4", b"x"),
    "add n": lambda tx: tx.add(b"n", 1),
}

_K4 = {"set k4", "set k4 to the same", "clear k4", "clear k3..k6", "max k4"}
CONFLICTS = {
    "get k4": _K4,
    "get absent k5": {"set k5", "clear k3..k6"},
    "get k4 after writing": _K4,
    "range k2..k6": _K4 | {"set k5", "set k2"},
    "range k2..k6, limit 1": {"set k2"},  # it looked at k2 and nothing after it
    "range k2..k6, limit 1, reverse": _K4 | {"set k5"},  # it looked from the end down to k4
    "range k2..k6, limit 9": _K4 | {"set k5", "set k2"},
    "depend on k4": _K4,
}


@pytest.mark.parametrize("read", READS)
async def test_what_conflicts_with_what(world: World, read: str) -> None:
    for name, do_write in WRITES.items():
        blind = begin(world.engine)
        blind.tx.clear_range(b"\x01", b"\xff")
        for key, value in STORED:
            blind.tx.set(key, value)
        await blind.commit()

        reader, writer = begin(world.engine), begin(world.engine)
        await READS[read](reader.tx)
        reader.tx.set(b"mine", b"")
        do_write(writer.tx)
        await writer.commit()
        if name in CONFLICTS.get(read, ()):
            with pytest.raises(Conflict):
                await reader.commit()
            assert b"mine" not in dict(await read_all(world.engine)), "nothing of a refused transaction is written"
        else:
            await reader.commit()


async def test_a_limited_range_conflicts_with_a_new_pair_inside_what_was_read(world: World) -> None:
    await write(world.engine, *STORED)
    reader = begin(world.engine)
    await reader.tx.get_range(b"k", b"l", limit=2)  # k0 and k2
    reader.tx.set(b"mine", b"")
    await write(world.engine, (b"k1", b"phantom"))
    with pytest.raises(Conflict):
        await reader.commit()


async def test_changes_before_the_snapshot_are_no_conflict(world: World) -> None:
    await write(world.engine, (b"a", b"1"))
    await write(world.engine, (b"a", b"2"))
    opened = begin(world.engine)
    assert await opened.tx.get(b"a") == b"2"
    await opened.tx.get_range(b"a", b"b")
    opened.tx.set(b"a", b"3")
    await opened.commit()


async def test_the_first_of_two_in_one_batch_wins(world: World) -> None:
    opened = [begin(world.engine) for _ in range(5)]
    for one in opened:
        value = await one.tx.get(b"n") or b""
        one.tx.set(b"n", value + b"x")
    results = await asyncio.gather(*(one.commit() for one in opened), return_exceptions=True)
    assert sum(isinstance(result, bytes) for result in results) == 1
    assert dict(await read_all(world.engine))[b"n"] == b"x"


async def test_a_snapshot_from_before_a_restart_conflicts(world: World) -> None:
    # What was written since is not remembered, so the answer is no. One restart is one conflict and no more.
    await write(world.engine, (b"a", b"1"))
    opened = begin(world.engine)
    await opened.tx.get(b"a")
    opened.tx.set(b"a", b"2")
    version = opened.snapshot.version()
    opened.snapshot.close()
    await write(world.engine, (b"b", b""))
    await world.restart()
    with pytest.raises(Conflict):
        await world.engine.commit(opened.tx.to_commit(opened.id, version))


async def test_outcome(world: World) -> None:
    opened = begin(world.engine)
    opened.tx.set(b"a", b"")
    stamp = await opened.commit()
    assert await world.engine.outcome(opened.id) == stamp
    await world.restart()
    assert await world.engine.outcome(opened.id) == stamp, "the ring keeps it over a restart"
    for n in range(1100):  # and the worker that asks may be slow, while others fill the ring
        await write(world.engine, (b"n", b"%d" % n))
    assert await world.engine.outcome(opened.id) == stamp


async def test_outcome_none_is_final(world: World) -> None:
    # None means that it never will happen: a commit that arrives after the question is refused, however late.
    opened = begin(world.engine)
    opened.tx.set(b"a", b"")
    assert await world.engine.outcome(opened.id) is None
    with pytest.raises(Conflict):
        await opened.commit()
    assert await read_all(world.engine) == []


async def test_outcome_waits_for_what_is_queued(world: World) -> None:
    # The asker was cancelled and asks: its commit has arrived, so it will happen, and the answer must say so.
    if world.kind == "faulty":
        pytest.skip("a pause may keep the commit from arriving at all")
    opened = begin(world.engine)
    opened.tx.set(b"a", b"")
    task = asyncio.get_running_loop().create_task(opened.commit())
    await asyncio.sleep(0)
    stamp = await world.engine.outcome(opened.id)
    assert stamp is not None
    assert await task == stamp


async def test_a_lost_connection_ends_in_commit_unknown(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with World("remote", tmp_path) as world:
        await write(world.engine, (b"b", b""))
        opened = begin(world.engine)
        opened.tx.set(b"a", b"")
        task = asyncio.get_running_loop().create_task(opened.commit())
        await asyncio.sleep(0)
        world.engine._connection.close()  # type: ignore[attr-defined]
        with pytest.raises(CommitUnknown):
            await task
        stamp = await world.engine.outcome(opened.id)
        assert (stamp is not None) == (b"a" in dict(await read_all(world.engine)))
