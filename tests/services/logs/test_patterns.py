"""The filter pattern language: AWS's own examples, a simple reference, and a parser that nothing can break.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unkai.kernel.clock import monotonic_s
from unkai.kernel.errors import AwsError
from unkai.services.logs.patterns import compile_pattern

JSON_EVENT = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "cluster.name": "c",
        "ThisFlag": True,
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "users": [{"id": 2, "email": "John.Doe@example.com"}],
        "actions": ["GET", "PUT", "DELETE"],
        "coordinates": [[0, 1, 2], [4, 5, 6]],
        "number": [1000.0, 12345678901234567890],
    }
)
APACHE = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
LAMBDA = "2026-01-01T00:00:00.000Z\t11111111-2222\tINFO and words"


# The examples of AWS's page on terms. Terms with `?` are ignored beside others, as AWS says of them.
@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ('" "', "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR", "error", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
        ("?ERROR ?ARGUMENTS", "[INFO] ARGUMENTS", True),
        ("?ERROR ?ARGUMENTS", "[INFO] REQUEST", False),
        ("?ERROR ?ARGUMENTS REQUEST", "[INFO] REQUEST FAILED", True),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
        ('"ERROR" - "Exiting"', "Exiting with ERRORCODE: -1", False),
        (r'"a \"b\""', 'say a "b" now', True),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("%^[hc]at%", "hat", True),
        ("%^[hc]at%", "a hat", False),
        ("%[hc]at$%", "a cat", True),
        ("%colou?r%", "color", True),
        (r"%10\.10\.0\.1%", "10010,051", False),
        (r"%\[.\]%", "x [7]", True),
        ("%^starting|^shutting down%", "shutting down", True),
        ("%a{3,5}%", "aa", False),
        ("%^a{,2}$%", "aaa", False),
        (r"%\x28\d+\s\W%", "(12 !", True),
        ("%ab[^c]%", "abcc", False),
    ],
)
def test_terms(pattern: str, message: str, expected: bool) -> None:
    assert compile_pattern(pattern).matches(message) is expected


# The examples of AWS's page on JSON, and its rules: a selector that leads nowhere or to a list makes even != false.
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{ $.eventType = Update* }", True),
        ('{ $.eventType = "*Trail" }', True),
        ("{ $.eventType = Up*Trail }", False),  # a star inside is an ordinary character
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ('{ $.arrayKey[0] = "value" }', True),
        ("{ $.arrayKey = value }", False),
        ("{ $.arrayKey != value }", False),
        ("{ $.nothing != value }", False),
        ("{ $.objectList[1].id = 2 }", True),
        ("{ $.objectList[2].id = 2 }", False),
        ("{ $.eventType = %Trail% }", True),
        ("{ $.arrayKey[*] = %val.{2}% }", True),
        (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", True),
        ("{ $.['cluster.name'] = \"c\" }", True),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.eventType IS NULL }", False),
        ("{ $.ThisFlag IS TRUE }", True),
        ("{ $.ThisFlag IS FALSE }", False),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.user.id >= 1 && $.user.id < 1.5e0 }", True),
        ("{ $.number[0] = 1e+3 }", True),
        ("{ $.number[1] = 12345678901234567891 }", False),
        ("{ $.user.email > 5 }", False),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', True),
        ('{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "no" && $.actions[2] = "no" }', True),
        ('{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "no") && $.actions[2] = "no" }', False),
        ('{ ($.user.id = 2 && $.users[0].email = "no") || $.actions[2] = "GET" }', False),
    ],
)
def test_json(pattern: str, expected: bool) -> None:
    assert compile_pattern(pattern).matches(JSON_EVENT) is expected
    assert not compile_pattern(pattern).matches("no JSON")
    assert not compile_pattern(pattern).matches('{"open": ')


# The examples of AWS's page on fields; the last named field takes the rest, which the console's pattern for Lambda relies on.
@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        (
            r"[ip=%127\.0\.0\.[1-9]%, user, username, timestamp, request =*.html*, status_code = 4*, bytes]",
            APACHE,
            True,
        ),
        ("[..., request =*.html*, status_code = 4*, bytes]", APACHE, True),
        ("[ip, user, ..., status_code = 404 || status_code = 410, bytes > 1500]", APACHE, True),
        ("[ip, user, ..., status_code = 404 && bytes]", APACHE, None),
        ("[..., bytes > 2000]", APACHE, False),
        ("[w1=ERROR, w2]", "ERROR 09/25/2014 12:00:02 Failed to process request", True),
        ("[w1=ERROR, w2]", "ERROR", False),
        ("[w1!=ERROR && w1!=WARNING, w2]", "INFO x", True),
        ("[w1!=ERROR && w1!=WARNING, w2]", "WARNING x", False),
        ('[timestamp=*Z, request_id="*-*", event]', LAMBDA, True),
        ("[]", "x y", True),
    ],
)
def test_fields(pattern: str, message: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(AwsError, match="Invalid filter pattern"):
            compile_pattern(pattern)
    else:
        assert compile_pattern(pattern).matches(message) is expected


# What TestMetricFilter shows: named fields by name, others by number, without their brackets and quotes.
def test_extracted_fields() -> None:
    extracted = compile_pattern("[..., request=*.html*, status_code=4*,]").extract(APACHE)
    assert extracted == {
        "$1": "127.0.0.1",
        "$2": "Prod",
        "$3": "frank",
        "$4": "10/Oct/2000:13:25:15 -0700",
        "$request": "GET /index.html HTTP/1.0",
        "$status_code": "404",
        "$7": "1534",
    }
    assert compile_pattern("[t, id, event]").extract(LAMBDA)["$event"] == "INFO and words"


# What is no pattern is refused when it is put, not when the first event comes; so are AWS's quotas and what its subset lacks.
@pytest.mark.parametrize(
    "pattern",
    [
        "foo.bar",
        '"open',
        "%open",
        "%something!%",
        "%(a)%",
        "%ä%",
        "%a**%",
        "%*a%",
        "%a{2,1}%",
        "%a{1001}%",
        "%[z-a]%",
        r"%\b%",
        r"%\xff%",
        "%%",
        "{ }",
        "{ $ = 1 }",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a IS NOT NULL }",
        "{ $.a EXISTS }",
        "{ $.a > b }",
        "{ $.a > %b% }",
        "{ $.a = 1 } x",
        "{ $.*.* = 1 }",
        "{ $.*=1 || $.*=2 || $.*=3 || $.*=4 }",
        "{ $.a=%b% || $.a=%c% || $.a=%d% }",
        "{ " + "(" * 200 + "$.a=1" + ")" * 200 + " }",
        "[..., a, ...]",
        "[a = 1 && b = 2]",
        "[a",
        "[a b]",
    ],
)
def test_refused(pattern: str) -> None:
    with pytest.raises(AwsError) as refused:
        compile_pattern(pattern)
    assert refused.value.code == "InvalidParameterException"


# A pattern's cost must not grow faster than the message: these hang a backtracking matcher, or a splitter that looks for each
# closing bracket anew.
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%a*a*a*a*a*a*a*a*a*a*a*a*b%", "a" * 100_000),
        ("%.*.*.*=.*.*.*x$%", "=" * 100_000),
        ("[..., a = 1]", "[ " * 100_000),
        ("[..., a = 1]", '" ' * 100_000),
        ("[..., a = 1]", "[a " * 100_000 + "]x"),
        ("{ $.a = 1 }", "[" * 100_000),
        ("{ $.a > 1 }", '{"a": ' + "9" * 100_000 + "}"),
        ("{ $.a > 1 }", '{"a": 1e999999999999}'),
    ],
)
def test_hostile_messages(pattern: str, message: str) -> None:
    began = monotonic_s()
    compile_pattern(pattern).matches(message)
    assert monotonic_s() - began < 2


words = st.text("abc_", min_size=1, max_size=3)


# Terms against the definition: all included, none excluded; optional ones only where there is nothing else.
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "-", "?"]), words), max_size=5), st.text("abc_ ", max_size=12))
def test_terms_against_the_definition(terms: list[tuple[str, str]], message: str) -> None:
    of = {sign: [word for other, word in terms if other == sign] for sign in ("", "-", "?")}
    expected = all(word in message for word in of[""]) and not any(word in message for word in of["-"])
    if of["?"] and not of[""] and not of["-"]:
        expected = any(word in message for word in of["?"])
    pattern = " ".join(sign + word for sign, word in terms)
    assert compile_pattern(pattern).matches(message) is expected


conditions: Any = st.recursive(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["=", "!=", "<", ">="]), st.integers(0, 3)),
    lambda inner: st.tuples(st.sampled_from(["&&", "||"]), inner, inner),
    max_leaves=6,
)


def _written(condition: Any) -> str:
    if condition[0] in ("&&", "||"):
        return f"({_written(condition[1])} {condition[0]} {_written(condition[2])})"
    return f"$.{condition[0]} {condition[1]} {condition[2]}"


def _holds(condition: Any, event: dict[str, int]) -> bool:
    if condition[0] in ("&&", "||"):
        both = _holds(condition[1], event), _holds(condition[2], event)
        return all(both) if condition[0] == "&&" else any(both)
    name, operator, number = condition
    if name not in event:
        return False
    value = event[name]
    return {"=": value == number, "!=": value != number, "<": value < number, ">=": value >= number}[operator]


# JSON conditions against an evaluation of the same tree.
@settings(max_examples=150, deadline=None)
@given(conditions, st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)))
def test_json_against_the_definition(condition: Any, event: dict[str, int]) -> None:
    pattern = compile_pattern("{ " + _written(condition) + " }")
    assert pattern.matches(json.dumps(event)) is _holds(condition, event)


SIGNS = ["{", "}", "[", "]", "(", ")", "$", ".", "$.a", "*", "=", "!=", "<", "&&", "||", "IS", "NULL", "NOT", "EXISTS"]
SIGNS += ['"', "%", "\\", ",", "...", "?", "-", "a", "1", "1e5", "x", "^", "{2,3}", "[a-z]", "ä", "'", " ", "\n"]
tokens = st.sampled_from(SIGNS)


# Whatever is given: a pattern, or a refusal in AWS's words; and what was compiled can be asked anything.
@settings(max_examples=300, deadline=None)
@given(st.lists(tokens, max_size=25).map("".join), st.text(max_size=20))
def test_any_text_is_a_pattern_or_refused(text: str, message: str) -> None:
    try:
        pattern = compile_pattern(text)
    except AwsError as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        assert refusal.code == "InvalidParameterException"
        return
    for asked in (message, JSON_EVENT, APACHE):
        if pattern.matches(asked):
            pattern.extract(asked)
