"""Event patterns: EventBridge's language of filters, which event source mappings and Pipes share. Pure, and without regular
expressions, so that no pattern of a client can hang the node.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import ipaddress
import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


SIZE_MAX = 4096
DEPTH_MAX = 100
WILDCARDS_MAX = 30


class PatternError(Exception):
    """The pattern is no pattern: its text says why."""


class _Missing:
    """Stands for a field that is not there."""


MISSING = _Missing()


def compile_pattern(text: str, *, size_max: int = SIZE_MAX) -> Callable[[Any], bool]:
    """A function from an event (as JSON values) to whether it matches. Raises PatternError."""
    if len(text) > size_max:
        raise PatternError(f"Pattern is longer than {size_max} characters")
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError):
        raise PatternError("Pattern is not valid JSON") from None
    if not isinstance(pattern, dict):
        raise PatternError("Filter is not an object")
    return _object(pattern, DEPTH_MAX)


def _object(pattern: dict[str, Any], depth: int) -> Callable[[Any], bool]:
    """Every field must match; of `$or` one of the alternatives."""
    if depth == 0:
        raise PatternError("Pattern is nested too deeply")
    if not pattern:
        raise PatternError("Empty objects are not allowed")
    tests: list[Callable[[Any], bool]] = []
    for name, given in pattern.items():
        if name == "$or" and isinstance(given, list) and len(given) > 1 and all(isinstance(one, dict) for one in given):
            tests.append(_any_of([_object(one, depth - 1) for one in given]))
        elif isinstance(given, dict):
            tests.append(_field(name, _nested(_object(given, depth - 1))))
        elif isinstance(given, list):
            tests.append(_field(name, _values(given)))
        else:
            raise PatternError(f'"{name}" must be an object or an array')
    return lambda event: all(test(event) for test in tests)


def _any_of(tests: Sequence[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    return lambda value: any(test(value) for test in tests)


def _field(name: str, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda event: test(event.get(name, MISSING) if isinstance(event, dict) else MISSING)


def _nested(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object within an event; of an array of objects, one of them. A missing one has none of its fields."""

    def match(value: Any) -> bool:
        if isinstance(value, list):
            return any(match(one) for one in value)
        return bool(test(value))

    return match


def _values(given: list[Any]) -> Callable[[Any], bool]:
    """One of the alternatives for a leaf; where the event has an array there, for one of its elements."""
    if not given:
        raise PatternError("Empty arrays are not allowed")
    tests = [_leaf(one) for one in given]

    def match(value: Any) -> bool:
        if isinstance(value, list) and value:
            return any(match(one) for one in value)
        return any(test(value) for test in tests)

    return match


def _leaf(given: Any) -> Callable[[Any], bool]:
    if isinstance(given, dict):
        if len(given) != 1:
            raise PatternError("Only one key allowed in match expression")
        ((operator, argument),) = given.items()
        make = _OPERATORS.get(operator)
        if make is None:
            raise PatternError(f"Unrecognized match type {operator}")
        return make(argument)
    if isinstance(given, list):
        raise PatternError("Match value must be String, number, true, false, or null")
    return lambda value: _equals(given, value)


def _equals(wanted: Any, value: Any) -> bool:
    """JSON's equality: true is not 1, but 300 is 300.0."""
    if isinstance(wanted, bool) or isinstance(value, bool) or wanted is None or value is None:
        return wanted is value
    if isinstance(wanted, int | float) and isinstance(value, int | float):
        return wanted == value
    return isinstance(value, str) and wanted == value


def _text(argument: Any, operator: str) -> str:
    if not isinstance(argument, str):
        raise PatternError(f"{operator} match pattern must be a string")
    return argument


def _folding(argument: Any, operator: str) -> tuple[str, bool]:
    """A string, or `{"equals-ignore-case": string}`."""
    if isinstance(argument, dict) and list(argument) == ["equals-ignore-case"]:
        return _text(argument["equals-ignore-case"], operator).casefold(), True
    return _text(argument, operator), False


def _prefix(argument: Any) -> Callable[[Any], bool]:
    wanted, fold = _folding(argument, "prefix")
    return lambda value: isinstance(value, str) and (value.casefold() if fold else value).startswith(wanted)


def _suffix(argument: Any) -> Callable[[Any], bool]:
    wanted, fold = _folding(argument, "suffix")
    return lambda value: isinstance(value, str) and (value.casefold() if fold else value).endswith(wanted)


def _ignore_case(argument: Any) -> Callable[[Any], bool]:
    wanted = _text(argument, "equals-ignore-case").casefold()
    return lambda value: isinstance(value, str) and value.casefold() == wanted


def _exists(argument: Any) -> Callable[[Any], bool]:
    """About leaves only: an object is not a value that exists."""
    if not isinstance(argument, bool):
        raise PatternError("exists match pattern must be either true or false.")
    return lambda value: (value is not MISSING and not isinstance(value, dict)) is argument


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda value, limit: value == limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}


def _numeric(argument: Any) -> Callable[[Any], bool]:
    """`["=", 5]`, or one or two bounds: `[">", 0, "<=", 5]`."""
    if not isinstance(argument, list) or len(argument) not in (2, 4):
        raise PatternError("Invalid numeric match: it must be an array of one or two comparisons")
    tests: list[tuple[Callable[[float, float], bool], float]] = []
    for operator, limit in zip(argument[::2], argument[1::2], strict=True):
        if not isinstance(operator, str) or operator not in _COMPARISONS:
            raise PatternError(f"Unrecognized numeric range operator: {operator}")
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
            raise PatternError("Value of a numeric match must be numeric")
        tests.append((_COMPARISONS[operator], limit))
    if len(tests) == 2 and (argument[0][0] == "=" or argument[2][0] in ("=", argument[0][0])):
        raise PatternError("Invalid numeric match: a range needs a lower and an upper bound")
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and all(compare(value, limit) for compare, limit in tests)
    )


def _cidr(argument: Any) -> Callable[[Any], bool]:
    try:
        network = ipaddress.ip_network(_text(argument, "cidr"), strict=False)
    except ValueError:
        raise PatternError(f"Malformed CIDR: {str(argument)[:100]}") from None

    def match(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return match


def _wildcard(argument: Any) -> Callable[[Any], bool]:
    pieces = _pieces(_text(argument, "wildcard"))
    return lambda value: isinstance(value, str) and _match_pieces(value, pieces)


def _pieces(text: str) -> list[str]:
    """The literal parts between the stars; a backslash makes a star or itself literal."""
    pieces = [""]
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
            if at == len(text) or text[at] not in "*\\":
                raise PatternError("Invalid escape character in wildcard")
            pieces[-1] += text[at]
        elif char == "*":
            if text[at + 1 : at + 2] == "*":
                raise PatternError("Consecutive wildcard characters are not allowed")
            pieces.append("")
        else:
            pieces[-1] += char
        at += 1
    if len(pieces) > WILDCARDS_MAX + 1:
        raise PatternError(f"A wildcard pattern has at most {WILDCARDS_MAX} wildcards")
    return pieces


def _match_pieces(value: str, pieces: Sequence[str]) -> bool:
    """Leftmost places are enough: nothing is tried twice."""
    if len(pieces) == 1:
        return value == pieces[0]
    first, *middle, last = pieces
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _anything_but(argument: Any) -> Callable[[Any], bool]:
    """Something, and none of these."""
    if isinstance(argument, dict):
        if len(argument) != 1 or next(iter(argument)) not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            raise PatternError("Unsupported anything-but pattern")
        ((operator, inner),) = argument.items()
        tests = [_OPERATORS[operator](one) for one in (inner if isinstance(inner, list) else [inner])]
    else:
        values = argument if isinstance(argument, list) else [argument]
        if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values):
            raise PatternError("Inside anything-but list, number|string|boolean is required")
        tests = [_leaf(one) for one in values]
    if not tests:
        raise PatternError("Empty arrays are not allowed")
    return lambda value: (
        value is not MISSING and not isinstance(value, dict | list) and not any(test(value) for test in tests)
    )


_OPERATORS: dict[str, Callable[[Any], Callable[[Any], bool]]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignore_case,
    "exists": _exists,
    "numeric": _numeric,
    "cidr": _cidr,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
}
