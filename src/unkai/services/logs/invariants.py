"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.services.logs import chunks, keys, rows
from unkai.services.logs.groups import EXPIRE, timer_name
from unkai.services.logs.streams import NEVER
from unkai.store.api import read_counter
from unkai.store.tuples import pack, prefix_end

if TYPE_CHECKING:
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import ReadTx


async def check(tx: ReadTx) -> list[str]:
    """LOGS-1 to LOGS-5 for every group."""
    broken: list[str] = []
    begin = pack("logs")
    for _, value in await tx.get_range(begin, prefix_end(begin)):
        group = rows.decode_group(value)
        broken += await _check_events(tx, group)
        broken += await _check_streams(tx, group)
        has_timer = await tx.get(pack("timer", EXPIRE, timer_name(group.id))) is not None
        if has_timer != bool(group.retention_days):
            broken.append(f"LOGS-5 {group.name}: retention {group.retention_days} days, timer: {has_timer}")
    return broken


async def _check_events(tx: ReadTx, group: GroupRow) -> list[str]:
    broken: list[str] = []
    sizes: dict[tuple[bytes, bytes], int] = {}
    for key, value in await tx.get_range(*keys.all_of(group.id, "e")):
        place = keys.chunk_place(key)
        stream_id = key[: -keys.PLACE_SIZE_BYTES][-keys.ID_SIZE_BYTES :]
        chunk = rows.decode_chunk(value)
        sizes[place, stream_id] = chunks.size_bytes(chunk)
        times = chunk.times_ms
        if times != sorted(times) or times[0] != keys.place_ms(place) or times[-1] - times[0] >= keys.SPAN_MS:
            broken.append(f"LOGS-4 {group.name}: a chunk at {keys.place_ms(place)} has the times {times[:5]}")
    entries = {
        (keys.entry_place(key), keys.entry_stream(key)): rows.decode_entry(value).size_bytes
        for key, value in await tx.get_range(*keys.all_of(group.id, "t"))
    }
    if entries != sizes:
        broken.append(f"LOGS-1 {group.name}: {len(entries)} entries do not match {len(sizes)} chunks")
    stored = read_counter(await tx.get(keys.stored_bytes(group.id)))
    if stored != sum(entries.values()):
        broken.append(f"LOGS-2 {group.name}: the counter says {stored}, the entries {sum(entries.values())}")
    return broken


async def _check_streams(tx: ReadTx, group: GroupRow) -> list[str]:
    broken: list[str] = []
    for _, value in await tx.get_range(*keys.all_of(group.id, "s")):
        stream = rows.decode_stream(value)
        ms = await tx.get(keys.indexed_last(group.id, stream.id)) or NEVER
        if await tx.get(keys.last_event(group.id, ms, stream.id)) is None:
            broken.append(f"LOGS-3 {group.name}: stream {stream.name} is not among those by last event")
    return broken
