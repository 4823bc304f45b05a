"""Serial programs, and the rule that no handler runs more than twice, on every engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_worlds import World, begin, read_all, write

from unkai.store.api import Abandon, StoreUnavailable, read_counter
from unkai.store.engines.embedded import ProgramFailed
from unkai.store.engines.faulty import Faults, FaultyEngine
from unkai.store.retry import Run, run, run_serial

if TYPE_CHECKING:
    from unkai.store.api import Tx


async def take(tx: Tx, args: bytes) -> bytes:
    """Take the head of a queue, as a receive does."""
    found = await tx.get_range(b"q/", b"q0", limit=1)
    if not found:
        raise Abandon(b"empty")
    tx.clear(found[0][0])
    tx.set(b"taken/" + found[0][0], args)
    return found[0][0]


async def test_programs_in_one_batch_see_each_other(world: World) -> None:
    world.programs["take"] = take
    await write(world.engine, *((b"q/%d" % n, b"") for n in range(8)))
    answers = await asyncio.gather(*(world.engine.serial("take", b"me") for _ in range(10)))
    assert sorted(answers) == sorted([b"q/%d" % n for n in range(8)] + [b"empty"] * 2), "each is taken once"
    assert len(await read_all(world.engine, b"taken/", b"taken0")) == 8


async def test_an_abandoned_program_writes_nothing(world: World) -> None:
    async def abandon(tx: Tx, args: bytes) -> bytes:
        tx.set(b"a", b"")
        tx.signal(b"channel")
        raise Abandon(b"no")

    world.programs["abandon"] = abandon
    watch = await world.engine.watch(b"channel")
    assert await world.engine.serial("abandon", b"") == b"no"
    assert await read_all(world.engine) == []
    assert not await watch.wait(0)
    watch.close()


async def test_what_a_program_raises_reaches_only_the_one_who_asked(world: World) -> None:
    async def fail(tx: Tx, args: bytes) -> bytes:
        tx.set(b"half", b"")
        raise ValueError("secret")

    async def suspend(tx: Tx, args: bytes) -> bytes:
        tx.set(b"half", b"")
        await asyncio.sleep(0)
        return b""

    world.programs.update(fail=fail, suspend=suspend, take=take)
    await write(world.engine, (b"q/1", b""))
    opened = begin(world.engine)
    opened.tx.set(b"a", b"")
    results = await asyncio.gather(
        opened.commit(),
        world.engine.serial("fail", b""),
        world.engine.serial("suspend", b""),
        world.engine.serial("nobody has this", b""),
        world.engine.serial("take", b""),
        return_exceptions=True,
    )
    assert isinstance(results[0], bytes)
    assert [type(result) for result in results[1:4]] == [ProgramFailed] * 3
    assert "secret" not in str(results[1]), "the reason stands in the log, not in answers"
    assert results[4] == b"q/1"
    assert [key for key, _ in await read_all(world.engine)] == [b"a", b"taken/q/1"]


async def test_finishing_clears_a_key_in_the_same_commit(world: World) -> None:
    world.programs["take"] = take
    await write(world.engine, (b"outbox", b""), (b"q/1", b""))
    await world.engine.serial("take", b"", finishing=b"outbox")
    assert [key for key, _ in await read_all(world.engine)] == [b"taken/q/1"]


async def test_a_program_that_conflicts_with_nobody_makes_others_conflict(world: World) -> None:
    # Programs and commits share one order: what a program wrote is a change to whoever read it before.
    world.programs["take"] = take
    await write(world.engine, (b"q/1", b""))
    task, bodies = _counted(b"q/1")
    opened = begin(world.engine)
    await opened.tx.get(b"q/1")
    await world.engine.serial("take", b"")
    world.programs["count"] = task
    assert await run(world.engine, bodies) == 1


def _counted(key: bytes):  # type: ignore[no-untyped-def]
    """A task that counts how often its body ran, wherever."""

    async def body(tx: Tx) -> int:
        n = read_counter(await tx.get(b"n")) + 1
        await tx.get(key)
        tx.set(b"n", n.to_bytes(8, "big"))
        return n

    async def program(tx: Tx, args: bytes) -> bytes:
        return b"%d" % await body(tx)

    return program, Run("count", body, lambda: b"", int)


async def test_no_body_runs_more_than_twice(world: World) -> None:
    # 20 clients and one counter: all but one of each round conflict. The second run is on the writer, and is the last.
    runs: dict[int, int] = {}

    async def count(tx: Tx, client: int) -> int:
        runs[client] = runs.get(client, 0) + 1
        n = read_counter(await tx.get(b"n")) + 1
        tx.set(b"n", n.to_bytes(8, "big"))
        return n

    async def program(tx: Tx, args: bytes) -> bytes:
        return b"%d" % await count(tx, int(args))

    world.programs["count"] = program
    tasks = [Run("count", lambda tx, n=n: count(tx, n), lambda n=n: b"%d" % n, int) for n in range(20)]  # type: ignore[misc]
    answers = await asyncio.gather(*(run(world.engine, task) for task in tasks))
    assert sorted(answers) == list(range(1, 21)), "serializable: every number is given once"
    assert max(runs.values()) == 2


async def test_a_reader_never_conflicts_and_writes_no_batch(world: World) -> None:
    async def read(tx: Tx) -> bytes | None:
        value = await tx.get(b"a")
        await write(world.engine, (b"a", b"2"))
        return value

    await write(world.engine, (b"a", b"1"))
    assert await run(world.engine, Run("none", read, lambda: b"", lambda answer: answer)) == b"1"


async def test_what_a_body_raises_writes_nothing(world: World) -> None:
    async def fail(tx: Tx) -> None:
        tx.set(b"a", b"")
        raise KeyError("no")

    with pytest.raises(KeyError):
        await run(world.engine, Run("none", fail, lambda: b"", lambda answer: answer))
    assert await read_all(world.engine) == []


@pytest.mark.parametrize("seed", range(5))
async def test_faults_neither_lose_nor_repeat(seed: int, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Under conflicts, refusals and lost answers, what was acknowledged happened once, and no body ran a third time."""
    async with World("memory", tmp_path) as world:
        engine = FaultyEngine(world.engine, seed, Faults(conflict=0.2, unknown=0.2, unavailable=0.1, pause=0.3))
        runs: dict[bytes, int] = {}

        async def append(tx: Tx, name: bytes) -> bytes:
            runs[name] = runs.get(name, 0) + 1
            await tx.get(b"last")
            tx.set(b"log/" + tx.stamp().mark, name)
            tx.set(b"last", name)
            return name

        world.programs["append"] = append
        acknowledged: set[bytes] = set()
        refused: set[bytes] = set()

        async def client(which: int) -> None:
            for n in range(20):
                name = b"%d/%d" % (which, n)
                task = Run("append", lambda tx, name=name: append(tx, name), lambda name=name: name, lambda out: out)  # type: ignore[misc]
                try:
                    assert await run(engine, task) == name
                    acknowledged.add(name)
                except StoreUnavailable:
                    refused.add(name)

        await asyncio.gather(*(client(which) for which in range(5)))
        log = [value for _, value in await read_all(world.engine, b"log/", b"log0")]
        assert len(log) == len(set(log)), "none twice"
        assert acknowledged <= set(log)
        assert acknowledged | refused == set(runs)
        assert refused, "the faults did happen"
        assert max(runs.values()) == 2


async def test_a_lost_answer_of_a_program_is_a_retryable_error(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with World("memory", tmp_path) as world:
        world.programs["take"] = take
        engine = FaultyEngine(world.engine, 1, Faults(unknown=1.0))
        with pytest.raises(StoreUnavailable, match="retry"):
            await run_serial(engine, Run("take", lambda tx: take(tx, b""), lambda: b"", lambda out: out))
