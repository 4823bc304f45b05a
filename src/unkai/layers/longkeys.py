"""An ordered map whose keys may be of any length, over a store whose keys end at 511 bytes. See docs/layers/longkeys.md.

The rule it protects: the order of the map is the byte order of its keys, whatever their length. A key of at most
SEGMENT_SIZE_BYTES is stored as it is. A longer one is cut: its first segment names a folder, and the rest is a key in that
folder (cut again where it is still too long). A folder's place in the order is held by a row of its own, the first segment
and one more byte, which no plain key reaches; its contents lie elsewhere, under a hash of the segments above.

    space + 1 + key                                 -> value       len(key) <= SEGMENT_SIZE_BYTES
    space + 1 + segment + 00                        -> b""         a folder; it exists while it holds anything
    space + 2 + hash(segments) (16) + key in it     -> value
    space + 2 + hash(segments) (16) + segment + 00  -> b""         a folder in a folder

An alternative that lost: a hash behind a cut key, the whole key in the value. Keys that share a cut part then lie in the order
of their hashes, and a listing has to read all of them to sort a page.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from unkai.store.api import KEY_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from unkai.store.api import Pair, ReadTx, Tx

SEGMENT_SIZE_BYTES = 440
HASH_SIZE_BYTES = 16
SPACE_SIZE_BYTES_MAX = KEY_SIZE_BYTES_MAX - SEGMENT_SIZE_BYTES - HASH_SIZE_BYTES - 2
_TOP = b"\x01"
_FOLDERS = b"\x02"
_MARK = b"\x00"
PAGE = 1000


def row_key(space: bytes, key: bytes) -> bytes:
    """The store key under which the value of `key` lies. Pure: it does not depend on what else is stored."""
    assert len(space) <= SPACE_SIZE_BYTES_MAX, "the prefix leaves room for a segment and a hash"
    base = space + _TOP
    while len(key) > SEGMENT_SIZE_BYTES:
        base = _folder(space, base, key[:SEGMENT_SIZE_BYTES])
        key = key[SEGMENT_SIZE_BYTES:]
    return base + key


def _folder(space: bytes, base: bytes, segment: bytes) -> bytes:
    """The prefix of what lies in the folder `segment` of the folder (or top) `base`."""
    name = hashlib.sha256(base[len(space) :] + segment).digest()[:HASH_SIZE_BYTES]
    return space + _FOLDERS + name


async def get(tx: ReadTx, space: bytes, key: bytes) -> bytes | None:
    return await tx.get(row_key(space, key))


def put(tx: Tx, space: bytes, key: bytes, value: bytes) -> None:
    """Blind: it conflicts with nothing but readers and the removal of the last key of the same folder."""
    assert len(space) <= SPACE_SIZE_BYTES_MAX, "the prefix leaves room for a segment and a hash"
    base = space + _TOP
    while len(key) > SEGMENT_SIZE_BYTES:
        segment, key = key[:SEGMENT_SIZE_BYTES], key[SEGMENT_SIZE_BYTES:]
        tx.set(base + segment + _MARK, b"")
        base = _folder(space, base, segment)
    tx.set(base + key, value)


async def remove(tx: Tx, space: bytes, key: bytes) -> None:
    """Clear a key, and every folder that it leaves empty."""
    marks: list[tuple[bytes, bytes]] = []
    base = space + _TOP
    while len(key) > SEGMENT_SIZE_BYTES:
        segment, key = key[:SEGMENT_SIZE_BYTES], key[SEGMENT_SIZE_BYTES:]
        folder = _folder(space, base, segment)
        marks.append((base + segment + _MARK, folder))
        base = folder
    tx.clear(base + key)
    for mark, folder in reversed(marks):
        if await tx.get_range(folder, _end(folder), limit=1):
            return
        tx.clear(mark)


def _end(base: bytes) -> bytes:
    return base[:-1] + bytes((base[-1] + 1,)) if base[-1] < 0xFF else _end(base[:-1])


async def page(tx: ReadTx, space: bytes, begin: bytes, end: bytes | None, *, limit: int) -> list[Pair]:
    """The first `limit` (at least 1) keys with `begin <= key < end` (None: to the last) and their values, in order."""
    assert limit > 0, "a page has a size"
    out: list[Pair] = []
    await _collect(tx, space, space + _TOP, b"", (begin, end), limit, out)
    return out


async def _collect(
    tx: ReadTx, space: bytes, base: bytes, head: bytes, span: tuple[bytes, bytes | None], limit: int, out: list[Pair]
) -> None:
    """Append what lies under `base` within `span`; `head` is the part of the keys that `base` stands for."""
    begin, end = span
    if end is not None and begin >= end:
        return
    low = base + begin[:SEGMENT_SIZE_BYTES] + (_MARK if len(begin) > SEGMENT_SIZE_BYTES else b"")
    high = _end(base) if end is None else base + end[:SEGMENT_SIZE_BYTES]
    if end is not None and len(end) > SEGMENT_SIZE_BYTES:
        high += b"\x01"  # past the folder that the end lies in
    while len(out) < limit:
        wanted = min(PAGE, limit - len(out))
        pairs = await tx.get_range(low, high, limit=wanted)
        for stored, value in pairs:
            key = stored[len(base) :]
            if len(key) <= SEGMENT_SIZE_BYTES:
                out.append((head + key, value))
            else:
                segment = key[:SEGMENT_SIZE_BYTES]
                inner = (_within(begin, segment) or b"", _within(end, segment) if end is not None else None)
                await _collect(tx, space, _folder(space, base, segment), head + segment, inner, limit, out)
            if len(out) >= limit:
                return
        if len(pairs) < wanted:
            return
        low = pairs[-1][0] + b"\0"


def _within(bound: bytes, segment: bytes) -> bytes | None:
    """The part of `bound` that counts inside the folder `segment`, or None where it lies outside."""
    inside = len(bound) > SEGMENT_SIZE_BYTES and bound[:SEGMENT_SIZE_BYTES] == segment
    return bound[SEGMENT_SIZE_BYTES:] if inside else None
