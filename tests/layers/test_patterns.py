"""The language of event patterns, operator by operator, and that no pattern or event breaks the matcher."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.layers.patterns import PatternError, compile_pattern


def matches(pattern: Any, event: Any) -> bool:
    return compile_pattern(json.dumps(pattern))(event)


# The examples of https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html, and their edges.
@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"a": ["x"]}, {"a": "x"}, True),
        ({"a": ["x", "y"]}, {"a": "y"}, True),
        ({"a": ["x"]}, {}, False),
        ({"a": ["x"]}, {"a": ["z", "x"]}, True),
        ({"a": [1]}, {"a": 1.0}, True),
        ({"a": [1]}, {"a": True}, False),
        ({"a": [True]}, {"a": 1}, False),
        ({"a": [None]}, {"a": None}, True),
        ({"a": [None]}, {}, False),
        ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
        ({"a": {"b": ["x"]}}, {"a": [{"b": "y"}, {"b": "x"}]}, True),
        ({"a": {"b": ["x"]}}, {"a": "x"}, False),
        ({"a": ["x"], "b": ["y"]}, {"a": "x"}, False),
        ({"a": [{"prefix": "ab"}]}, {"a": "abc"}, True),
        ({"a": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"a": "abc"}, True),
        ({"a": [{"suffix": ".png"}]}, {"a": "x.png"}, True),
        ({"a": [{"suffix": ".png"}]}, {"a": 1}, False),
        ({"a": [{"equals-ignore-case": "ABC"}]}, {"a": "aBc"}, True),
        ({"a": [{"anything-but": "x"}]}, {"a": "y"}, True),
        ({"a": [{"anything-but": "x"}]}, {"a": "x"}, False),
        ({"a": [{"anything-but": "x"}]}, {}, False),
        ({"a": [{"anything-but": ["x", 3]}]}, {"a": 3}, False),
        ({"a": [{"anything-but": {"prefix": ["x", "y"]}}]}, {"a": "yes"}, False),
        ({"a": [{"anything-but": {"wildcard": "*.png"}}]}, {"a": "x.jpg"}, True),
        ({"a": [{"numeric": ["=", 5]}]}, {"a": 5}, True),
        ({"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 5}, True),
        ({"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 0}, False),
        ({"a": [{"numeric": [">", 0]}]}, {"a": "1"}, False),
        ({"a": [{"exists": True}]}, {"a": None}, True),
        ({"a": [{"exists": True}]}, {"a": {"b": 1}}, False),
        ({"a": [{"exists": False}]}, {}, True),
        ({"a": {"b": [{"exists": False}]}}, {}, True),
        ({"a": [{"cidr": "10.0.0.0/24"}]}, {"a": "10.0.0.7"}, True),
        ({"a": [{"cidr": "10.0.0.0/24"}]}, {"a": "10.0.1.7"}, False),
        ({"a": [{"cidr": "2001:db8::/32"}]}, {"a": "2001:db8::1"}, True),
        ({"a": [{"wildcard": "a*c"}]}, {"a": "abbbc"}, True),
        ({"a": [{"wildcard": "a\\*c"}]}, {"a": "a*c"}, True),
        ({"a": [{"wildcard": "a\\*c"}]}, {"a": "abc"}, False),
        ({"$or": [{"a": ["x"]}, {"b": ["y"]}], "c": ["z"]}, {"b": "y", "c": "z"}, True),
        ({"$or": [{"a": ["x"]}, {"b": ["y"]}], "c": ["z"]}, {"b": "y"}, False),
    ],
)
def test_operators(pattern: Any, event: Any, expected: bool) -> None:
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"a": "x"}',
        '{"a": []}',
        '{"a": [[1]]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"unknown": 1}]}',
        '{"a": [{"prefix": "a", "suffix": "b"}]}',
        '{"a": [{"numeric": ["<", 1, "<", 2]}]}',
        '{"a": [{"numeric": [">", 1e999]}]}',
        '{"a": [{"cidr": "10.0.0.0/99"}]}',
        '{"a": [{"wildcard": "a**b"}]}',
        '{"a": [{"wildcard": "a\\\\b"}]}',
        '{"a": [{"anything-but": {"numeric": ["=", 1]}}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a":' * 2000 + "1" + "}" * 2000,
        '{"a": ["' + "x" * 5000 + '"]}',
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


# Wildcards mean what a shell means by them, and cost no more than a look along the text.
@given(st.text("ab*", max_size=12).filter(lambda text: "**" not in text), st.text("ab", max_size=20))
def test_wildcards_are_globs(wildcard: str, value: str) -> None:
    assert matches({"a": [{"wildcard": wildcard}]}, {"a": value}) == fnmatchcase(value, wildcard)


# Whatever arrives as pattern and event, the answer is yes, no, or that the pattern is none.
@given(json_values, json_values)
def test_never_breaks(pattern: Any, event: Any) -> None:
    try:
        matcher = compile_pattern(json.dumps(pattern))
    except PatternError:
        return
    assert matcher(event) in (True, False)


# A leaf matches itself, wherever it stands; and exists(true) and exists(false) never agree about a leaf.
@given(st.text(max_size=5) | st.integers() | st.booleans() | st.none())
def test_a_leaf_matches_itself(leaf: Any) -> None:
    assert matches({"a": {"b": [leaf]}}, {"a": {"b": leaf}})
    assert matches({"a": [{"exists": True}]}, {"a": leaf}) != matches({"a": [{"exists": False}]}, {"a": leaf})
