"""Tuples of bytes, text and integers as keys whose byte order is the tuples' order.

Each element is a type byte and a body. Bytes and text end in NUL, so a prefix sorts first; integers have a length in their
type byte, negative ones complemented. The idea is FoundationDB's tuple layer
(https://github.com/apple/foundationdb/blob/main/design/tuple.md); only what we store is here.

In bodies NUL is 01 01 and 01 is 01 02. FoundationDB writes NUL as NUL FF; then the key of ("a",) begins the key of ("a\0b",)
too, and a range from a prefix to `prefix_end` shows the rows of somebody else. Here the keys that begin with a tuple's key are
exactly those of tuples that begin with it.
"""

from __future__ import annotations

from functools import lru_cache

BYTES = 0x01
TEXT = 0x02
INT_ZERO = 0x14
INT_SIZE_BYTES_MAX = 8

Element = bytes | str | int


def pack(*elements: Element) -> bytes:
    """The key of a tuple. Integers have at most 8 bytes."""
    return b"".join(map(_packed, elements))


@lru_cache(maxsize=8192, typed=True)
def _packed(element: Element) -> bytes:
    """One element. Cached, since most keys begin with the same few accounts, regions and kinds of row."""
    if type(element) is str:
        return b"\x02" + _escape(element.encode()) + b"\0"
    if type(element) is bytes:
        return b"\x01" + _escape(element) + b"\0"
    assert type(element) is int, f"a key has no element of type {type(element).__name__}"
    return _pack_int(element)


def _escape(body: bytes) -> bytes:
    return body.replace(b"\x01", b"\x01\x02").replace(b"\0", b"\x01\x01")


def _unescape(body: bytes) -> bytes:
    return body.replace(b"\x01\x01", b"\0").replace(b"\x01\x02", b"\x01")


def _pack_int(n: int) -> bytes:
    size = ((n if n >= 0 else -n).bit_length() + 7) // 8
    assert size <= INT_SIZE_BYTES_MAX, "integers in keys have at most 8 bytes"
    if n >= 0:
        return bytes((INT_ZERO + size,)) + n.to_bytes(size, "big")
    return bytes((INT_ZERO - size,)) + (n + (1 << 8 * size) - 1).to_bytes(size, "big")


def unpack(key: bytes) -> tuple[Element, ...]:
    """The tuple of a key made by `pack`."""
    out: list[Element] = []
    at = 0
    while at < len(key):
        kind = key[at]
        at += 1
        if kind in (BYTES, TEXT):
            end = key.index(b"\0", at)
            body = _unescape(key[at:end])
            out.append(body.decode() if kind == TEXT else body)
            at = end + 1
        else:
            size = kind - INT_ZERO
            assert abs(size) <= INT_SIZE_BYTES_MAX, "not a key made by pack"
            body = key[at : at + abs(size)]
            n = int.from_bytes(body, "big")
            out.append(n if size >= 0 else n - (1 << 8 * -size) + 1)
            at += abs(size)
    return tuple(out)


def prefix_end(prefix: bytes) -> bytes:
    """The first key after every key that begins with `prefix`."""
    stem = prefix.rstrip(b"\xff")
    assert stem, "a prefix of FF bytes has no end"
    return stem[:-1] + bytes((stem[-1] + 1,))
