"""Keys of all lengths keep the order of a sorted list, through puts, removes and pages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from unkai.layers import longkeys
from unkai.layers.longkeys import SEGMENT_SIZE_BYTES
from unkai.store.engines.memory import open_memory
from unkai.store.retry import Run, run

if TYPE_CHECKING:
    from unkai.store.api import Tx

SPACE = b"space\xff\x00"

# Lengths lie around the cuts, and few different bytes are used, so that keys share segments and differ at the edges.
_edge = st.sampled_from(
    [0, 1, SEGMENT_SIZE_BYTES - 1, SEGMENT_SIZE_BYTES, SEGMENT_SIZE_BYTES + 1, 2 * SEGMENT_SIZE_BYTES]
)
_tail = st.binary(max_size=3).map(lambda raw: bytes(b"\x00\x01a\xff"[byte % 4] for byte in raw))
_key = st.builds(
    lambda fill, size, tail: fill * size + tail, st.sampled_from([b"a", b"\xff", b"\x00"]), _edge, _tail
).filter(bool)
_step = st.tuples(st.sampled_from(["put", "put", "remove", "page"]), _key, _key, st.integers(1, 5))


# The whole point: a random program gives what a dictionary and a sorted list give, page by page.
@settings(max_examples=150, deadline=None)
@given(st.lists(_step, max_size=25))
def test_like_a_sorted_list(steps: list[tuple[str, bytes, bytes, int]]) -> None:
    async def scenario() -> None:
        model: dict[bytes, bytes] = {}
        engine = open_memory({})

        async def apply(tx: Tx) -> None:
            for action, key, other, limit in steps:
                if action == "put":
                    longkeys.put(tx, SPACE, key, other)
                    model[key] = other
                elif action == "remove":
                    await longkeys.remove(tx, SPACE, key)
                    model.pop(key, None)
                else:
                    low, high = min(key, other), max(key, other)
                    expected = [pair for pair in sorted(model.items()) if low <= pair[0] < high]
                    assert await longkeys.page(tx, SPACE, low, high, limit=limit) == expected[:limit]
                assert await longkeys.get(tx, SPACE, key) == model.get(key)

        await run(engine, Run("", apply, bytes, bytes))
        moment = engine.snapshot()
        assert await longkeys.page(moment, SPACE, b"", None, limit=100) == sorted(model.items())
        await run(engine, Run("", _remove_all(list(model)), bytes, bytes))
        left = await engine.snapshot().get_range(SPACE, b"spacf", limit=10)
        assert left == [], "an empty map has no folders left"

    asyncio.run(scenario())


def _remove_all(keys: list[bytes]):  # type: ignore[no-untyped-def]
    async def body(tx: Tx) -> None:
        for key in keys:
            await longkeys.remove(tx, SPACE, key)

    return body
