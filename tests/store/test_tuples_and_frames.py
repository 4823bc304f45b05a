"""Keys keep the order of their tuples; frames survive any split."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unkai.store.frames import FRAME_SIZE_BYTES_MAX, FrameReader, FrameTooLarge, pack_frame
from unkai.store.tuples import Element, pack, prefix_end, unpack

INTS = st.integers(-(2**64) + 1, 2**64 - 1) | st.integers(-300, 300)
BYTES = st.binary(max_size=4) | st.lists(st.sampled_from([b"\0", b"\xff", b"\1", b"\2", b"a"])).map(b"".join)
TEXT = st.text(max_size=4) | st.text(alphabet="\0\x01\x02aé\uffff\U0001f600", max_size=5)
TUPLES = st.lists(BYTES | TEXT | INTS, max_size=4).map(tuple)

_RANKS = {bytes: 0, str: 1, int: 2}


def order(elements: tuple[Element, ...]) -> list[tuple[int, Element]]:
    """Bytes before text before integers, each in its own order. Python orders text by code points, as UTF-8 does."""
    return [(_RANKS[type(element)], element) for element in elements]


@given(TUPLES, TUPLES)
def test_packed_keys_sort_as_their_tuples(one: tuple[Element, ...], other: tuple[Element, ...]) -> None:
    assert (pack(*one) < pack(*other)) == (order(one) < order(other))
    assert (pack(*one) == pack(*other)) == (order(one) == order(other))


@given(TUPLES)
def test_round_trip(elements: tuple[Element, ...]) -> None:
    assert order(unpack(pack(*elements))) == order(elements)


@example(("a",), ("a\0b",))
@example((b"\1",), (b"\1\1",))
@given(TUPLES, TUPLES)
def test_a_prefix_holds_exactly_the_tuples_that_begin_with_it(
    one: tuple[Element, ...], other: tuple[Element, ...]
) -> None:
    # What makes ranges over subspaces right: no other tuple's key begins with the bytes of this one.
    if not one:
        return
    within = pack(*one) <= pack(*other) < prefix_end(pack(*one))
    assert within == (order(other)[: len(one)] == order(one))


@given(st.binary(min_size=1, max_size=4), st.binary(max_size=6))
def test_prefix_end(prefix: bytes, key: bytes) -> None:
    if not prefix.strip(b"\xff"):
        with pytest.raises(AssertionError):
            prefix_end(prefix)
        return
    assert (prefix <= key < prefix_end(prefix)) == key.startswith(prefix)


@pytest.mark.parametrize("element", [True, None, 1.5, 2**64, -(2**64)])
def test_what_is_no_element_is_refused(element: object) -> None:
    with pytest.raises(AssertionError):
        pack(element)  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 50)))
def test_frames_survive_any_split(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pack_frame(message) for message in messages)
    reader, bodies, at = FrameReader(), [], 0
    for size in [*cuts, len(stream)]:
        bodies += reader.feed(stream[at : at + size])
        at += size
    assert bodies == [pack_frame(message)[4:] for message in messages]


def test_a_frame_that_is_too_large_is_refused_at_its_length() -> None:
    with pytest.raises(FrameTooLarge):
        FrameReader().feed((FRAME_SIZE_BYTES_MAX + 1).to_bytes(4, "big"))
