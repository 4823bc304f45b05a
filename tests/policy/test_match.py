"""Patterns of policies against a slow, obvious matcher, and against people who would like them to take for ever."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.clock import cpu_ns
from unkai.policy.context import Given
from unkai.policy.match import arn_pattern, is_arn_pattern, pattern

NOTHING = Given({})


def slow(glob: str, text: str) -> bool:
    """The definition: a star is nothing, or one character and a star."""

    @cache
    def at(i: int, j: int) -> bool:
        if i == len(glob):
            return j == len(text)
        if glob[i] == "*":
            return at(i + 1, j) or (j < len(text) and at(i, j + 1))
        return j < len(text) and glob[i] in ("?", text[j]) and at(i + 1, j + 1)

    return at(0, 0)


@given(st.text("ab*?", max_size=10), st.text("ab", max_size=10))
def test_equals_the_definition(glob: str, text: str) -> None:
    assert pattern(glob, variables=True)(text, NOTHING) is slow(glob, text)


# Patterns come from users. One that makes a backtracking matcher run for years is answered in milliseconds.
@pytest.mark.parametrize(
    "glob",
    ["*a" * 1000 + "b", "*a?" * 600 + "b", "*" * 2000 + "b", "a*" * 1000 + "b", "*?a?" * 500 + "b", "*" + "?" * 2049],
)
def test_hostile_patterns(glob: str) -> None:
    test = pattern(glob, variables=False)
    begun = cpu_ns()
    assert not test("a" * 2048, NOTHING)
    assert cpu_ns() - begun < 200_000_000


# Each of an ARN's six parts is matched for itself: a star for the region does not swallow the account.
@pytest.mark.parametrize(
    ("glob", "arn", "expected"),
    [
        ("*", "*", True),
        ("*", "arn:aws:s3:::b", True),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/x/y:z", True),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b", False),
        ("arn:aws:s3:::b*", "arn:aws:s3:::bc", True),
        ("arn:aws:sqs:*:1:q", "arn:aws:sqs:us-east-1:1:q", True),
        ("arn:aws:sqs:*:q", "arn:aws:sqs:us-east-1:1:q", False),
        ("arn:aws:sqs:us-*:1:q?", "arn:aws:sqs:us-east-1:1:q1", True),
        ("arn:aws:sqs:us-*:2:q?", "arn:aws:sqs:us-east-1:1:q1", False),
        ("arn:*:sqs:*:*:*", "arn:aws:sqs:us-east-1:1:a:b", True),
        ("arn:aws:sqs:*", "arn:aws:sqs:us-east-1:1:q", True),
        ("arn:aws:lambda:r:1:function:f:*", "arn:aws:lambda:r:1:function:f:live", True),
        ("arn:aws:lambda:r:1:function:f", "*", False),
    ],
)
def test_arns(glob: str, arn: str, expected: bool) -> None:
    assert is_arn_pattern(glob) or glob == "arn:aws:sqs:*:q"
    assert arn_pattern(glob, variables=True)(arn, NOTHING) is expected


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html: substituted values are literal, defaults
# stand in for missing keys, ${*} ${?} ${$} are the characters, and version 2008-10-17 knows no variables at all.
@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        ("home/${aws:username}/*", "home/ann/x", True),
        ("home/${aws:username}/*", "home/bob/x", False),
        ("home/${AWS:UserName}", "home/ann", True),
        ("${aws:PrincipalTag/star}", "x", False),
        ("${aws:PrincipalTag/star}", "*", True),
        ("${aws:PrincipalTag/team, 'x'}", "x", True),
        ("${aws:PrincipalTag/team,'x'}", "y", False),
        ("${aws:PrincipalTag/team}", "", None),
        ("a${*}b", "a*b", True),
        ("a${*}b", "axb", False),
        ("a${?}${$}", "a?$", True),
        ("$x", "$x", True),
        ("${}", "${}", True),
        ("${a'b}", "${a'b}", True),
        ("${a, b}", "${a, b}", True),
    ],
)
def test_variables(glob: str, text: str, expected: bool | None) -> None:
    context = Given({"aws:username": "ann", "aws:PrincipalTag/star": "*"})
    assert pattern(glob, variables=True)(text, context) is expected
    if "${" in glob and glob != text:
        assert not pattern(glob, variables=False, wildcards=False)(text, context)


# A variable stands for exactly one value; case is ignored where the operator says so, in substituted values as well.
def test_variables_with_several_values_and_folding() -> None:
    test = pattern("${a:b}X", variables=True, fold=True)
    assert test("onex", Given({"a:b": "ONE"})) is True
    assert test("onex", Given({"a:b": ["ONE", "two"]})) is None


def test_variable_in_the_account_part() -> None:
    test = arn_pattern("arn:aws:iam::${aws:PrincipalAccount}:role/*", variables=True)
    assert test("arn:aws:iam::1:role/r", Given({"aws:principalaccount": "1"})) is True
    assert test("arn:aws:iam::1:role/r", Given({"aws:principalaccount": "2"})) is False
    assert test("arn:aws:iam::1:role/r", NOTHING) is None
