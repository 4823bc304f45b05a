"""Pages of events against a sorted list: any puts, any page size, both directions, and all of the page's own limits made small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.logs.driver import Node
from unkai.services.logs import chunks, limits, reading

STREAMS = ("a", "ab", "c")

puts = st.lists(
    st.tuples(
        st.sampled_from(STREAMS), st.lists(st.sampled_from([0, 1, 400, 999, 1000, 1500, 2500]), min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=8,
)


@contextmanager
def _filled(given_puts: list[tuple[str, list[int]]]) -> Iterator[tuple[Node, int, list[tuple[int, int, str, str]]]]:
    """A node with these puts, its time, and all events as (time, order, stream, message), sorted."""
    with closing(Node(conflicting=False)) as node:
        yield node, node.clock.node_ms(), _put_all(node, given_puts)


def _put_all(node: Node, given_puts: list[tuple[str, list[int]]]) -> list[tuple[int, int, str, str]]:
    now = node.clock.node_ms()
    node.call("CreateLogGroup", logGroupName="g")
    for name in STREAMS:
        node.call("CreateLogStream", logGroupName="g", logStreamName=name)
    events: list[tuple[int, int, str, str]] = []
    for stream, offsets in given_puts:
        batch = [(now + offset, f"{stream} {len(events) + at}") for at, offset in enumerate(sorted(offsets))]
        node.call(
            "PutLogEvents",
            logGroupName="g",
            logStreamName=stream,
            logEvents=[{"timestamp": ms, "message": message} for ms, message in batch],
        )
        events += [(ms, len(events) + at, stream, message) for at, (ms, message) in enumerate(batch)]
    return sorted(events)


def _pages(node: Node, operation: str, token: str, **inp: Any) -> list[list[str]]:
    """Every page until there is no token, or until a token names itself."""
    pages = []
    while True:
        out = node.call(operation, **inp)
        pages.append([event["message"] for event in out["events"]])
        following = out.get(token)
        if following is None or following == inp.get("nextToken"):
            return pages
        inp["nextToken"] = following


def _joined(pages: Iterable[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


@settings(max_examples=80, deadline=None)
@given(
    puts=puts,
    limit=st.sampled_from([1, 2, 3, 100]),
    rows_page=st.integers(1, 3),
    budget=st.sampled_from([1, 500, 10_000]),
    page_bytes=st.sampled_from([30, 100, 1 << 20]),
    chunk_bytes=st.sampled_from([0, 8, 1 << 16]),
    low=st.sampled_from([0, 1, 999, 1000]),
    high=st.sampled_from([1, 1000, 1500, 9999]),
)
def test_pages_against_a_sorted_list(
    puts: Any, limit: int, rows_page: int, budget: int, page_bytes: int, chunk_bytes: int, low: int, high: int
) -> None:
    with (
        patch.object(reading, "ROWS_PAGE", rows_page),
        patch.object(reading, "BUDGET_BYTES", budget),
        patch.object(limits, "PAGE_SIZE_BYTES_MAX", page_bytes),
        patch.object(chunks, "CHUNK_SIZE_BYTES_MAX", chunk_bytes),
        _filled(puts) as (node, now, events),
    ):
        whole: Any = {"logGroupName": "g", "limit": limit}
        ranged: Any = {**whole, "startTime": now + low, "endTime": now + high}
        wanted = [event for event in events if now + low <= event[0] <= now + high]

        # FilterLogEvents: all streams in order of time; endTime is part of the range. Backward it is the same list reversed.
        shown = _joined(_pages(node, "FilterLogEvents", "nextToken", **ranged))
        assert shown == [event[3] for event in wanted]
        shown = _joined(_pages(node, "FilterLogEvents", "nextToken", **ranged, startFromHead=False))
        assert shown == [event[3] for event in reversed(wanted)]
        of_some = _joined(_pages(node, "FilterLogEvents", "nextToken", **whole, logStreamNamePrefix="a"))
        assert of_some == [event[3] for event in events if event[2].startswith("a")]
        found = _joined(_pages(node, "FilterLogEvents", "nextToken", **whole, filterPattern='"c "'))
        assert found == [event[3] for event in events if event[2] == "c"]

        # GetLogEvents: one stream; endTime is outside of the range.
        for name in STREAMS:
            of_one = [event for event in events if event[2] == name]
            forward = _pages(node, "GetLogEvents", "nextForwardToken", logStreamName=name, startFromHead=True, **whole)
            assert _joined(forward) == [event[3] for event in of_one]
            backward = _pages(node, "GetLogEvents", "nextBackwardToken", logStreamName=name, **whole)
            assert _joined(reversed(backward)) == [event[3] for event in of_one]
            inside = [event[3] for event in of_one if now + low <= event[0] < now + high]
            pages = _pages(node, "GetLogEvents", "nextForwardToken", logStreamName=name, startFromHead=True, **ranged)
            assert _joined(pages) == inside
            assert all(len(page) <= limit for page in forward + backward + pages)


# Going forward from any page and back again shows the same events: nothing is lost or shown twice where one turns around.
def test_turning_around() -> None:
    with _filled([("a", [0, 1, 400, 1000, 2500])]) as (node, _, events):
        inp: Any = {"logGroupName": "g", "logStreamName": "a", "limit": 2}
        first = node.call("GetLogEvents", **inp, startFromHead=True)
        second = node.call("GetLogEvents", **inp, nextToken=first["nextForwardToken"])
        back = node.call("GetLogEvents", **inp, nextToken=second["nextBackwardToken"])
        assert back["events"] == first["events"]
        again = node.call("GetLogEvents", **inp, nextToken=back["nextForwardToken"])
        assert again["events"] == second["events"]
        assert len(events) == 5


# A follower at the end gets the same token until something comes, and then exactly what came: `logs tail` relies on it.
def test_following() -> None:
    with _filled([("a", [0])]) as (node, now, _):
        inp: Any = {"logGroupName": "g", "logStreamName": "a"}
        end = node.call("GetLogEvents", **inp)["nextForwardToken"]
        assert node.call("GetLogEvents", **inp, nextToken=end)["nextForwardToken"] == end
        put: Any = {
            "logGroupName": "g",
            "logStreamName": "a",
            "logEvents": [{"timestamp": now, "message": "same moment"}],
        }
        node.call("PutLogEvents", **put)
        came = node.call("GetLogEvents", **inp, nextToken=end)
        assert [event["message"] for event in came["events"]] == ["same moment"]
        empty = node.call("GetLogEvents", logGroupName="g", logStreamName="c")
        assert empty["events"] == []
        node.call("PutLogEvents", **{**put, "logStreamName": "c"})
        came = node.call("GetLogEvents", logGroupName="g", logStreamName="c", nextToken=empty["nextForwardToken"])
        assert len(came["events"]) == 1
