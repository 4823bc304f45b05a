"""Filter policies: each operator by AWS's own documentation, refusals word by word, and random ones against a plain reference."""

from __future__ import annotations

import fnmatch
import ipaddress
import operator
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unkai.services.sns.conditions import FilterError
from unkai.services.sns.filter_policy import ATTRIBUTES, BODY, attribute_values, compile_filter


def matches(policy: Any, fields: Any, scope: str = BODY) -> bool:
    return compile_filter(msgspec.json.encode(policy).decode(), scope)(fields)


# The operators as https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html shows them: what each one
# lets through and what it keeps back.
@pytest.mark.parametrize(
    ("conditions", "yes", "no"),
    [
        (["rugby", "tennis"], ["rugby", "tennis", ["golf", "tennis"]], ["Rugby", "", 5, None, [], ["golf"]]),
        ([301.5, 100], [301.5, 100, 100.0, 301.500001], ["100", 100.1, True]),
        ([True], [True, [False, True]], ["true", 1, False]),
        ([None], [None, [None]], ["null", 0, False]),
        ([{"prefix": "bas"}], ["baseball", "bas"], ["rugby", "Bas", 5]),
        ([{"suffix": "ball"}], ["baseball"], ["ball game", None]),
        ([{"equals-ignore-case": "TENNIS"}], ["tennis", "Tennis"], ["tennis!", 1]),
        ([{"wildcard": "*ball"}], ["baseball", "ball"], ["balls"]),
        ([{"wildcard": "a*b*c"}], ["abc", "aXbYc", "abbc"], ["ab", "acb", "abcd"]),
        ([{"wildcard": "5\\*"}], ["5*"], ["55"]),
        ([{"cidr": "10.0.0.0/24"}], ["10.0.0.0", "10.0.0.255"], ["10.1.0.0", "10.0.0.0/24", 10]),
        ([{"cidr": "2001:db8::/32"}], ["2001:db8::1"], ["2001:db9::1", "10.0.0.0"]),
        ([{"anything-but": ["rugby", "tennis"]}], ["golf", 5, ["rugby", "golf"]], ["rugby", ["rugby", "tennis"]]),
        ([{"anything-but": 5}], [6, "5"], [5, 5.0]),
        ([{"anything-but": {"prefix": "order-"}}], ["data-entry", 3], ["order-cancelled"]),
        ([{"anything-but": {"suffix": "ball"}}], ["rugby"], ["baseball"]),
        ([{"anything-but": {"wildcard": "*ball*"}}], ["rugby"], ["ballet"]),
        ([{"numeric": ["=", 301.5]}], [301.5], [300, "301.5"]),
        ([{"numeric": ["<", 0]}], [-1], [0]),
        ([{"numeric": [">", 0, "<=", 150]}], [0.1, 150], [0, 150.1, "100"]),
        ([{"exists": True}], ["x", 0, None, False], []),
        (["rugby", {"prefix": "bas"}, {"numeric": [">", 10]}], ["rugby", "base", 11], ["golf", 10]),
    ],
)
def test_operators(conditions: list[Any], yes: list[Any], no: list[Any]) -> None:
    for value in yes:
        assert matches({"f": conditions}, {"f": value}), value
    for value in no:
        assert not matches({"f": conditions}, {"f": value}), value
    assert not matches({"f": conditions}, {}), "a field that is not there matches nothing but exists: false"


# exists: false is the one condition that a missing field satisfies; an object is not a value of the field.
def test_exists_false() -> None:
    policy = {"a": {"b": [{"exists": False}]}}
    assert matches(policy, {})
    assert matches(policy, {"a": {"c": 1}})
    assert matches(policy, {"a": 5})
    assert not matches(policy, {"a": {"b": None}})


# All fields must match; under $or one alternative must. With fewer than two objects $or is a field like any other.
def test_and_or() -> None:
    policy = {"source": ["aws"], "$or": [{"metric": ["cpu"]}, {"value": [{"numeric": [">", 5]}]}]}
    assert matches(policy, {"source": "aws", "metric": "cpu"})
    assert matches(policy, {"source": "aws", "value": 6})
    assert not matches(policy, {"source": "aws"})
    assert not matches(policy, {"metric": "cpu"})
    assert matches({"$or": ["x"]}, {"$or": "x"})


# In an array of objects, one and the same object must match in all fields.
def test_arrays_of_objects() -> None:
    policy = {"items": {"name": ["a"], "price": [{"numeric": ["<", 10]}]}}
    assert matches(policy, {"items": [{"name": "b", "price": 1}, {"name": "a", "price": 2}]})
    assert not matches(policy, {"items": [{"name": "a", "price": 20}, {"name": "b", "price": 2}]})


# Of attributes, strings, numbers and string arrays take part; binary ones do not exist for a filter.
def test_attribute_values() -> None:
    values = attribute_values(
        {
            "s": {"DataType": "String", "StringValue": "5"},
            "n": {"DataType": "Number.int", "StringValue": "5.10"},
            "a": {"DataType": "String.Array", "StringValue": '["x", 7, true, null]'},
            "b": {"DataType": "Binary", "BinaryValue": b"5"},
        }
    )
    assert values == {"s": "5", "n": 5.1, "a": ["x", 7, True, None]}
    assert matches({"a": [7], "n": [5.1], "b": [{"exists": False}]}, values, ATTRIBUTES)


# What AWS refuses, in its words (the position it adds, "at [Source: ...]", is left out).
@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ('{"key":[["value"]]}', "Match value must be String, number, true, false, or null"),
        ('{"key":[{"wrong-operator":true}]}', "Unrecognized match type wrong-operator"),
        ('{"key":[{"suffix":"value","prefix":"value2"}]}', "Only one key allowed in match expression"),
        ('{"key":[{"exists":"no"}]}', "exists match pattern must be either true or false."),
        ('{"key":[{"anything-but":{"exists":false}}]}', "Unsupported anything-but pattern: exists"),
        ('{"key":[{"anything-but":{"prefix":false}}]}', "prefix match pattern must be a string"),
        ('{"key":[{"numeric":[]}]}', "Invalid member in numeric match: ]"),
        ('{"key":[{"numeric":[">",20,30]}]}', "Bad value in numeric range: 30"),
        ('{"key":[{"numeric":[">",20,"<="]}]}', "Value of <= must be numeric"),
        ('{"key":[{"numeric":[">="]}]}', "Value of >= must be numeric"),
        ('{"key":[{"numeric":[1,"<="]}]}', "Invalid member in numeric match: 1"),
        ('{"key":[{"numeric":[">",20,"<",30,"<",50]}]}', "Too many terms in numeric range expression"),
        ('{"key":[{"numeric":["=","000"]}]}', "Value of equals must be numeric"),
        ('{"key":[{"numeric":["operator"]}]}', "Unrecognized numeric range operator: operator"),
        ('{"key":[{"numeric":[">=",1,">",2]}]}', "Bad numeric range operator: >"),
        ('{"key":[{"numeric":["<",100,">",10]}]}', "Too many elements in numeric expression"),
        ('{"key":[{"numeric":[">",3,"<",1]}]}', "Bottom must be less than top"),
        ('{"key":[{"cidr":"bad-filter"}]}', "Malformed CIDR, one '/' required"),
        ('{"key":[{"cidr":"bad-filter/64"}]}', "Nonstandard IP address: bad-filter"),
        ('{"key":[{"cidr":"10.0.0.0/a"}]}', "Malformed CIDR, mask bits must be an integer"),
        ('{"key":[]}', "Empty arrays are not allowed"),
        ('{"key":{"suffix":"value"}}', '"suffix" must be an object or an array'),
        ('{"key_a":"value_one"}', '"key_a" must be an object or an array'),
        ('{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}', "Filter policy can not have more than 5 keys"),
        ("[]", "Filter is not an object"),
        ('{"a":{}}', "Empty objects are not allowed"),
        ('{"a":[{"wildcard":"a**b"}]}', "Consecutive wildcard characters at pos 1"),
        ('{"a":[{"wildcard":"*a*b*c*"}]}', "Filter policy is too complex"),
    ],
)
def test_refusals(policy: str, sentence: str) -> None:
    with pytest.raises(FilterError) as refused:
        compile_filter(policy, BODY)
    assert str(refused.value) == sentence


# The product of the arrays' lengths, each times its depth, may be 150 (AWS's example: 3 x 4 x 2 x 3 = 72).
def test_complexity() -> None:
    inner = {"k": {"l": {"m": ["1", "2", "3", "4"]}}, "n": {"o": ["1", "2", "3"]}}
    assert not matches(inner, {})
    with pytest.raises(FilterError, match="too complex"):
        matches({**inner, "p": ["1", "2", "3"]}, {})
    with pytest.raises(FilterError, match="too complex"):
        matches({"a": [str(n) for n in range(151)]}, {})


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":[1]', '{"a":[NaN]}', '{"a":[1],"a":[2]}', "[" * 100_000, '{"a":' * 2000]
)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(FilterError):
        compile_filter(text, BODY)


# --- random policies and messages against a reference that is as plain as the documentation

_TEXTS = st.text("abB*\\", max_size=4)
_NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -1.25, 2.000001]))
_SCALARS = st.one_of(_TEXTS, _NUMBERS, st.booleans(), st.none())
_PLAIN_TEXTS = st.text("abB", max_size=3)
_CONDITIONS = st.one_of(
    _SCALARS,
    st.builds(lambda text: {"prefix": text}, _PLAIN_TEXTS),
    st.builds(lambda text: {"suffix": text}, _PLAIN_TEXTS),
    st.builds(lambda text: {"equals-ignore-case": text}, _PLAIN_TEXTS),
    st.builds(lambda parts: {"wildcard": "*".join(parts)}, st.lists(st.text("ab", min_size=1, max_size=2), max_size=4)),
    st.builds(lambda value: {"exists": value}, st.booleans()),
    st.builds(lambda values: {"anything-but": values}, st.lists(_PLAIN_TEXTS, min_size=1, max_size=3)),
    st.builds(lambda text: {"anything-but": {"prefix": text}}, _PLAIN_TEXTS),
    st.builds(lambda operator, n: {"numeric": [operator, n]}, st.sampled_from(["<", "<=", "=", ">", ">="]), _NUMBERS),
    st.builds(lambda low, n: {"numeric": [">", low, "<=", low + n]}, _NUMBERS, st.integers(1, 3)),
    st.builds(lambda bits: {"cidr": f"10.0.0.0/{bits}"}, st.integers(0, 32)),
)
_VALUES = st.one_of(
    _SCALARS, st.lists(_SCALARS, max_size=3), st.sampled_from(["10.0.0.1", "10.255.0.1", "11.0.0.0", "10.0.0.256"])
)
_POLICIES = st.dictionaries(st.sampled_from("xyz"), st.lists(_CONDITIONS, min_size=1, max_size=3), min_size=1)
_MESSAGES = st.dictionaries(st.sampled_from("xyz"), _VALUES)
_GONE = object()
_COMPARE = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return value is wanted
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return round(value, 5) == round(wanted, 5)
    return type(value) is type(wanted) and bool(value == wanted)


def _holds(condition: Any, value: Any) -> bool:
    if not isinstance(condition, dict):
        return value is not _GONE and _same(value, condition)
    ((name, operand),) = condition.items()
    if name == "exists":
        return (value is not _GONE) == operand
    if value is _GONE:
        return False
    if name == "anything-but":
        if isinstance(operand, dict):
            return not _holds(operand, value)
        return not any(_same(value, each) for each in operand)
    if name == "numeric":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        steps = zip(operand[::2], operand[1::2], strict=True)
        return all(_COMPARE[how](round(value, 5), round(bound, 5)) for how, bound in steps)
    if not isinstance(value, str):
        return False
    if name == "cidr":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(operand, strict=False)
        except ValueError:
            return False
    return {
        "prefix": lambda: value.startswith(operand),
        "suffix": lambda: value.endswith(operand),
        "equals-ignore-case": lambda: value.lower() == operand.lower(),
        "wildcard": lambda: fnmatch.fnmatchcase(value.replace("*", "?").replace("\\", "/"), operand),
    }[name]()


def _reference(policy: dict[str, list[Any]], message: dict[str, Any]) -> bool:
    for name, conditions in policy.items():
        value = message.get(name, _GONE)
        values = value if isinstance(value, list) and value else [_GONE if isinstance(value, list) else value]
        if not any(_holds(condition, each) for condition in conditions for each in values):
            return False
    return True


@given(_POLICIES, _MESSAGES)
def test_random_policies(policy: dict[str, list[Any]], message: dict[str, Any]) -> None:
    try:
        compile_filter(msgspec.json.encode(policy).decode(), BODY)
    except FilterError as refused:
        assume("too complex" not in str(refused))  # a limit of its own, with tests of its own
    assert matches(policy, message) == _reference(policy, message)


# Whatever is given as a policy, it is compiled or refused, and what was compiled answers every message.
@given(
    st.recursive(
        st.one_of(_CONDITIONS, st.text(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["a", "$or", "numeric", "prefix"]), inner, max_size=3),
        ),
    ),
    _MESSAGES,
)
def test_any_policy_is_compiled_or_refused(policy: Any, message: dict[str, Any]) -> None:
    try:
        test = compile_filter(msgspec.json.encode(policy).decode(), BODY)
    except FilterError:
        return
    assert test(message) in (True, False)
