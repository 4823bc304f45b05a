"""Every key that Logs stores. Nothing else in unkai packs them.

    ("logs", account, region, name)               -> GroupRow
    ("logsp", account, region, name)              -> PolicyRow
    ("logsg", group_id, "s", name)                -> StreamRow
    ("logsg", group_id, "m", name)                -> MetricFilterRow
    ("logsg", group_id, "e") + stream_id + place  -> Chunk: events of one stream, in order
    ("logsg", group_id, "t") + place + stream_id  -> EntryRow: the group's chunks in order of time
    ("logsg", group_id, "l") + ms (8) + stream_id -> the stream's name: streams by their last event
    ("logsg", group_id, "h") + stream_id          -> ms (8): where the stream stands in "l"
    ("logsg", group_id, "b")                      -> counter: bytes stored

`group_id` and `stream_id` are 8 bytes, new for every creation, so what is made again under an old name is empty. The *place* of
an event is its timestamp (8 bytes), the stamp of the transaction that put it (10) and its number in that call (2): the order in
which events are given. A chunk's place is its first event's.

*Why chunks.* A call's events are stored as few rows: one for all events within a second, up to 64 KiB. Measured on the LMDB
engine in one process (call, handler and commit; CPU): five events 0.07 ms at 64 clients and 0.20 ms alone, against 0.09 and
0.30 ms with a row and an entry for each; a thousand events 0.9 ms against 6.7 ms; less than half the disk. A function writes
with every invocation, so every invocation pays the difference. Because a chunk spans less than SPAN_MS, who reads from a moment
on looks one span further back and finds every event; because places are unique and puts write under a stamp, puts never conflict.

*Why entries.* A group can have any number of streams. Reading it in order of time follows one index instead of merging one
cursor per stream, and retention finds the oldest without knowing the streams. The size in an entry spares removal the reading
of chunks.

Names have up to 512 characters of up to four bytes, keys 511 bytes. A long name is cut and its hash added; names that agree in
their first 190 bytes are then ordered by hash.

Invariants (see invariants.py):
LOGS-1  Chunks and entries of a group correspond one to one, and an entry's size is that of its chunk's messages.
LOGS-2  The counter equals the sum of the entries' sizes.
LOGS-3  Every stream has a row in "l" where "h" says (at 0 where "h" is absent).
LOGS-4  A chunk's events are in order of time, span less than SPAN_MS, and begin at its place.
LOGS-5  A group with a retention has exactly one timer; others have none.
"""

from __future__ import annotations

import hashlib

from unkai.store.api import STAMP_SIZE_BYTES
from unkai.store.tuples import pack, prefix_end

ID_SIZE_BYTES = 8
PLACE_SIZE_BYTES = 8 + STAMP_SIZE_BYTES + 2
SPAN_MS = 1000
FIRST_PLACE = bytes(PLACE_SIZE_BYTES)
LAST_PLACE = b"\xff" * PLACE_SIZE_BYTES

NAME_BYTES_MAX = 190


def _name(name: str) -> bytes:
    raw = name.encode()
    if len(raw) <= NAME_BYTES_MAX:
        return raw
    return raw[:NAME_BYTES_MAX] + b"\xff" + hashlib.sha256(raw).digest()[:16]


def _named(prefix: bytes, name_prefix: str) -> tuple[bytes, bytes]:
    """The range of names under `prefix` that may begin with `name_prefix`; for long ones the row decides."""
    begin = prefix + pack(name_prefix.encode()[:NAME_BYTES_MAX])[:-1]
    return begin, prefix_end(begin)


def group(account: str, region: str, name: str) -> bytes:
    return pack("logs", account, region, _name(name))


def groups(account: str, region: str, name_prefix: str = "") -> tuple[bytes, bytes]:
    return _named(pack("logs", account, region), name_prefix)


def policy(account: str, region: str, name: str) -> bytes:
    return pack("logsp", account, region, _name(name))


def policies(account: str, region: str) -> tuple[bytes, bytes]:
    return _named(pack("logsp", account, region), "")


def contents(group_id: bytes) -> tuple[bytes, bytes]:
    """The range of all that a group holds."""
    begin = pack("logsg", group_id)
    return begin, prefix_end(begin)


def all_of(group_id: bytes, kind: str) -> tuple[bytes, bytes]:
    begin = pack("logsg", group_id, kind)
    return begin, prefix_end(begin)


def stream(group_id: bytes, name: str) -> bytes:
    return pack("logsg", group_id, "s", _name(name))


def streams(group_id: bytes, name_prefix: str = "") -> tuple[bytes, bytes]:
    return _named(pack("logsg", group_id, "s"), name_prefix)


def metric_filter(group_id: bytes, name: str) -> bytes:
    return pack("logsg", group_id, "m", _name(name))


def metric_filters(group_id: bytes, name_prefix: str = "") -> tuple[bytes, bytes]:
    return _named(pack("logsg", group_id, "m"), name_prefix)


def chunk(group_id: bytes, stream_id: bytes, place: bytes) -> bytes:
    return pack("logsg", group_id, "e") + stream_id + place


def chunks(
    group_id: bytes, stream_id: bytes, begin: bytes = FIRST_PLACE, end: bytes = LAST_PLACE
) -> tuple[bytes, bytes]:
    prefix = pack("logsg", group_id, "e") + stream_id
    return prefix + begin, prefix + end


def chunk_place(key: bytes) -> bytes:
    return key[-PLACE_SIZE_BYTES:]


def entry(group_id: bytes, place: bytes, stream_id: bytes) -> bytes:
    return pack("logsg", group_id, "t") + place + stream_id


def entries(group_id: bytes, begin: bytes = FIRST_PLACE, end: bytes = LAST_PLACE) -> tuple[bytes, bytes]:
    prefix = pack("logsg", group_id, "t")
    return prefix + begin, prefix + end


def entry_place(key: bytes) -> bytes:
    return key[-PLACE_SIZE_BYTES - ID_SIZE_BYTES : -ID_SIZE_BYTES]


def entry_stream(key: bytes) -> bytes:
    return key[-ID_SIZE_BYTES:]


def last_event(group_id: bytes, ms: bytes, stream_id: bytes) -> bytes:
    return pack("logsg", group_id, "l") + ms + stream_id


def last_event_parts(key: bytes) -> tuple[bytes, bytes]:
    """The time (8 bytes) and the stream id of a key in "l"."""
    return key[-ID_SIZE_BYTES - 8 : -ID_SIZE_BYTES], key[-ID_SIZE_BYTES:]


def indexed_last(group_id: bytes, stream_id: bytes) -> bytes:
    return pack("logsg", group_id, "h") + stream_id


def stored_bytes(group_id: bytes) -> bytes:
    return pack("logsg", group_id, "b")


def place_at(ms: int) -> bytes:
    """The place before every event of this millisecond."""
    return max(0, min(ms, (1 << 63) - 1)).to_bytes(8, "big") + bytes(PLACE_SIZE_BYTES - 8)


def place_ms(place: bytes) -> int:
    return int.from_bytes(place[:8], "big")


def next_place(place: bytes) -> bytes:
    """The first place after `place`."""
    return (int.from_bytes(place, "big") + 1).to_bytes(PLACE_SIZE_BYTES, "big")
