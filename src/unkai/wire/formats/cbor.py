"""CBOR bodies (RFC 8949): bytes to and from values of a shape.

Reading is our own small decoder: a general one also makes regular expressions, shared references, big decimals and sets out of
tags, which no AWS service needs and which a client could abuse. Depth is bounded; a length is believed only as far as bytes follow.
https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from unkai.wire.compile import Closure, Scalar, Scalars, structure_reader, structure_writer
from unkai.wire.formats.json import defect, integer_reader, read_big, read_safely, refuser, wrong_type
from unkai.wire.refusals import serialization_error
from unkai.wire.timestamps import from_seconds, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.model.shapes import Member

DEPTH_MAX = 128
EPOCH_TAG = 1

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE = 31
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLES = {20: False, 21: True, 22: None, 23: None}
_BREAK = object()


class BadCbor(ValueError):
    """Not CBOR, or of a kind that no AWS service sends."""


class Epoch:
    """A tagged timestamp, as the number that was sent."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value


def body_reader(members: list[Member], *, milliseconds: bool = False) -> Closure:
    """bytes -> dict of the members. `milliseconds`: timestamps are sent so (Kinesis's and CloudWatch's older CBOR)."""
    read = structure_reader(members, reading(milliseconds=milliseconds), {})

    def read_body(body: bytes) -> Any:
        if not body:
            return {}
        try:
            value = parse(body)
        except (BadCbor, UnicodeDecodeError):
            raise serialization_error("The request body is not valid CBOR.") from None
        return read_safely(read, value)

    return read_body


def body_writer(members: list[Member], *, milliseconds: bool = False) -> Closure:
    import cbor2  # 18 ms to import: only once an answer in CBOR is due

    write = structure_writer(members, writing(milliseconds=milliseconds), {})
    return lambda value: cbor2.dumps(write(value))


def tree_writer(members: list[Member], *, milliseconds: bool = False) -> Closure:
    return structure_writer(members, writing(milliseconds=milliseconds), {})


def parse(data: bytes) -> Any:
    """One data item, and nothing after it. Raises BadCbor."""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise BadCbor("bytes after the end")
    if value is _BREAK:
        raise BadCbor("a break stands alone")
    return value


def emit(value: Any) -> bytes:
    import cbor2

    return cbor2.dumps(value)


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if at >= len(data):
        raise BadCbor("truncated")
    major, info = data[at] >> 5, data[at] & 0x1F
    at += 1
    if major == _SIMPLE:
        return _simple(data, at, info)
    if info < 24:
        size = info
    elif info in _SIZES:
        width = _SIZES[info]
        if at + width > len(data):
            raise BadCbor("truncated")
        size = int.from_bytes(data[at : at + width], "big")
        at += width
    elif info == _INDEFINITE and major in (_BYTES, _TEXT, _ARRAY, _MAP):
        size = -1
    else:
        raise BadCbor("reserved length")
    if major == _TEXT:
        raw, at = _string(data, at, size, _TEXT)
        return raw.decode("utf-8"), at
    if major == _UNSIGNED:
        return size, at
    if major == _BYTES:
        return _string(data, at, size, _BYTES)
    if major == _NEGATIVE:
        return -1 - size, at
    if depth >= DEPTH_MAX:
        raise BadCbor("nested too deeply")
    if major == _MAP:
        return _map(data, at, size, depth + 1)
    if major == _ARRAY:
        return _array(data, at, size, depth + 1)
    return _tagged(data, at, size, depth + 1)


def _string(data: bytes, at: int, size: int, major: int) -> tuple[bytes, int]:
    if size >= 0:
        if at + size > len(data):
            raise BadCbor("truncated")
        return data[at : at + size], at + size
    pieces: list[bytes] = []
    while True:
        if at >= len(data):
            raise BadCbor("truncated")
        if data[at] == 0xFF:
            return b"".join(pieces), at + 1
        if data[at] >> 5 != major or data[at] & 0x1F == _INDEFINITE:
            raise BadCbor("a piece of a string is of another kind")
        piece, at = _item(data, at, 0)
        pieces.append(piece.encode() if isinstance(piece, str) else piece)


def _array(data: bytes, at: int, size: int, depth: int) -> tuple[list[Any], int]:
    out: list[Any] = []
    while size != 0:
        value, at = _item(data, at, depth)
        if value is _BREAK:
            if size > 0:
                raise BadCbor("a break within an array of known length")
            break
        out.append(value)
        size -= 1
    return out, at


def _map(data: bytes, at: int, size: int, depth: int) -> tuple[dict[str, Any], int]:
    out: dict[str, Any] = {}
    while size != 0:
        key, at = _item(data, at, depth)
        if key is _BREAK and size < 0:
            break
        if key.__class__ is not str:
            raise BadCbor("a key is not a text")
        value, at = _item(data, at, depth)
        if value is _BREAK:
            raise BadCbor("a key without a value")
        out[key] = value
        size -= 1
    return out, at


def _tagged(data: bytes, at: int, tag: int, depth: int) -> tuple[Any, int]:
    value, at = _item(data, at, depth)
    if tag != EPOCH_TAG or value.__class__ not in (int, float):
        raise BadCbor("a tag that is not a timestamp")
    return Epoch(value), at


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    if info in _SIMPLES:
        return _SIMPLES[info], at
    if info in _FLOATS:
        form = _FLOATS[info]
        if at + form.size > len(data):
            raise BadCbor("truncated")
        return form.unpack_from(data, at)[0], at + form.size
    if info == _INDEFINITE:
        return _BREAK, at
    raise BadCbor("unknown simple value")


def _read_float(value: Any) -> float:
    if value.__class__ is float or value.__class__ is int:
        return float(value)  # an int of CBOR has at most 64 bits
    raise wrong_type(value, "Double")


def _timestamp_reader(*, milliseconds: bool) -> Closure:
    def read(value: Any) -> int:
        number = value.value if value.__class__ is Epoch else value
        try:
            if number.__class__ is int or number.__class__ is float:
                return from_seconds(number / 1000) if milliseconds else from_seconds(number)
        except (ValueError, OverflowError):
            pass
        raise wrong_type(number, "milliseconds since epoch")

    return read


def reading(*, milliseconds: bool = False) -> Scalars:
    timestamp = Scalar(None, _timestamp_reader(milliseconds=milliseconds))
    return Scalars(
        {
            "string": Scalar(str, refuser("String")),
            "character": Scalar(str, refuser("Character")),
            "boolean": Scalar(bool, refuser("Boolean")),
            "byte": Scalar(None, integer_reader(8, "Byte")),
            "short": Scalar(None, integer_reader(16, "Short")),
            "integer": Scalar(None, integer_reader(32, "Integer")),
            "long": Scalar(None, integer_reader(64, "Long")),
            "biginteger": Scalar(int, refuser("BigInteger")),
            "float": Scalar(None, _read_float),
            "double": Scalar(None, _read_float),
            "bigdecimal": Scalar(None, read_big),
            "blob": Scalar(bytes, refuser("ByteBuffer")),
        },
        lambda traits: timestamp,
        renames=False,
    )


def _write_float(value: Any) -> float:
    assert value.__class__ in (float, int), f"a double in an output is {type(value).__name__}"
    return float(value)


def _timestamp_writer(*, milliseconds: bool) -> Callable[[Any], Any]:
    import cbor2

    def write(value: Any) -> Any:
        assert value.__class__ is int, f"a timestamp in an output is {type(value).__name__}"
        return cbor2.CBORTag(EPOCH_TAG, value if milliseconds else seconds_of(value))

    return write


def writing(*, milliseconds: bool = False) -> Scalars:
    timestamp = Scalar(None, _timestamp_writer(milliseconds=milliseconds))
    integer = Scalar(int, defect("integer"))
    return Scalars(
        {
            "string": Scalar(str, defect("string")),
            "character": Scalar(str, defect("character")),
            "boolean": Scalar(bool, defect("boolean")),
            "byte": integer,
            "short": integer,
            "integer": integer,
            "long": integer,
            "biginteger": integer,
            "float": Scalar(None, _write_float),
            "double": Scalar(None, _write_float),
            "bigdecimal": Scalar(None, _write_float),
            "blob": Scalar(bytes, bytes),
        },
        lambda traits: timestamp,
        renames=False,
    )
