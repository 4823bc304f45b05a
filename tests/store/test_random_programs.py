"""Random programs: memory and lmdb answer alike, and what they committed is explained by one order.

A program is a list of moves over three open transactions: read and write in one of them, commit some of them at once, run a
serial program. Both engines play it; every read and every commit decision must be equal. Then all that was
committed is replayed in stamp order on a plain dict: what each transaction read must be what it would have read alone.
UNKAI_STORE_EXAMPLES sets how many programs are played.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from store_worlds import World, begin, read_all

from unkai.store import atomics
from unkai.store.api import ADD, CLEAR, CLEAR_RANGE, MAX, MIN, SET, Abandon, Conflict

if TYPE_CHECKING:
    from unkai.store.api import Op, Pair, Tx

EXAMPLES = int(os.environ.get("UNKAI_STORE_EXAMPLES", "250"))
SLOTS = 3

# Few and close keys, so that programs meet: prefixes of one another, the neighbours of a key, and the longest one.
KEYS = st.sampled_from([b"a", b"a\0", b"b", b"c" * 511])
BOUNDS = st.sampled_from([b"a", b"a\0", b"a\0\0", b"b", b"b\0", b"c" * 511 + b"\0"])
VALUES = st.sampled_from([b"", b"1", b"\xff" * 9])
LIMITS = st.integers(0, 3)

READ = st.one_of(
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("get_range"), BOUNDS, BOUNDS, LIMITS, st.booleans()),
    st.tuples(st.just("get_range"), st.just(b""), st.just(b"\xff" * 9), LIMITS, st.booleans()),
    st.tuples(st.just("peek"), KEYS),
    st.tuples(st.just("peek_range"), BOUNDS, BOUNDS, LIMITS, st.booleans()),
)
WRITE = st.one_of(
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("clear"), KEYS),
    st.tuples(st.just("clear_range"), BOUNDS, BOUNDS),
    st.tuples(st.just("add"), st.sampled_from([b"n", b"m"]), st.integers(-3, 3)),
    st.tuples(st.sampled_from(["max", "min"]), KEYS, VALUES),
    st.tuples(st.just("append"), st.sampled_from([b"a", b"log"]), VALUES),
    st.tuples(st.just("depend"), KEYS),
)
STEP = READ | WRITE
SLOT = st.integers(0, SLOTS - 1)
MOVE = st.one_of(
    st.tuples(st.just("steps"), SLOT, st.lists(READ, min_size=1, max_size=2)),
    st.tuples(st.just("steps"), SLOT, st.lists(WRITE, min_size=1, max_size=2)),
    st.tuples(st.just("steps"), SLOT, st.lists(STEP, min_size=2, max_size=4)),
    st.tuples(st.just("commit"), st.sets(SLOT, min_size=1, max_size=1)),
    st.tuples(st.just("commit"), st.sets(SLOT, min_size=1)),
    st.tuples(st.just("serial"), st.lists(STEP, max_size=5), st.booleans()),
)

# "n" and "m" hold counters only: an addition to text would be a defect of the caller.


async def play(tx: Tx, step: tuple[Any, ...]) -> Any:
    """One step in a transaction; what it read, or None."""
    name, *args = step
    if name in ("get", "peek"):
        return await getattr(tx, name)(*args)
    if name in ("get_range", "peek_range"):
        first, end, limit, reverse = args
        return await getattr(tx, name)(first, end, limit=limit, reverse=reverse)
    if name == "append":
        tx.set(args[0] + tx.stamp().mark, args[1])
    else:
        getattr(tx, name)(*args)
    return None


async def play_serial(tx: Tx, args: bytes) -> bytes:
    steps, abandons = msgspec.msgpack.decode(args)
    read = [await play(tx, tuple(step)) for step in steps]
    answer = msgspec.msgpack.encode((tx.stamp().mark, read))  # type: ignore[attr-defined]
    if abandons:
        raise Abandon(answer)
    return answer


class Alone:
    """The meaning of a transaction: it runs alone, on a dict. Only what is under a stamp waits for the end."""

    def __init__(self, state: dict[bytes, bytes], stamp: bytes) -> None:
        self.seen = dict(state)
        self.stamp_bytes = stamp
        self.ops: list[Op] = []

    def read(self, step: tuple[Any, ...]) -> Any:
        name, *args = step
        if name == "get":
            return self.seen.get(args[0])
        if name == "get_range":
            first, end, limit, reverse = args
            pairs = sorted((pair for pair in self.seen.items() if first <= pair[0] < end), reverse=reverse)
            return pairs[:limit] if limit else pairs
        kinds = {"set": SET, "clear": CLEAR, "clear_range": CLEAR_RANGE, "add": ADD, "max": MAX, "min": MIN}
        if name in kinds:
            op = (kinds[name], args[0], args[1] if len(args) > 1 else None)
            self.ops.append(op)
            change(self.seen, op)
        elif name == "append":
            self.ops.append((SET, args[0] + self.stamp_bytes, args[1]))
        return None


def change(state: dict[bytes, bytes], op: Op) -> None:
    kind, key, operand = op
    if kind == SET:
        state[key] = operand
    elif kind == CLEAR:
        state.pop(key, None)
    elif kind == CLEAR_RANGE:
        for found in [found for found in state if key <= found < operand]:
            del state[found]
    else:
        state[key] = atomics.apply(kind, state.get(key), operand)


Steps = list[tuple[tuple[Any, ...], Any]]


async def perform(
    world: World, moves: list[tuple[Any, ...]]
) -> tuple[list[Any], list[tuple[bytes, Steps]], list[Pair]]:
    """All results in order; the committed transactions with what each step read; and what is stored in the end."""
    wipe = begin(world.engine)
    wipe.tx.clear_range(b"\1", b"\xff" * 20)
    await wipe.commit()
    results: list[Any] = []
    committed: list[tuple[bytes, Steps]] = []
    opened = {slot: begin(world.engine) for slot in range(SLOTS)}
    steps: dict[int, Steps] = {slot: [] for slot in opened}
    for kind, which, *rest in [*moves, ("commit", set(range(SLOTS)))]:
        if kind == "steps":
            for step in rest[0]:
                result = await play(opened[which].tx, step)
                steps[which].append((step, result))
                results.append(result)
        elif kind == "commit":
            slots = sorted(which)
            decided = await asyncio.gather(*(opened[slot].commit() for slot in slots), return_exceptions=True)
            for slot, stamp in zip(slots, decided, strict=True):
                assert isinstance(stamp, bytes | Conflict), repr(stamp)
                results.append(stamp if isinstance(stamp, bytes) else Conflict)
                if isinstance(stamp, bytes):
                    committed.append((stamp, steps[slot]))
                opened[slot], steps[slot] = begin(world.engine), []
        else:
            answer = await world.engine.serial("play", msgspec.msgpack.encode((which, rest[0])))
            stamp, read = msgspec.msgpack.decode(answer)
            read = [[tuple(pair) for pair in one] if isinstance(one, list) else one for one in read]
            results.append((stamp, read))
            if not rest[0]:
                committed.append((stamp, list(zip([tuple(step) for step in which], read, strict=True))))
    for one in opened.values():
        one.snapshot.close()
    return results, committed, await read_all(world.engine)


def check_serial_order(committed: list[tuple[bytes, Steps]], stored: list[Pair]) -> None:
    state: dict[bytes, bytes] = {}
    for stamp, steps in sorted(committed, key=lambda one: one[0]):
        alone = Alone(state, stamp)
        for step, read in steps:
            if step[0] in ("peek", "peek_range"):
                continue  # allowed to be old
            assert alone.read(step) == read, (step, stamp.hex())
        for op in alone.ops:
            change(state, op)
    assert sorted(state.items()) == stored


FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
MEMORY = World("memory", Path(FOLDER.name))
LMDB = World("lmdb", Path(FOLDER.name))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 250, database=None)
@given(moves=st.lists(MOVE, min_size=12, max_size=30))
def test_engines_agree_and_what_they_commit_is_serializable(moves: list[tuple[Any, ...]]) -> None:
    async def both() -> None:
        played = []
        for world in (MEMORY, LMDB):
            world.programs["play"] = play_serial
            async with world:
                played.append(await perform(world, moves))
        assert played[0] == played[1]
        check_serial_order(played[0][1], played[0][2])

    asyncio.run(both())
