"""Patterns for JSON messages: `{ ($.user.id = 1) && ($.users[*].email = "John*") || $.flag IS TRUE }`.

`&&` binds stronger than `||`. A selector that leads nowhere, or to an object or a list, makes both `=` and `!=` false.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.services.logs.patterns.text import REGEXES_MAX, Pattern, Reader, nothing_extracted
from unkai.services.logs.patterns.values import read_operator, read_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Test = Callable[[Any], bool]

WILDCARDS_PER_SELECTOR_MAX = 1
WILDCARDS_MAX = 3
INDEX_DIGITS_MAX = 9


class Number(str):
    """A number of the message, as it is written there: digits are not lost, and a hostile one costs nothing."""

    __slots__ = ()


class _Any:
    """`*` in a selector: any element, any member."""


ANY = _Any()

_decode = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number).decode


def compile_json(text: str) -> Pattern:
    reader = Reader(text)
    reader.expect("{")
    counts = [0]  # wildcard selectors so far
    test = _alternatives(reader, counts)
    reader.expect("}")
    if not reader.rest_is_empty() or reader.regexes > REGEXES_MAX or counts[0] > WILDCARDS_MAX:
        reader.refuse()

    def matches(message: str) -> bool:
        if not message.lstrip().startswith(("{", "[")):
            return False
        try:
            return test(_decode(message))
        except (ValueError, RecursionError):
            return False

    return Pattern(matches, nothing_extracted, reader.regexes > 0)


def _alternatives(reader: Reader, counts: list[int]) -> Test:
    tests = [_conjunction(reader, counts)]
    while reader.take("||"):
        tests.append(_conjunction(reader, counts))
    return tests[0] if len(tests) == 1 else lambda root: any(test(root) for test in tests)


def _conjunction(reader: Reader, counts: list[int]) -> Test:
    tests = [_condition(reader, counts)]
    while reader.take("&&"):
        tests.append(_condition(reader, counts))
    return tests[0] if len(tests) == 1 else lambda root: all(test(root) for test in tests)


def _condition(reader: Reader, counts: list[int]) -> Test:
    if reader.take("("):
        reader.enter()
        test = _alternatives(reader, counts)
        reader.leave()
        reader.expect(")")
        return test
    steps = _selector(reader)
    wildcards = sum(step is ANY for step in steps)
    counts[0] += wildcards
    if wildcards > WILDCARDS_PER_SELECTOR_MAX:
        reader.refuse()
    reader.skip_space()
    if reader.take("NOT"):
        reader.expect("EXISTS")
        return lambda root: not any(True for _ in _select(root, steps))
    if reader.take("IS"):
        return _is(reader, steps)
    compare = read_test(reader, read_operator(reader))

    def test_values(root: Any) -> bool:
        for value in _select(root, steps):
            shown = _text(value)
            if shown is not None and compare(shown):
                return True
        return False

    return test_values


def _is(reader: Reader, steps: list[Any]) -> Test:
    for word, wanted in (("NULL", None), ("TRUE", True), ("FALSE", False)):
        if reader.take(word):
            return lambda root: any(value is wanted for value in _select(root, steps))
    reader.refuse()


def _text(value: Any) -> str | None:
    """A value node's text; None for what `=` and `!=` do not apply to."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return None


def _selector(reader: Reader) -> list[Any]:
    """`$.a.b[0].['c.d'].*` as its steps."""
    reader.expect("$")
    steps: list[Any] = []
    while True:
        if reader.peek() == ".":
            reader.at += 1
            if reader.peek() == "[":
                continue
            if reader.peek() == "*":
                reader.at += 1
                steps.append(ANY)
                continue
            name = reader.take_while(lambda char: char.isalnum() or char in "-_")
            if not name:
                reader.refuse()
            steps.append(name)
        elif reader.peek() == "[":
            steps.append(_bracket(reader))
        else:
            break
    if not steps:
        reader.refuse()
    return steps


def _bracket(reader: Reader) -> Any:
    reader.expect("[")
    reader.skip_space()
    step: Any
    if reader.peek() in ("'", '"'):
        step = reader.quoted(reader.peek())
    elif reader.take("*"):
        step = ANY
    else:
        digits = reader.take_while(lambda char: char in "0123456789")
        if not digits or len(digits) > INDEX_DIGITS_MAX:
            reader.refuse()
        step = int(digits)
    reader.expect("]")
    return step


def _select(root: Any, steps: list[Any]) -> Iterable[Any]:
    """The nodes that a selector leads to: at most one, but for a wildcard."""
    nodes: list[Any] = [root]
    for step in steps:
        found: list[Any] = []
        for node in nodes:
            if step is ANY:
                if isinstance(node, dict):
                    found.extend(node.values())
                elif isinstance(node, list):
                    found.extend(node)
            elif isinstance(step, int):
                if isinstance(node, list) and step < len(node):
                    found.append(node[step])
            elif isinstance(node, dict) and step in node:
                found.append(node[step])
        nodes = found
    return nodes
