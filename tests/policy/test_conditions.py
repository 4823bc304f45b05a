"""Condition operators, row by row as IAM's reference describes them."""

from __future__ import annotations

import pytest

from unkai.policy.conditions import compile_conditions
from unkai.policy.context import Given


def holds(operator: str, wanted: list[str], given: str | list[str] | None, *, allow: bool = True) -> bool:
    compiled = compile_conditions({operator: {"Svc:Key": wanted}}, variables=True, allow=allow)
    assert compiled is not None
    return compiled(Given({} if given is None else {"svc:key": given}))


# (operator, policy's values, request's value or None where it has none, result)
ROWS: list[tuple[str, list[str], str | list[str] | None, bool]] = [
    ("StringEquals", ["a", "b"], "b", True),
    ("StringEquals", ["a"], "A", False),
    ("StringEquals", ["a*"], "ab", False),
    ("StringEquals", ["a"], None, False),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", ["a", "b"], "c", True),
    ("StringNotEquals", ["a"], None, True),
    ("StringEqualsIgnoreCase", ["aB"], "Ab", True),
    ("StringNotEqualsIgnoreCase", ["aB"], "Ab", False),
    ("StringLike", ["a*", "b?"], "bc", True),
    ("StringLike", ["a*"], "A", False),
    ("StringNotLike", ["a*"], "abc", False),
    ("StringEqualsIfExists", ["a"], None, True),
    ("StringEqualsIfExists", ["a"], "b", False),
    ("StringEqualsIfExists", ["a"], [], True),
    ("StringEquals", ["a"], [], False),
    ("StringNotEquals", ["a"], [], True),
    ("DateEquals", ["2024-01-01"], "2024-02-31", False),
    ("ArnLike", ["nothing"], "nothing", False),
    ("NumericEquals", ["10"], "10.0", True),
    ("NumericNotEquals", ["10"], "11", True),
    ("NumericLessThan", ["10"], "9", True),
    ("NumericLessThan", ["10"], "10", False),
    ("NumericLessThanEquals", ["10"], "10", True),
    ("NumericGreaterThan", ["10"], "9", False),
    ("NumericGreaterThanEquals", ["10"], "11", True),
    ("NumericLessThan", ["10"], "nine", False),
    ("NumericLessThan", ["10"], None, False),
    ("DateEquals", ["2024-01-01"], "2024-01-01T00:00:00Z", True),
    ("DateGreaterThan", ["2024-01-01T00:00:00Z"], "2024-01-01T00:00:01Z", True),
    ("DateLessThan", ["2024-01-01T01:00:00+01:00"], "2023-12-31T23:59:59Z", True),
    ("DateLessThan", ["1704067200"], "2024-01-01T00:00:00Z", False),
    ("DateLessThanEquals", ["1704067200"], "2024-01-01T00:00:00Z", True),
    ("DateGreaterThanEquals", ["2024"], "1704067200", True),
    ("DateNotEquals", ["2024-01-01"], "2024-01-02", True),
    ("Bool", ["true"], "True", True),
    ("Bool", ["false"], None, False),
    ("BoolIfExists", ["false"], None, True),
    ("BinaryEquals", ["QmluYXJ5"], "QmluYXJ5", True),
    ("BinaryEquals", ["QmluYXJ5"], "other", False),
    ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "203.0.113.9", True),
    ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::9", True),
    ("IpAddress", ["203.0.113.5"], "203.0.113.6", False),
    ("IpAddress", ["203.0.113.0/24"], "::ffff:203.0.113.9", True),
    ("IpAddress", ["203.0.113.0/24"], "nonsense", False),
    ("NotIpAddress", ["203.0.113.0/24"], "203.0.114.1", True),
    ("NotIpAddress", ["203.0.113.0/24"], None, True),
    ("ArnEquals", ["arn:aws:sns:*:1:t*"], "arn:aws:sns:us-east-1:1:topic", True),
    ("ArnLike", ["arn:aws:sns:*:1:t"], "arn:aws:sns:us-east-1:2:t", False),
    ("ArnNotLike", ["arn:aws:sns:*:1:t"], "arn:aws:sns:us-east-1:2:t", True),
    ("ArnNotEquals", ["arn:aws:sns:*:1:t"], None, True),
    ("Null", ["true"], None, True),
    ("Null", ["true"], "a", False),
    ("Null", ["false"], "a", True),
    ("Null", ["false"], [], False),
    # Sets: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition_examples-multi-valued-context-keys.html
    ("ForAllValues:StringLike", ["key1*"], ["key1:hr", "key1:legal"], True),
    ("ForAllValues:StringLike", ["key1*"], ["key1:hr", "key2:audit"], False),
    ("ForAllValues:StringLike", ["key1*"], None, True),
    ("ForAllValues:StringLike", ["key1*"], [], True),
    ("ForAllValues:StringNotLike", ["key1*"], ["key1:legal"], False),
    ("ForAllValues:StringNotLike", ["key1*"], ["key1:hr", "key2:audit"], False),
    ("ForAllValues:StringNotLike", ["key1*"], ["key2:audit"], True),
    ("ForAllValues:StringNotLike", ["key1*"], None, True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
    ("ForAnyValue:StringEquals", ["a"], None, False),
    ("ForAnyValue:StringEquals", ["a"], [], False),
    ("ForAnyValue:StringNotEquals", ["a"], None, False),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a"], False),
    ("ForAnyValue:StringEqualsIfExists", ["a"], None, True),
    # Several values without a set operator: any may match; for a negation none may.
    ("StringEquals", ["a"], ["b", "a"], True),
    ("StringNotEquals", ["a"], ["b", "a"], False),
]


@pytest.mark.parametrize(("operator", "wanted", "given", "expected"), ROWS)
def test_operators(operator: str, wanted: list[str], given: str | list[str] | None, expected: bool) -> None:
    assert holds(operator, wanted, given) is expected


# All operators and all keys must hold; the values of one key are alternatives.
def test_block_is_a_conjunction() -> None:
    block = {"StringEquals": {"a:x": ["1"], "a:y": ["2", "3"]}, "Bool": {"a:z": ["true"]}}
    compiled = compile_conditions(block, variables=True, allow=True)
    assert compiled is not None
    assert compiled(Given({"a:x": "1", "A:Y": "3", "a:z": "true"}))
    assert not compiled(Given({"a:x": "1", "a:y": "3", "a:z": "false"}))
    assert not compiled(Given({"a:x": "1", "a:z": "true"}))


# A variable without a value must not turn "not equal" into an Allow for everybody; a Deny keeps denying.
def test_unresolved_variable_is_closed() -> None:
    wanted = ["${aws:PrincipalTag/team}"]
    assert not holds("StringNotEquals", wanted, "x", allow=True)
    assert holds("StringNotEquals", wanted, "x", allow=False)
    assert not holds("StringEquals", wanted, "x", allow=True)


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("StringEqualz", "a"),
        ("ForSomeValues:StringEquals", "a"),
        ("NumericEquals", "ten"),
        ("DateEquals", "yesterday"),
        ("IpAddress", "1.2.3.4/99"),
        ("BinaryEquals", "***"),
        ("Null", "maybe"),
        ("NullIfExists", "true"),
    ],
)
def test_what_no_operator_takes(operator: str, value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser words it
        compile_conditions({operator: {"k": [value]}}, variables=True, allow=True)
