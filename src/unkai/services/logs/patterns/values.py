"""Comparisons of one value: text with `*`, numbers, regular expressions. Shared by JSON and space-delimited patterns.

A `*` at an end of the text stands for anything; inside it is an ordinary character.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.services.logs.patterns.text import Reader

OPERATORS = ("!=", "<=", ">=", "=", "<", ">")  # longest first
BARE_END = frozenset(' \t\r\n\f\v()[]{},&|"%=<>!')
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
NUMBER_SIZE_CHARS_MAX = 100


def parse_number(text: str) -> Decimal | None:
    """A decimal number with an optional sign and exponent, or None."""
    if len(text) > NUMBER_SIZE_CHARS_MAX or not NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def read_operator(reader: Reader) -> str:
    for operator in OPERATORS:
        if reader.take(operator):
            return operator
    reader.refuse()


def read_test(reader: Reader, operator: str) -> Callable[[str], bool]:
    """What stands after an operator, as a test of a value's text."""
    reader.skip_space()
    if reader.peek() == "%":
        if operator not in ("=", "!="):
            reader.refuse()
        test = reader.regex()
        return test if operator == "=" else _negated(test)
    if reader.peek() == '"':
        given, number = reader.quoted(), None
    else:
        given = reader.take_while(lambda char: char not in BARE_END)
        number = parse_number(given)
        if not given:
            reader.refuse()
    if operator in ("=", "!="):
        test = _equals(given, number)
        return test if operator == "=" else _negated(test)
    if number is None:
        reader.refuse()
    return _ordered(operator, number)


def _negated(test: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda value: not test(value)


def _equals(given: str, number: Decimal | None) -> Callable[[str], bool]:
    if number is not None:
        return lambda value: value == given or parse_number(value) == number
    starts_open = given.startswith("*")
    ends_open = given.endswith("*")
    if given in ("*", "**"):
        return lambda value: True
    stem = given[1 if starts_open else 0 : -1 if ends_open else None]
    if starts_open and ends_open:
        return lambda value: stem in value
    if starts_open:
        return lambda value: value.endswith(stem)
    if ends_open:
        return lambda value: value.startswith(stem)
    return lambda value: value == given


def _ordered(operator: str, bound: Decimal) -> Callable[[str], bool]:
    def test(value: str) -> bool:
        number = parse_number(value)
        if number is None:
            return False
        if operator == "<":
            return number < bound
        if operator == ">":
            return number > bound
        return number <= bound if operator == "<=" else number >= bound

    return test
