"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.services.sns import keys, rows
from unkai.store.api import read_counter
from unkai.store.tuples import pack, prefix_end

if TYPE_CHECKING:
    from unkai.services.sns.rows import TopicRow
    from unkai.store.api import ReadTx


async def check(tx: ReadTx) -> list[str]:
    """SNS-1, SNS-2 and SNS-3 for every topic."""
    broken: list[str] = []
    begin = pack("sns")
    topics = [rows.decode_topic(value) for _, value in await tx.get_range(begin, prefix_end(begin))]
    begin = pack("snso")
    owned = {(value[: keys.ID_SIZE_BYTES], key) for key, value in await tx.get_range(begin, prefix_end(begin))}
    for topic in topics:
        broken += await _check_topic(tx, topic, {key for topic_id, key in owned if topic_id == topic.id})
    return broken


async def _check_topic(tx: ReadTx, topic: TopicRow, owned: set[bytes]) -> list[str]:
    found = [rows.decode_subscription(value) for _, value in await tx.get_range(*keys.subscriptions(topic.id))]
    living = [each for each in found if each.state != rows.DELETED]
    by_endpoint = {keys.endpoint(topic.id, each.protocol, each.endpoint): each.id.encode() for each in living}
    expected = {keys.owned(each.owner, topic.region, topic.name, each.id) for each in living}
    broken: list[str] = []
    if dict(await tx.get_range(*keys.endpoints(topic.id))) != by_endpoint or expected != owned:
        broken.append(f"SNS-1 {topic.name}: endpoint and owner rows do not match {len(living)} subscriptions")
    for state in rows.STATES:
        count = read_counter(await tx.get(keys.count(topic.id, state)))
        there = sum(each.state == state for each in found)
        if count != there:
            broken.append(f"SNS-2 {topic.name}: the counter says {count} {state} subscriptions, there are {there}")
    if len(by_endpoint) != len(living):
        broken.append(f"SNS-3 {topic.name}: {len(living) - len(by_endpoint)} subscriptions share an endpoint")
    return broken
