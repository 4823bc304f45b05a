"""What every engine must do with keys, ranges, own writes, atomics and stamps. store/api.py states the promises."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from store_worlds import World, begin, read_all, write

from unkai.store.api import (
    KEY_SIZE_BYTES_MAX,
    STAMP_SIZE_BYTES,
    VALUE_SIZE_BYTES_MAX,
    read_counter,
)
from unkai.store.retry import Run, run

SIX = [(b"k%d" % n, b"v%d" % n) for n in range(6)]


async def test_get_returns_what_was_set(world: World) -> None:
    await write(world.engine, (b"a", b"1"), (b"empty", b""))
    opened = begin(world.engine)
    assert await opened.tx.get(b"a") == b"1"
    assert await opened.tx.get(b"empty") == b"", "an empty value is not an absent key"
    assert await opened.tx.get(b"b") is None
    opened.snapshot.close()


@pytest.mark.parametrize(
    ("first", "end", "limit", "reverse", "expected"),
    [
        (b"k0", b"k6", 0, False, SIX),
        (b"k1", b"k4", 0, False, SIX[1:4]),
        (b"k1", b"k4", 0, True, SIX[3:0:-1]),
        (b"k1", b"k5", 2, False, SIX[1:3]),
        (b"k1", b"k5", 2, True, [SIX[4], SIX[3]]),
        (b"k0\0", b"k2", 0, False, SIX[1:2]),
        (b"k5", b"zzz", 9, True, SIX[5:]),
        (b"k3", b"k3", 0, False, []),
        (b"k4", b"k1", 0, False, []),
        (b"k4", b"k1", 0, True, []),
        (b"x", b"z", 0, True, []),
        (b"", b"\xff", 0, False, SIX),
        (b"", b"\xff" * 600, 1, True, SIX[5:]),
    ],
)
async def test_ranges(
    world: World, first: bytes, end: bytes, limit: int, reverse: bool, expected: list[tuple[bytes, bytes]]
) -> None:
    # Half-open, in either direction. The store's own rows, which come before all, show in none of them.
    await write(world.engine, *SIX)
    opened = begin(world.engine)
    assert await opened.tx.get_range(first, end, limit=limit, reverse=reverse) == expected
    opened.tx.clear(b"nothing")  # from here on it is read through the overlay of own writes
    assert await opened.tx.get_range(first, end, limit=limit, reverse=reverse) == expected
    opened.snapshot.close()


async def test_a_transaction_reads_its_own_writes(world: World) -> None:
    await write(world.engine, *SIX)
    opened = begin(world.engine)
    tx = opened.tx
    tx.set(b"k1", b"new")
    tx.set(b"k1a", b"between")
    tx.clear(b"k2")
    tx.clear(b"nothing")
    assert await tx.get(b"k1") == b"new"
    assert await tx.peek(b"k2") is None
    expected = [(b"k0", b"v0"), (b"k1", b"new"), (b"k1a", b"between"), (b"k3", b"v3"), (b"k4", b"v4"), (b"k5", b"v5")]
    assert await tx.get_range(b"k", b"l") == expected
    assert await tx.get_range(b"k", b"l", reverse=True) == expected[::-1]
    for limit in range(1, 8):
        assert await tx.get_range(b"k", b"l", limit=limit) == expected[:limit]
        assert await tx.get_range(b"k", b"l", limit=limit, reverse=True) == expected[::-1][:limit]
    assert await read_all(world.engine) == SIX, "nothing is seen outside before the commit"
    await opened.commit()
    assert await read_all(world.engine) == expected


async def test_clear_range_then_set(world: World) -> None:
    await write(world.engine, *SIX)
    opened = begin(world.engine)
    tx = opened.tx
    tx.set(b"k3", b"gone too")
    tx.clear_range(b"k1", b"k5")
    tx.set(b"k2", b"after")
    tx.add(b"k4", 3)  # on nothing, since it is cleared
    assert await tx.get(b"k3") is None
    assert await tx.get_range(b"k", b"l", limit=2) == [(b"k0", b"v0"), (b"k2", b"after")]
    four = (3).to_bytes(8, "big")
    expected = [(b"k0", b"v0"), (b"k2", b"after"), (b"k4", four), (b"k5", b"v5")]
    assert await tx.get_range(b"k", b"l") == expected
    await opened.commit()
    assert await read_all(world.engine) == expected


async def test_clear_range_of_many(world: World) -> None:
    # More than the writer clears at a step, and more than one page under the overlay.
    await write(world.engine, *((b"m%05d" % n, b"") for n in range(2500)), (b"n", b"stays"))
    opened = begin(world.engine)
    opened.tx.clear_range(b"m", b"n")
    assert await opened.tx.get_range(b"m", b"z", limit=1) == [(b"n", b"stays")]
    await opened.commit()
    assert await read_all(world.engine) == [(b"n", b"stays")]


async def test_atomics(world: World) -> None:
    opened = begin(world.engine)
    tx = opened.tx
    tx.add(b"count", 5)
    tx.add(b"count", -7)
    tx.max(b"high", b"b")
    tx.max(b"high", b"a")
    tx.min(b"low", b"b")
    tx.min(b"low", b"a")
    assert read_counter(await tx.get(b"count")) == -2
    assert await tx.get(b"high") == b"b"
    assert await tx.get(b"low") == b"a"
    assert [key for key, _ in await tx.get_range(b"a", b"z")] == [b"count", b"high", b"low"]
    await opened.commit()

    again = begin(world.engine)
    again.tx.add(b"count", 10)
    again.tx.max(b"high", b"ab")
    again.tx.min(b"low", b"")
    again.tx.set(b"set", (1).to_bytes(8, "big"))
    again.tx.add(b"set", 1)
    assert read_counter(await again.tx.get(b"set")) == 2, "an atomic operation on an own write"
    await again.commit()
    stored = dict(await read_all(world.engine))
    assert read_counter(stored[b"count"]) == 8
    assert (stored[b"high"], stored[b"low"], read_counter(stored[b"set"])) == (b"b", b"", 2)


async def test_atomics_of_open_transactions_all_count(world: World) -> None:
    opened = [begin(world.engine) for _ in range(10)]
    for one in opened:
        one.tx.add(b"n", 1)
    await asyncio.gather(*(one.commit() for one in opened))
    assert read_counter(dict(await read_all(world.engine))[b"n"]) == 10


async def test_a_counter_beyond_64_bits_fails_alone(world: World) -> None:
    # A defect of a caller, in the same batch as others' commits: they must not notice, and nobody may wait for ever.
    await write(world.engine, (b"n", ((1 << 63) - 1).to_bytes(8, "big")))
    bad, before, after = begin(world.engine), begin(world.engine), begin(world.engine)
    before.tx.set(b"before", b"")
    bad.tx.set(b"half", b"")
    bad.tx.add(b"n", 1)
    await after.tx.get(b"after")
    after.tx.set(b"after", b"")
    results = await asyncio.gather(before.commit(), bad.commit(), after.commit(), return_exceptions=True)
    assert isinstance(results[0], bytes)
    assert isinstance(results[2], bytes)
    assert "OverflowError" in str(results[1])
    assert [key for key, _ in await read_all(world.engine)] == [b"after", b"before", b"n"]


async def test_stamps_in_keys_and_values(world: World) -> None:
    opened = begin(world.engine)
    mark = opened.tx.stamp().mark
    assert len(mark) == STAMP_SIZE_BYTES
    opened.tx.set(b"log/" + mark, b"at " + mark)
    opened.tx.max(b"last", mark)
    assert await opened.tx.get_range(b"log/", b"log0") == [], "it has no place in the order yet"
    stamp = await opened.commit()
    assert await read_all(world.engine) == [(b"last", stamp), (b"log/" + stamp, b"at " + stamp)]


async def test_stamps_sort_by_commit_order(world: World) -> None:
    # Several at once share a batch, and still have an order; a later commit is later.
    stamps = []
    for _ in range(3):
        opened = [begin(world.engine) for _ in range(5)]
        for n, one in enumerate(opened):
            one.tx.set(b"log/" + one.tx.stamp().mark, b"%d" % n)
            one.tx.set(b"winner", b"%d" % n)
        stamps.append(await asyncio.gather(*(one.commit() for one in opened)))
    assert all(max(early) < min(late) for early, late in itertools.pairwise(stamps))
    assert len({stamp for each in stamps for stamp in each}) == 15
    stored = await read_all(world.engine)
    assert stored[-1][0] == b"winner"
    assert stored[-1][1] == stored[-2][1], "who comes last in the log is who wrote last"


async def test_a_stamp_in_the_answer(world: World) -> None:
    async def append(tx, args):  # type: ignore[no-untyped-def]
        stamp = tx.stamp()
        tx.set(b"log/" + stamp.mark, b"")
        return {"id": stamp.text(bytes.hex), "deep": [{"id": stamp.text(bytes.hex)}, "text"]}

    out = await run(world.engine, Run("none", lambda tx: append(tx, b""), lambda: b"", lambda answer: answer))
    ((key, _),) = await read_all(world.engine)
    assert out == {"id": key[4:].hex(), "deep": [{"id": key[4:].hex()}, "text"]}


async def test_a_stamp_in_the_answer_of_a_transaction_that_writes_nothing(world: World) -> None:
    async def name(tx):  # type: ignore[no-untyped-def]
        return {"id": tx.stamp().text(bytes.hex)}

    first = await run(world.engine, Run("none", name, lambda: b"", lambda answer: answer))
    second = await run(world.engine, Run("none", name, lambda: b"", lambda answer: answer))
    assert len(first["id"]) == 2 * STAMP_SIZE_BYTES
    assert first["id"] < second["id"]


async def test_log_horizon(world: World) -> None:
    # A reader that stops at the horizon and goes on from there misses nothing: later commits all have later stamps.
    early = await write(world.engine, (b"a", b""))
    snapshot = world.engine.snapshot()
    late = await write(world.engine, (b"b", b""))
    assert early < snapshot.log_horizon() <= late
    snapshot.close()


async def test_log_horizon_on_the_writer(world: World) -> None:
    # A program sees what stands before it in its own batch, so its horizon is its own stamp.
    async def seen(tx, args):  # type: ignore[no-untyped-def]
        assert tx.log_horizon() == tx.stamp().mark
        pairs = await tx.get_range(b"log/", b"log/" + tx.log_horizon())
        return b"%d" % len(pairs)

    world.programs["seen"] = seen
    opened = begin(world.engine)
    opened.tx.set(b"log/" + opened.tx.stamp().mark, b"")
    _, answer = await asyncio.gather(opened.commit(), world.engine.serial("seen", b""))
    assert answer == b"1" or world.kind == "faulty"  # there the order of arrival may change


async def test_a_snapshot_is_one_moment(world: World) -> None:
    await write(world.engine, (b"a", b"1"), (b"b", b"1"))
    snapshot = world.engine.snapshot()
    assert await snapshot.get(b"a") == b"1"
    await write(world.engine, (b"a", b"2"), (b"b", None), (b"c", b"2"))
    assert await snapshot.get_range(b"a", b"z") == [(b"a", b"1"), (b"b", b"1")]
    assert await snapshot.get(b"b") == b"1"
    assert await read_all(world.engine) == [(b"a", b"2"), (b"c", b"2")]
    snapshot.close()


async def test_limits_are_asserted(world: World) -> None:
    opened = begin(world.engine)
    tx = opened.tx
    tx.set(b"k" * KEY_SIZE_BYTES_MAX, bytes(VALUE_SIZE_BYTES_MAX))
    for call in (
        lambda: tx.set(b"", b""),
        lambda: tx.set(b"k" * (KEY_SIZE_BYTES_MAX + 1), b""),
        lambda: tx.set(b"k", bytes(VALUE_SIZE_BYTES_MAX + 1)),
        lambda: tx.clear(b"k" * 512),
        lambda: tx.add(b"", 1),
        lambda: tx.set(b"\0version", b""),
        lambda: tx.clear_range(b"\0", b"a"),
        lambda: tx.signal(b"c", 0),
    ):
        with pytest.raises(AssertionError):
            call()
    await opened.commit()
    snapshot = world.engine.snapshot()
    assert len(await snapshot.get(b"k" * KEY_SIZE_BYTES_MAX) or b"") == VALUE_SIZE_BYTES_MAX
    # A range's ends may be one longer than a key, as the first key after the longest is.
    assert await snapshot.get_range(b"k" * 511 + b"\0", b"k" * 511 + b"\1") == []
    assert len(await snapshot.get_range(b"a", b"k" * 511 + b"\0", reverse=True)) == 1
    snapshot.close()


async def test_a_transaction_writes_at_most_32_mib(world: World) -> None:
    opened = begin(world.engine)
    for n in range(15):
        opened.tx.set(b"big%02d" % n, bytes(VALUE_SIZE_BYTES_MAX))
    with pytest.raises(AssertionError, match="32 MiB"):
        opened.tx.set(b"big15", bytes(VALUE_SIZE_BYTES_MAX))  # the values alone are 32 MiB, and keys count too
    opened.snapshot.close()


async def test_nothing_is_lost_by_a_restart(world: World) -> None:
    stamp = await write(world.engine, *SIX)
    await world.restart()
    assert await read_all(world.engine) == SIX
    assert await write(world.engine, (b"a", b"")) > stamp, "the order goes on"
