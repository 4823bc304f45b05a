"""JSON bodies: bytes to and from values of a shape. msgspec does the bytes; only scalars that JSON lacks are converted.

Blobs are base64, timestamps numbers of seconds, infinite floats strings:
https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html#shape-serialization
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.wire.compile import Closure, Scalar, Scalars, reader, structure_reader, structure_writer, writer
from unkai.wire.refusals import serialization_error
from unkai.wire.timestamps import UNIX, format_of, from_seconds, from_text, seconds_of, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.errors import AwsError
    from unkai.model.shapes import Member

INTEGER_BITS = 32
LONG_BITS = 64
_SPECIAL_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def body_reader(members: list[Member]) -> Closure:
    """bytes -> dict of the members. An empty body is an empty structure."""
    read = structure_reader(members, READING, {})

    def read_body(body: bytes) -> Any:
        if not body:
            return {}
        return read_safely(read, parse(body))

    return read_body


def value_reader(member: Member) -> Closure:
    """bytes -> the one value that the body is."""
    _, convert = reader(member, READING, {})
    return lambda body: read_safely(convert, parse(body))


def value_writer(member: Member) -> Closure:
    """The one value that the body is -> bytes."""
    _, convert = writer(member, WRITING, {})
    return lambda value: _encode(convert(value))


def body_writer(members: list[Member]) -> Closure:
    """dict of the members -> bytes."""
    write = structure_writer(members, WRITING, {})

    def write_body(value: Any) -> bytes:
        return _encode(write(value))

    return write_body


def tree_writer(members: list[Member]) -> Closure:
    """dict of the members -> plain JSON values, not yet bytes."""
    return structure_writer(members, WRITING, {})


def parse(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise serialization_error("The request body is not valid JSON.") from None


def emit(value: Any) -> bytes:
    return _encode(value)


def read_safely(read: Closure, value: Any) -> Any:
    """Shapes may be recursive, so a body may be nested deeper than the stack is."""
    try:
        return read(value)
    except RecursionError:
        raise serialization_error("The request body is nested too deeply.") from None


def wrong_type(value: Any, wanted: str) -> AwsError:
    """Coral's wordings for a JSON token of the wrong type."""
    kind = value.__class__
    if kind is dict:
        return serialization_error("Start of structure or map found where not expected.")
    if kind is list:
        return serialization_error("Start of list found where not expected")
    if value is None:
        token = "NULL_VALUE"
    elif kind is bool:
        token = "TRUE_VALUE" if value else "FALSE_VALUE"
    elif kind is str:
        token = "STRING_VALUE"
    else:
        token = "DECIMAL_VALUE" if kind is float else "NUMBER_VALUE"
    return serialization_error(f"{token} cannot be converted to {wanted}")


def refuser(wanted: str) -> Closure:
    def refuse(value: Any) -> Any:
        raise wrong_type(value, wanted)

    return refuse


def integer_reader(bits: int, wanted: str) -> Closure:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def read(value: Any) -> int:
        if value.__class__ is float and value.is_integer():
            value = int(value)
        if value.__class__ is not int:
            raise wrong_type(value, wanted)
        if not low <= value <= high:
            raise serialization_error(f"Numeric value ({str(value)[:40]}) out of range of {wanted}")
        return int(value)

    return read


def read_float(value: Any) -> float:
    if value.__class__ is float:
        return float(value)
    if value.__class__ is int:
        try:
            return float(value)
        except OverflowError:
            raise serialization_error("Numeric value out of range of Double") from None
    if value.__class__ is str and value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    raise wrong_type(value, "Double")


def read_base64(value: Any) -> bytes:
    if value.__class__ is not str:
        raise wrong_type(value, "ByteBuffer")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:  # binascii.Error too, and characters beyond ASCII
        raise serialization_error("The value is not valid base64.") from None


def timestamp_reader(form: str) -> Closure:
    def read(value: Any) -> int:
        try:
            if value.__class__ is int or value.__class__ is float:
                return from_seconds(value)
            if value.__class__ is str:
                return from_text(value, form)
        except (ValueError, OverflowError):
            pass
        raise wrong_type(value, "milliseconds since epoch")

    return read


def read_big(value: Any) -> Any:
    if value.__class__ is int or value.__class__ is float:
        return value
    raise wrong_type(value, "Number")


READING = Scalars(
    {
        "string": Scalar(str, refuser("String")),
        "character": Scalar(str, refuser("Character")),
        "boolean": Scalar(bool, refuser("Boolean")),
        "integer": Scalar(None, integer_reader(INTEGER_BITS, "Integer")),
        "short": Scalar(None, integer_reader(16, "Short")),
        "byte": Scalar(None, integer_reader(8, "Byte")),
        "long": Scalar(None, integer_reader(LONG_BITS, "Long")),
        "float": Scalar(None, read_float),
        "double": Scalar(None, read_float),
        "bigdecimal": Scalar(None, read_big),
        "biginteger": Scalar(int, refuser("BigInteger")),
        "blob": Scalar(None, read_base64),
    },
    lambda traits: Scalar(None, timestamp_reader(format_of(traits, UNIX))),
)


def defect(wanted: str) -> Closure:
    """Writing a value of another type than the model's is a defect of the handler."""

    def fail(value: Any) -> Any:
        raise AssertionError(f"a {wanted} in an output is {type(value).__name__}")

    return fail


def write_base64(value: Any) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def write_float(value: Any) -> Any:
    if value.__class__ is int:
        return value
    assert value.__class__ is float, f"a double in an output is {type(value).__name__}"
    if value - value == 0:  # finite: JSON has no word for the others
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def timestamp_writer(traits: Mapping[str, Any]) -> Scalar:
    form = format_of(traits, UNIX)

    def write(value: Any) -> Any:
        assert value.__class__ is int, f"a timestamp in an output is {type(value).__name__}"
        return seconds_of(value) if form == UNIX else to_text(value, form)

    return Scalar(None, write)


WRITING = Scalars(
    {
        "string": Scalar(str, defect("string")),
        "character": Scalar(str, defect("character")),
        "boolean": Scalar(bool, defect("boolean")),
        "integer": Scalar(int, defect("integer")),
        "short": Scalar(int, defect("short")),
        "byte": Scalar(int, defect("byte")),
        "long": Scalar(int, defect("long")),
        "float": Scalar(None, write_float),
        "double": Scalar(None, write_float),
        "bigdecimal": Scalar(None, write_float),
        "biginteger": Scalar(int, defect("biginteger")),
        "blob": Scalar(None, write_base64),
    },
    timestamp_writer,
)
