"""Patterns for space-delimited messages: `[ip, user, ..., request = *.html*, status = 404 || status = 410, bytes]`.

A field of the message is what stands between spaces, between brackets or between double quotes. `...` stands for any number of
fields. Without it, the last field takes all that is left, which is why `[w1 = ERROR, w2]` matches a sentence and
`[timestamp, request_id, event]` a function's line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unkai.services.logs.patterns.text import REGEXES_MAX, Pattern, Reader
from unkai.services.logs.patterns.values import read_operator, read_test

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Test = Callable[[str], bool]

_BARE = re.compile(r"\S+")
NAME_SYMBOLS = "_-.$@#/"


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is empty for a field that is only counted."""

    name: str
    test: Test | None


def compile_fields(text: str) -> Pattern:
    reader = Reader(text)
    reader.expect("[")
    before, after = _fields(reader)
    if not reader.rest_is_empty() or reader.regexes > REGEXES_MAX:
        reader.refuse()

    def assigned(message: str) -> list[tuple[str, str]] | None:
        return _assign(_split(message, before, after), before, after)

    def matches(message: str) -> bool:
        return assigned(message) is not None

    def extract(message: str) -> Mapping[str, str]:
        found = assigned(message) or ()
        return {f"${name or at}": value for at, (name, value) in enumerate(found, 1)}

    return Pattern(matches, extract, reader.regexes > 0)


def _fields(reader: Reader) -> tuple[list[Field], list[Field] | None]:
    """The fields before the ellipsis, and those after it; None where there is none."""
    before: list[Field] = []
    after: list[Field] | None = None
    if reader.take("]"):
        return before, []
    while True:
        if reader.take("..."):
            if after is not None:
                reader.refuse()
            after = []
        else:
            (before if after is None else after).append(_field(reader))
        if reader.take("]"):
            return before, after
        reader.expect(",")


def _field(reader: Reader) -> Field:
    reader.skip_space()
    start = reader.at
    name = _name(reader)
    reader.skip_space()
    if reader.peek() in (",", "]"):
        return Field(name, None)
    reader.at = start
    found: list[str] = []
    test = _alternatives(reader, found)
    if len(set(found)) != 1:
        reader.refuse()  # one field's conditions speak of that field
    return Field(found[0], test)


def _name(reader: Reader) -> str:
    return reader.take_while(lambda char: char.isalnum() or char in NAME_SYMBOLS)


def _alternatives(reader: Reader, names: list[str]) -> Test:
    tests = [_conjunction(reader, names)]
    while reader.take("||"):
        tests.append(_conjunction(reader, names))
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _conjunction(reader: Reader, names: list[str]) -> Test:
    tests = [_condition(reader, names)]
    while reader.take("&&"):
        tests.append(_condition(reader, names))
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _condition(reader: Reader, names: list[str]) -> Test:
    if reader.take("("):
        reader.enter()
        test = _alternatives(reader, names)
        reader.leave()
        reader.expect(")")
        return test
    reader.skip_space()
    name = _name(reader)
    if not name:
        reader.refuse()
    names.append(name)
    return read_test(reader, read_operator(reader))


def _split(message: str, before: list[Field], after: list[Field] | None) -> list[str]:
    """The message's fields; without an ellipsis the last one wanted is all the rest. Linear in the message."""
    out: list[str] = []
    bracket_end = -1  # the last closing bracket found: it is looked for once, however many open before it
    match = _BARE.search(message)
    while match is not None:
        at, end = match.span()
        value = match[0]
        if value[0] == "[":
            if bracket_end <= at:
                bracket_end = message.find("]", at)
                bracket_end = len(message) if bracket_end < 0 else bracket_end
            closing = bracket_end
        else:
            closing = _quote_end(message, at) if value[0] == '"' else len(message)
        if closing < len(message) and (closing + 1 == len(message) or message[closing + 1].isspace()):
            value, end = message[at + 1 : closing], closing + 1
        match = _BARE.search(message, end)
        if after is None and match is not None and len(out) == len(before) - 1:
            value, match = message[at:].rstrip(), None
        out.append(value)
    return out


def _quote_end(message: str, at: int) -> int:
    """Where the quotation that begins here ends; the message's length where it does not."""
    end = message.find('"', at + 1)
    while end > 0 and message[end - 1] == "\\":
        end = message.find('"', end + 1)
    return len(message) if end < 0 else end


def _assign(values: list[str], before: list[Field], after: list[Field] | None) -> list[tuple[str, str]] | None:
    """Each value with its field's name; None where the message has too few fields, or one fails its condition."""
    tail = after or []
    if len(values) < len(before) + len(tail) or (after is None and len(values) != len(before)):
        return None
    skipped = [Field("", None)] * (len(values) - len(before) - len(tail))
    out: list[tuple[str, str]] = []
    for field, value in zip([*before, *skipped, *tail], values, strict=True):
        if field.test is not None and not field.test(value):
            return None
        out.append((field.name, value))
    return out
