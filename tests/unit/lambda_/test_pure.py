"""The pure parts of Lambda: names, alias routing, batches and their answers, records and log calls."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.functions import LogLine
from unkai.services.lambda_ import sqsbatch
from unkai.services.lambda_.aliases import choose_version
from unkai.services.lambda_.logs import _events
from unkai.services.lambda_.names import FunctionRef, NotAName, parse
from unkai.services.lambda_.urlevents import BadAnswer, response_of
from unkai.services.lambda_.urls import url_of

names = st.text("abcXYZ019-_", min_size=1, max_size=64)
qualifiers = st.sampled_from(["", "$LATEST", "1", "live"])


# Every form of a function's name leads to the same function.
@given(names, qualifiers)
def test_every_form_names_the_same(name: str, qualifier: str) -> None:
    tail = f":{qualifier}" if qualifier else ""
    account, region = "123456789012", "eu-west-1"
    expected = FunctionRef(account, region, name, qualifier)
    for form in (
        f"{name}{tail}",
        f"function:{name}{tail}",
        f"{account}:function:{name}{tail}",
        f"arn:aws:lambda:{region}:{account}:function:{name}{tail}",
    ):
        if form.partition(":")[0] == "function" and name == "function":
            continue
        assert parse(form, account, region) == expected


# Anything else is refused as no name, and never breaks.
@given(st.text(max_size=40) | st.text("arn:lmbdfuctio0123$-_", max_size=60))
def test_names_never_break(text: str) -> None:
    try:
        ref = parse(text, "123456789012", "us-east-1")
    except NotAName:
        return
    assert ref.name
    assert parse(ref.qualified_arn, "", "") == ref


# The version that serves a request follows from its id alone, so all tries of an event meet the same code.
@given(st.text(max_size=40), st.floats(0, 1))
def test_routing_is_determined(request_id: str, weight: float) -> None:
    chosen = choose_version("1", {"2": weight}, request_id)
    assert chosen == choose_version("1", {"2": weight}, request_id)
    assert chosen in ("1", "2")
    if weight == 1:
        assert chosen == "2"
    if weight == 0:
        assert chosen == "1"


# A larger weight never takes a request away from the version that has it.
@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_routing_grows_with_the_weight(request_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if choose_version("1", {"2": low}, request_id) == "2":
        assert choose_version("1", {"2": high}, request_id) == "2"


def test_routing_shares() -> None:
    share = sum(choose_version("1", {"2": 0.25}, f"request {n}") == "2" for n in range(4000)) / 4000
    assert 0.22 < share < 0.28


RECORDS = [{"messageId": name, "receiptHandle": name, "body": "x"} for name in "abc"]


# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html: an answer that is none fails the whole batch.
@pytest.mark.parametrize(
    ("answer", "deleted"),
    [
        ("null", "abc"),
        ("{}", "abc"),
        ('{"batchItemFailures": []}', "abc"),
        ('{"batchItemFailures": null}', "abc"),
        ('{"batchItemFailures": [{"itemIdentifier": "b"}]}', "ac"),
        ('{"batchItemFailures": [{"itemIdentifier": "z"}]}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', ""),
        ('{"batchItemFailures": [{"bad": "b"}]}', ""),
        ('{"batchItemFailures": "b"}', ""),
        ("no json", ""),
        ('"text"', ""),
    ],
)
def test_partial_answers(answer: str, deleted: str) -> None:
    left = sqsbatch.succeeded(RECORDS, answer.encode(), partial=True)
    assert "".join(record["messageId"] for record in left) == deleted
    assert sqsbatch.succeeded(RECORDS, answer.encode(), partial=False) == RECORDS


# No event is larger than a function may get, and nothing is lost or reordered.
def test_parts() -> None:
    records = [{"messageId": str(n), "body": "x" * 1_000_000} for n in range(14)]
    parts = list(sqsbatch.parts(records))
    assert [record for part in parts for record in part] == records
    assert all(len(json.dumps({"Records": part})) <= 6 * 1024 * 1024 for part in parts)


# PutLogEvents refuses calls over its limits, and events that are not in order of time.
@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["", "x", "y" * 400_000])), max_size=30))
def test_log_calls(lines: list[tuple[int, str]]) -> None:
    calls = _events([LogLine(time_ms, text) for time_ms, text in lines])
    assert sum(len(call) for call in calls) == sum(bool(text) for _, text in lines)
    for call in calls:
        assert sum(len(event["message"]) + 26 for event in call) <= 1_048_576
        assert [event["timestamp"] for event in call] == sorted(event["timestamp"] for event in call)


headers_of = st.dictionaries(st.text(max_size=12), st.text(max_size=9)).map(
    lambda headers: json.dumps({"statusCode": 200, "headers": headers}).encode()
)


# Whatever a function answers is a response or a 502, and no answer smuggles a header in.
@given(st.binary(max_size=60) | headers_of)
def test_answers_never_break(payload: bytes) -> None:
    try:
        status, headers, body = response_of(payload)
    except BadAnswer:
        return
    assert 200 <= status <= 599
    assert isinstance(body, bytes)
    for name, value in headers:
        assert "\r" not in name + value
        assert "\n" not in name + value
        assert ":" not in name


# A URL has the form of AWS's where the node has a host name, and stands below the address where it has none.
@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://localhost:4566", "http://id.lambda-url.us-east-1.localhost:4566/"),
        ("https://cloud.example", "https://id.lambda-url.us-east-1.cloud.example/"),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566/_lambda/url/id/"),
        ("http://[::1]:4566", "http://[::1]:4566/_lambda/url/id/"),
    ],
)
def test_url_of(base: str, url: str) -> None:
    assert url_of(base, "us-east-1", "id") == url
