"""The Condition element: operators and keys that must all hold. Compiled once into one function of the request's context.

What happens where the request lacks a key is the heart of it:

    operator            missing key
    StringEquals ...    false
    StringNotEquals ... true
    ...IfExists         true
    ForAllValues:       true (also for an empty set)
    ForAnyValue:        false (also for an empty set)

Several values of one key are alternatives; for a negated operator none of them may match.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
"""

from __future__ import annotations

import operator as op
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from unkai.policy.match import Context, Test, arn_pattern, is_arn_pattern, pattern

Condition = Callable[[Context], bool]
Maker = Callable[[str, bool], Test]
"""Makes the test for one value of the policy; the flag says whether variables are allowed. Raises ValueError."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?\Z")
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?\Z", re.ASCII
)


def compile_conditions(
    block: Mapping[str, Mapping[str, Sequence[str]]], *, variables: bool, allow: bool
) -> Condition | None:
    """One function for the whole block, or None where there is none. Raises ValueError naming what is wrong."""
    tests = [
        _compile(name, key.lower(), values, variables=variables, allow=allow)
        for name, keys in block.items()
        for key, values in keys.items()
    ]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda context: all(test(context) for test in tests)


def _compile(name: str, key: str, values: Sequence[str], *, variables: bool, allow: bool) -> Condition:
    quantifier, _, base = name.rpartition(":")
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if base == "Null" and not quantifier and not if_exists:
        return _null(key, values)
    if base not in _OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"Invalid Condition type : {name}.")
    maker, negated = _OPERATORS[base]
    tests = [maker(value, variables) for value in values]
    one = partial(_holds, tests=tests, negated=negated, allow=allow)
    if quantifier == "ForAllValues":
        return lambda context: all(one(value, context) for value in context.get(key) or ())
    if quantifier == "ForAnyValue":
        return lambda context: _any_value(one, context, context.get(key), if_exists)
    missing = if_exists or negated
    return lambda context: _plain(one, context, context.get(key), missing, negated)


def _holds(given: str, context: Context, *, tests: Sequence[Test], negated: bool, allow: bool) -> bool:
    """Whether one value of the request satisfies the operator against all values of the policy."""
    unresolved = False
    for test in tests:
        answer = test(given, context)
        if answer:
            return not negated
        unresolved = unresolved or answer is None
    # A variable without a value makes its statement invalid. For an Allow that means no; a Deny stays on the safe side.
    if unresolved and negated and allow:
        return False
    return negated


def _plain(
    one: Callable[[str, Context], bool], context: Context, given: tuple[str, ...] | None, missing: bool, negated: bool
) -> bool:
    if not given:
        return missing
    if len(given) == 1:
        return one(given[0], context)
    holds = all if negated else any
    return holds(one(value, context) for value in given)


def _any_value(
    one: Callable[[str, Context], bool], context: Context, given: tuple[str, ...] | None, if_exists: bool
) -> bool:
    if given is None:
        return if_exists
    return any(one(value, context) for value in given)


def _null(key: str, values: Sequence[str]) -> Condition:
    """`true`: the key must be absent; `false`: it must be there with a value."""
    wanted = {_boolean(value) for value in values}
    return lambda context: (not context.get(key)) in wanted


def _boolean(value: str) -> bool:
    lowered = value.lower()
    if lowered not in ("true", "false"):
        raise ValueError("A Boolean value must be true or false.")
    return lowered == "true"


def _string(value: str, variables: bool) -> Test:
    return pattern(value, variables=variables, wildcards=False)


def _string_fold(value: str, variables: bool) -> Test:
    return pattern(value, variables=variables, wildcards=False, fold=True)


def _like(value: str, variables: bool) -> Test:
    return pattern(value, variables=variables)


def _arn(value: str, variables: bool) -> Test:
    """ArnEquals and ArnLike are the same: both take wildcards in each part. A value that is no ARN matches nothing."""
    if not is_arn_pattern(value):
        # "*" and whole-variable values are legal here as well.
        return (
            pattern(value, variables=variables)
            if variables and value.startswith("${")
            else lambda given, context: False
        )
    return arn_pattern(value, variables=variables)


def _bool(value: str, variables: bool) -> Test:
    return pattern(value, variables=variables, wildcards=False, fold=True)


def _binary(value: str, variables: bool) -> Test:
    wanted = b64decode(value, validate=True)

    def test(given: str, context: Context) -> bool:
        try:
            return b64decode(given, validate=True) == wanted
        except ValueError:
            return False

    return test


def _numeric(compare: Callable[[Decimal, Decimal], bool]) -> Maker:
    def make(value: str, variables: bool) -> Test:
        bound = _number(value)
        if bound is None:
            raise ValueError(f"The value {value[:64]} is not a number.")

        def test(given: str, context: Context) -> bool:
            number = _number(given)
            return number is not None and compare(number, bound)

        return test

    return make


def _number(text: str) -> Decimal | None:
    text = text.strip()
    return Decimal(text) if _NUMBER.match(text) else None


def _date(compare: Callable[[Decimal, Decimal], bool]) -> Maker:
    def make(value: str, variables: bool) -> Test:
        bound = _seconds(value)
        if bound is None:
            raise ValueError(f"The value {value[:64]} is not a date.")

        def test(given: str, context: Context) -> bool:
            moment = _seconds(given)
            return moment is not None and compare(moment, bound)

        return test

    return make


@lru_cache(maxsize=256)
def _seconds(text: str) -> Decimal | None:
    """Seconds since the epoch of a W3C date (a year, a month, a day, or a time) or of such a number."""
    found = _DATE.match(text)
    # Four digits alone are a year; epoch times are longer.
    if found is None:
        return _number(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    shift = 0
    if zone and zone != "Z":
        digits = zone[1:].replace(":", "")
        shift = (int(digits[:2]) * 60 + int(digits[2:])) * (60 if zone[0] == "+" else -60)
    return Decimal(int(moment.timestamp()) - shift) + (Decimal(f"0.{fraction}") if fraction else 0)


def _ip(value: str, variables: bool) -> Test:
    network = ip_network(value.strip(), strict=False)

    def test(given: str, context: Context) -> bool:
        address = _address(given)
        return address is not None and address.version == network.version and _within(address, network)

    return test


def _within(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address in network


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


# The maker of each operator's test, and whether it is the negation of that test.
_OPERATORS: dict[str, tuple[Maker, bool]] = {
    "StringEquals": (_string, False),
    "StringNotEquals": (_string, True),
    "StringEqualsIgnoreCase": (_string_fold, False),
    "StringNotEqualsIgnoreCase": (_string_fold, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "NumericEquals": (_numeric(op.eq), False),
    "NumericNotEquals": (_numeric(op.eq), True),
    "NumericLessThan": (_numeric(op.lt), False),
    "NumericLessThanEquals": (_numeric(op.le), False),
    "NumericGreaterThan": (_numeric(op.gt), False),
    "NumericGreaterThanEquals": (_numeric(op.ge), False),
    "DateEquals": (_date(op.eq), False),
    "DateNotEquals": (_date(op.eq), True),
    "DateLessThan": (_date(op.lt), False),
    "DateLessThanEquals": (_date(op.le), False),
    "DateGreaterThan": (_date(op.gt), False),
    "DateGreaterThanEquals": (_date(op.ge), False),
    "Bool": (_bool, False),
    "BinaryEquals": (_binary, False),
    "IpAddress": (_ip, False),
    "NotIpAddress": (_ip, True),
    "ArnEquals": (_arn, False),
    "ArnLike": (_arn, False),
    "ArnNotEquals": (_arn, True),
    "ArnNotLike": (_arn, True),
}
