"""One condition of a filter policy: a value that must be equal, or an operator. Pure.

https://docs.aws.amazon.com/sns/latest/dg/string-value-matching.html
https://docs.aws.amazon.com/sns/latest/dg/numeric-value-matching.html
https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unkai.services.sns import limits

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()
"""What a field that the message lacks is matched as."""

Test = Callable[[Any], bool]
DECIMALS = 5
"""Numbers are compared to this many digits after the point."""


class FilterError(Exception):
    """AWS's sentence about what is wrong with a policy."""


@dataclass(frozen=True, slots=True)
class Condition:
    test: Test
    wildcard_points: int = 0


def compile_condition(given: Any) -> Condition:
    """Raises FilterError."""
    if given is None or isinstance(given, (bool, str, int, float)):
        return Condition(_equals(given))
    if not isinstance(given, dict):
        raise FilterError("Match value must be String, number, true, false, or null")
    if len(given) > 1:
        raise FilterError("Only one key allowed in match expression")
    if not given:
        raise FilterError("Empty objects are not allowed")
    ((name, operand),) = given.items()
    compile_operator = _OPERATORS.get(name)
    if compile_operator is None:
        raise FilterError(f"Unrecognized match type {name[:256]}")
    return compile_operator(operand)


def is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _number(value: int | float) -> float:
    """As it is compared. Raises FilterError for what a policy must not hold."""
    if not -limits.FILTER_NUMBER_MAX <= value <= limits.FILTER_NUMBER_MAX:
        raise FilterError("Value must be between -1.0E9 and 1.0E9, inclusive")
    return round(float(value), DECIMALS)


def _compared(value: Any) -> float | None:
    """A message's number as it is compared, or None. Larger ones than a float holds are equal to nothing."""
    if type(value) is float or (type(value) is int and abs(value) < 1 << 1000):
        return round(float(value), DECIMALS)
    return None


def _equals(given: Any) -> Test:
    if type(given) is str:
        return lambda value: type(value) is str and value == given
    if is_number(given):
        number = _number(given)
        return lambda value: _compared(value) == number
    return lambda value: value is given


def _text(name: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise FilterError(f"{name} match pattern must be a string")
    return operand


def _prefix(operand: Any) -> Condition:
    text = _text("prefix", operand)
    return Condition(lambda value: type(value) is str and value.startswith(text))


def _suffix(operand: Any) -> Condition:
    text = _text("suffix", operand)
    return Condition(lambda value: type(value) is str and value.endswith(text))


def _equals_ignore_case(operand: Any) -> Condition:
    text = _text("equals-ignore-case", operand).casefold()
    return Condition(lambda value: type(value) is str and value.casefold() == text)


def _exists(operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise FilterError("exists match pattern must be either true or false.")
    if operand:
        # Only leaves exist: an object is not a value of the field.
        return Condition(lambda value: value is not ABSENT and type(value) is not dict)
    return Condition(lambda value: value is ABSENT)


def _wildcard(operand: Any) -> Condition:
    parts = _wildcard_parts(_text("wildcard", operand))
    return Condition(lambda value: type(value) is str and _fits(parts, value), 1 if len(parts) <= 2 else 3)


def _wildcard_parts(pattern: str) -> list[str]:
    """The texts between the stars. A backslash makes a star or a backslash plain."""
    parts = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            if at == len(pattern) or pattern[at] not in "*\\":
                raise FilterError(f"Invalid escape character at pos {at - 1}")
            parts[-1] += pattern[at]
        elif char == "*":
            if at and pattern[at - 1] == "*" and parts[-1] == "" and len(parts) > 1:
                raise FilterError(f"Consecutive wildcard characters at pos {at - 1}")
            parts.append("")
        else:
            parts[-1] += char
        at += 1
    if len(parts) - 1 > limits.FILTER_WILDCARDS_MAX:
        raise FilterError("Filter policy is too complex")
    return parts


def _fits(parts: list[str], value: str) -> bool:
    """Whether the parts occur in order, the first at the start and the last at the end. The leftmost place is always right."""
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _cidr(operand: Any) -> Condition:
    # AWS words this one as if it were a prefix.
    text = _text("prefix", operand)
    if text.count("/") != 1:
        raise FilterError("Malformed CIDR, one '/' required")
    address, _, bits = text.partition("/")
    if not (bits.isascii() and bits.isdigit() and len(bits) <= 3):
        raise FilterError("Malformed CIDR, mask bits must be an integer")
    try:
        base = ipaddress.ip_address(address)
    except ValueError:
        raise FilterError(f"Nonstandard IP address: {address[:256]}") from None
    if int(bits) > base.max_prefixlen:
        raise FilterError(f"Malformed CIDR, mask bits must be < {base.max_prefixlen + 1}")
    network = ipaddress.ip_network(text, strict=False)

    def test(value: Any) -> bool:
        if type(value) is not str or len(value) > 64:
            return False
        try:
            found = ipaddress.ip_address(value)
        except ValueError:
            return False
        return found.version == network.version and found in network

    return Condition(test)


def _anything_but(operand: Any) -> Condition:
    """Matches a value that is there and is none of those that are named."""
    if isinstance(operand, dict):
        return _anything_but_operator(operand)
    values = operand if isinstance(operand, list) else [operand]
    if not values:
        raise FilterError("Empty arrays are not allowed")
    for value in values:
        if not isinstance(value, str) and not is_number(value):
            raise FilterError(
                "Inside anything but list, either all values are number or string, mixed type is not supported"
            )
    if len({isinstance(value, str) for value in values}) > 1:
        raise FilterError(
            "Inside anything but list, either all values are number or string, mixed type is not supported"
        )
    tests = [_equals(value) for value in values]
    return Condition(lambda value: _is_scalar(value) and not any(test(value) for test in tests))


def _anything_but_operator(operand: dict[str, Any]) -> Condition:
    if len(operand) != 1:
        raise FilterError("Only one key allowed in match expression")
    ((name, inner),) = operand.items()
    compile_operator = _INSIDE_ANYTHING_BUT.get(name)
    if compile_operator is None:
        raise FilterError(f"Unsupported anything-but pattern: {name[:256]}")
    patterns = inner if isinstance(inner, list) else [inner]
    if not patterns:
        raise FilterError("Empty arrays are not allowed")
    conditions = [compile_operator(each) for each in patterns]
    points = sum(condition.wildcard_points for condition in conditions)
    return Condition(
        lambda value: _is_scalar(value) and not any(condition.test(value) for condition in conditions), points
    )


def _is_scalar(value: Any) -> bool:
    return value is not ABSENT and type(value) is not dict


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def _numeric(operand: Any) -> Condition:
    """`["=", 5]`, `["<", 5]`, or a range `[">=", 0, "<", 100]`: from the bottom up."""
    if not isinstance(operand, list):
        raise FilterError("Value of numeric must be an array.")
    if not operand or not isinstance(operand[0], str):
        raise FilterError(f"Invalid member in numeric match: {operand[0] if operand else ']'}")
    first = operand[0]
    if first not in _COMPARE:
        raise FilterError(f"Unrecognized numeric range operator: {first[:256]}")
    low = _bound(operand, 1, "equals" if first == "=" else first)
    if len(operand) == 2:
        compare = _COMPARE[first]
        return Condition(lambda value: (number := _compared(value)) is not None and compare(number, low))
    if first not in (">", ">="):
        raise FilterError("Too many elements in numeric expression")
    second = operand[2]
    if not isinstance(second, str):
        raise FilterError(f"Bad value in numeric range: {second}")
    if second not in ("<", "<="):
        raise FilterError(f"Bad numeric range operator: {second[:256]}")
    high = _bound(operand, 3, second)
    if low >= high:
        raise FilterError("Bottom must be less than top")
    if len(operand) > 4:
        raise FilterError("Too many terms in numeric range expression")
    above, below = _COMPARE[first], _COMPARE[second]
    return Condition(
        lambda value: (number := _compared(value)) is not None and above(number, low) and below(number, high)
    )


def _bound(operand: list[Any], at: int, operator: str) -> float:
    if len(operand) <= at or not is_number(operand[at]):
        raise FilterError(f"Value of {operator} must be numeric")
    return _number(operand[at])


_OPERATORS: dict[str, Callable[[Any], Condition]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "exists": _exists,
    "wildcard": _wildcard,
    "cidr": _cidr,
    "anything-but": _anything_but,
    "numeric": _numeric,
}
_INSIDE_ANYTHING_BUT: dict[str, Callable[[Any], Condition]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "wildcard": _wildcard,
    "equals-ignore-case": _equals_ignore_case,
}
