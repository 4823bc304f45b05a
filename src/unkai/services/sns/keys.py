"""Every key that SNS stores. Nothing else in unkai packs them.

    ("sns", account, region, name)                    -> TopicRow
    ("snst", topic_id, "s", subscription_id)          -> SubscriptionRow
    ("snst", topic_id, "e", hash of endpoint)         -> subscription_id: who has this protocol and endpoint
    ("snst", topic_id, "n", state)                    -> counter: subscriptions that are confirmed, pending or deleted
    ("snst", topic_id, "d") + bucket (8) + hash (16)  -> DedupRow: a message that a FIFO topic has taken
    ("snst", topic_id, "w")                           -> b"": a task will remove the topic's old DedupRows
    ("snso", owner, region, name, subscription_id)    -> topic_id (8) + topic ARN: an account's own subscriptions
    ("snsk",)                                         -> SigningKeyRow: the node's key and certificate

`topic_id` is new for every creation, so a topic made again under an old name has none of the old subscriptions. A bucket is
five minutes of node time: what a topic took longer ago is removed by ranges, without being read.

Invariants (see invariants.py):
SNS-1  Every confirmed or pending subscription has its endpoint row and its owner row; no such row lacks its subscription.
SNS-2  The three counters equal the numbers of subscriptions by state.
SNS-3  No two confirmed or pending subscriptions of a topic have the same protocol and endpoint.
"""

from __future__ import annotations

import hashlib

from unkai.store.tuples import pack, prefix_end, unpack

BUCKET_MS = 5 * 60 * 1000
HASH_SIZE_BYTES = 16
ID_SIZE_BYTES = 8

SIGNING_KEY = pack("snsk")


def topic(account: str, region: str, name: str) -> bytes:
    return pack("sns", account, region, name)


def topics(account: str, region: str) -> tuple[bytes, bytes]:
    begin = pack("sns", account, region)
    return begin, prefix_end(begin)


def contents(topic_id: bytes) -> tuple[bytes, bytes]:
    """The range of all that a topic holds."""
    begin = pack("snst", topic_id)
    return begin, prefix_end(begin)


def subscription(topic_id: bytes, subscription_id: str) -> bytes:
    return pack("snst", topic_id, "s", subscription_id)


def subscriptions(topic_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("snst", topic_id, "s")
    return begin, prefix_end(begin)


def endpoint(topic_id: bytes, protocol: str, address: str) -> bytes:
    return pack("snst", topic_id, "e", _hash(f"{protocol} {address}"))


def endpoints(topic_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("snst", topic_id, "e")
    return begin, prefix_end(begin)


def count(topic_id: bytes, state: str) -> bytes:
    return pack("snst", topic_id, "n", state)


def dedup(topic_id: bytes, bucket: int, identity: str) -> bytes:
    return pack("snst", topic_id, "d") + bucket.to_bytes(8, "big") + _hash(identity)


def dedups_before(topic_id: bytes, bucket: int) -> tuple[bytes, bytes]:
    begin = pack("snst", topic_id, "d")
    return begin, begin + bucket.to_bytes(8, "big")


def dedups(topic_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("snst", topic_id, "d")
    return begin, prefix_end(begin)


def sweep(topic_id: bytes) -> bytes:
    return pack("snst", topic_id, "w")


def owned(owner: str, region: str, name: str, subscription_id: str) -> bytes:
    return pack("snso", owner, region, name, subscription_id)


def owned_range(owner: str, region: str) -> tuple[bytes, bytes]:
    begin = pack("snso", owner, region)
    return begin, prefix_end(begin)


def owned_parts(key: bytes) -> tuple[str, str]:
    """The topic's name and the subscription's id."""
    _, _, _, name, subscription_id = unpack(key)
    assert isinstance(name, str)
    assert isinstance(subscription_id, str)
    return name, subscription_id


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:HASH_SIZE_BYTES]
