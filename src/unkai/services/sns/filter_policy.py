"""Subscription filter policies: from JSON text to a function that says whether a message matches, or to AWS's refusal.

A policy is an object of fields; all of them must match (AND). A field's value is an array of conditions, of which one must match
(OR), or, for message bodies, a further object. `$or` holds objects of which one must match.
https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html

Matching is by plain functions, never by regular expressions, and takes time linear in the message for each condition. An
array in a body matches where one of its elements does; an array of objects where one object matches in all fields at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from unkai.services.sns import limits
from unkai.services.sns.conditions import ABSENT, FilterError, Test, compile_condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ATTRIBUTES = "MessageAttributes"
BODY = "MessageBody"
SCOPES = (ATTRIBUTES, BODY)
COMPILED_MAX = 4096
_KEYWORDS = frozenset(
    {"prefix", "suffix", "anything-but", "numeric", "exists", "equals-ignore-case", "wildcard", "cidr"}
)


class NestedFilter(FilterError):
    """Objects in a policy on attributes, which AWS words without naming the attribute."""


@dataclass(slots=True)
class _Cost:
    """What the policy's fields multiply to."""

    combinations: int = 1
    wildcard_points: int = 1


@lru_cache(maxsize=COMPILED_MAX)
def compile_filter(text: str, scope: str) -> Callable[[Any], bool]:
    """A function over the message's fields: attributes as `attribute_values` gives them, or the parsed body.

    Raises FilterError with AWS's sentence.
    """
    policy = parse_object(text)
    if _count_keys(policy) > limits.FILTER_KEYS_MAX:
        raise FilterError("Filter policy can not have more than 5 keys")
    cost = _Cost()
    node = _compile_object(policy, scope, 1, 1, cost)
    if cost.combinations > limits.FILTER_COMBINATIONS_MAX or cost.wildcard_points > limits.FILTER_WILDCARD_POINTS_MAX:
        raise FilterError("Filter policy is too complex")
    return node


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object that `text` is. Raises FilterError."""
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FilterError(f"failed to parse JSON. {_one_line(error)}") from None
    if not isinstance(value, dict):
        raise FilterError("Filter is not an object")
    return value


def _one_line(error: Exception) -> str:
    return "It is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0][:200]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("Duplicate field")
    return out


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{name}'")


def is_or(key: str, value: Any) -> bool:
    """`$or` is an operator over two or more objects of fields; otherwise it is a field like any other.

    https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
    """
    return (
        key == "$or"
        and isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(each, dict) and each and not (each.keys() <= _KEYWORDS) for each in value)
    )


def _count_keys(policy: Mapping[str, Any]) -> int:
    """The policy's parent keys; those under `$or` count, it does not."""
    return sum(sum(_count_keys(each) for each in value) if is_or(key, value) else 1 for key, value in policy.items())


def _compile_object(
    policy: Mapping[str, Any], scope: str, depth: int, level: int, cost: _Cost
) -> Callable[[Any], bool]:
    """`depth` counts nested fields, which cost; `level` counts `$or` too, to bound the recursion."""
    if level > limits.FILTER_DEPTH_MAX:
        raise FilterError("Filter policy is too complex")
    fields: list[tuple[str, Callable[[Any], bool]]] = []
    choices: list[list[Callable[[Any], bool]]] = []
    for key, value in policy.items():
        if is_or(key, value):
            choices.append([_compile_object(each, scope, depth, level + 1, cost) for each in value])
        elif isinstance(value, dict):
            if scope == ATTRIBUTES:
                raise NestedFilter("Filter policy scope MessageAttributes does not support nested filter policy")
            if not value:
                raise FilterError("Empty objects are not allowed")
            fields.append((key, _through_arrays(_compile_object(value, scope, depth + 1, level + 1, cost))))
        elif isinstance(value, list):
            fields.append((key, _compile_field(value, depth, cost)))
        else:
            raise FilterError(f'"{key[:256]}" must be an object or an array')

    def matches(found: Any) -> bool:
        is_object = type(found) is dict
        for key, field in fields:
            if not field(found.get(key, ABSENT) if is_object else ABSENT):
                return False
        return all(any(choice(found) for choice in several) for several in choices)

    return matches


def _compile_field(given: Sequence[Any], depth: int, cost: _Cost) -> Callable[[Any], bool]:
    """One of the conditions must match the value, or one of the elements of an array."""
    if not given:
        raise FilterError("Empty arrays are not allowed")
    conditions = [compile_condition(each) for each in given]
    cost.combinations *= len(given) * depth
    points = sum(condition.wildcard_points for condition in conditions)
    cost.wildcard_points *= max(1, points)
    tests: list[Test] = [condition.test for condition in conditions]
    # Most conditions are plain strings: one look-up instead of a walk.
    texts = frozenset(each for each in given if isinstance(each, str))
    others = [test for test, each in zip(tests, given, strict=True) if not isinstance(each, str)]

    def matches(value: Any) -> bool:
        if type(value) is str:
            return value in texts or any(test(value) for test in others)
        if type(value) is list:
            elements = _elements(value)
            if not elements:
                return any(test(ABSENT) for test in others)
            return any(matches(element) for element in elements)
        return any(test(value) for test in others)

    return matches


def _elements(values: list[Any]) -> list[Any]:
    """The scalars of an array and of the arrays in it."""
    out: list[Any] = []
    rest = list(reversed(values))
    while rest:
        value = rest.pop()
        if type(value) is list:
            rest.extend(reversed(value))
        else:
            out.append(value)
    return out


def _through_arrays(node: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An array of objects matches where one of them does."""

    def matches(value: Any) -> bool:
        if type(value) is list:
            objects = [each for each in _elements(value) if type(each) is dict]
            return any(node(each) for each in objects) if objects else node(ABSENT)
        return node(value)

    return matches


def attribute_values(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Message attributes as values to match. Binary ones take no part; an array that is not JSON is no array."""
    out: dict[str, Any] = {}
    for name, attribute in attributes.items():
        kind = attribute["DataType"]
        text = attribute.get("StringValue", "")
        if kind.startswith("Binary"):
            continue
        if kind == "String.Array":
            value = parse_json(text)
            out[name] = value if isinstance(value, list) else text
        elif kind.startswith("Number"):
            out[name] = float(text)
        else:
            out[name] = text
    return out


def parse_json(text: str) -> Any:
    """The JSON value, or None where `text` is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
