"""Stored values of Logs: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec


class SubscriptionRow(msgspec.Struct, frozen=True, array_like=True):
    """A subscription filter; it lives in its group's row, since every put needs it."""

    name: str
    pattern: str
    destination_arn: str
    created_ms: int
    distribution: str = "ByLogStream"
    role_arn: str = ""
    apply_on_transformed: bool = False


class GroupRow(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    log_class: str = "STANDARD"
    retention_days: int = 0
    """0: events never expire."""
    kms_key_id: str = ""
    tags: dict[str, str] = {}
    is_protected: bool = False
    subscriptions: tuple[SubscriptionRow, ...] = ()


class StreamRow(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    name: str
    created_ms: int


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Events of one call: `times_ms[i]` and `messages[i]` are the event with the chunk's number plus `i`."""

    ingested_ms: int
    times_ms: list[int]
    messages: list[str]


class EntryRow(msgspec.Struct, frozen=True, array_like=True):
    """`size_bytes` is the UTF-8 size of the chunk's messages."""

    stream: str
    size_bytes: int


class MetricFilterRow(msgspec.Struct, frozen=True, array_like=True):
    """`settings` are the members of PutMetricFilter that are given back as they came."""

    name: str
    pattern: str
    created_ms: int
    settings: dict[str, Any]


class PolicyRow(msgspec.Struct, frozen=True, array_like=True):
    """A resource policy of the account, or of `resource_arn`."""

    name: str
    document: str
    updated_ms: int
    resource_arn: str = ""
    revision: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_group = msgspec.msgpack.Decoder(GroupRow).decode
decode_stream = msgspec.msgpack.Decoder(StreamRow).decode
decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
decode_entry = msgspec.msgpack.Decoder(EntryRow).decode
decode_metric_filter = msgspec.msgpack.Decoder(MetricFilterRow).decode
decode_policy = msgspec.msgpack.Decoder(PolicyRow).decode
