"""Scalars as text: in XML, form parameters, headers, query strings and path labels. Readers raise ValueError."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unkai.wire.timestamps import format_of, from_text, to_text

if TYPE_CHECKING:
    from unkai.model.shapes import Member

TextReader = Callable[[str], Any]
TextWriter = Callable[[Any], str]

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_BITS = {"byte": 8, "short": 16, "integer": 32, "long": 64}
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def text_reader(member: Member, timestamp_format: str) -> TextReader:
    """How a scalar of `member` is read; `timestamp_format` is the default of the place where it stands."""
    kind = member.shape.type
    if kind in ("string", "character"):
        return _as_is
    if kind in _BITS:
        return _integer_reader(_BITS[kind])
    if kind == "boolean":
        return _read_boolean
    if kind in ("float", "double", "bigdecimal"):
        return _read_float
    if kind == "biginteger":
        return _integer_reader(512)
    if kind == "blob":
        return _read_base64
    assert kind == "timestamp", f"{kind} is not a scalar"
    form = format_of(member.traits, timestamp_format)
    return lambda text: from_text(text, form)


def text_writer(member: Member, timestamp_format: str, *, milliseconds: bool = False) -> TextWriter:
    """`milliseconds`: ISO timestamps always carry them (S3)."""
    kind = member.shape.type
    if kind in ("string", "character"):
        return _as_is
    if kind in _BITS or kind == "biginteger":
        return _write_integer
    if kind == "boolean":
        return _write_boolean
    if kind in ("float", "double", "bigdecimal"):
        return _write_float
    if kind == "blob":
        return lambda value: binascii.b2a_base64(value, newline=False).decode("ascii")
    assert kind == "timestamp", f"{kind} is not a scalar"
    form = format_of(member.traits, timestamp_format)
    return lambda value: to_text(value, form, milliseconds=milliseconds)


def _as_is(value: str) -> str:
    return value


def _integer_reader(bits: int) -> TextReader:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def read(text: str) -> int:
        text = text.strip()
        # Bounded before int(), whose time is quadratic, and which also takes "1_0" and other scripts' digits.
        if _INTEGER.fullmatch(text) is None:
            raise ValueError("not an integer")
        value = int(text)
        if not low <= value <= high:
            raise ValueError("integer out of range")
        return value

    return read


def _read_boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("true", "1"):
        return True
    if lowered in ("false", "0"):
        return False
    raise ValueError("not a boolean")


def _read_float(text: str) -> float:
    text = text.strip()
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _FLOAT.fullmatch(text) is None:
        raise ValueError("not a number")
    return float(text)


def _read_base64(text: str) -> bytes:
    # XML may be wrapped and indented.
    return binascii.a2b_base64("".join(text.split()), strict_mode=True)


def _write_integer(value: Any) -> str:
    assert value.__class__ is int, f"an integer in an output is {type(value).__name__}"
    return str(value)


def _write_boolean(value: Any) -> str:
    assert value.__class__ is bool, f"a boolean in an output is {type(value).__name__}"
    return "true" if value else "false"


def _write_float(value: Any) -> str:
    if value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))
