"""Events in order of time, from one stream or a whole group, a page at a time, in bounded memory.

Chunks are read in order of their first event. A chunk may hold events up to SPAN_MS later than that, so an event is *certain*,
and may be given, once no chunk that is still unread can begin before it; the certain ones are given in order and the rest is
forgotten, to be read again by the next page. Of what is held, only the part that the page can use is kept.

A page ends when it has enough events, or when it has looked at BUDGET_BYTES and has something to show for it: events, or, for a
search, a place up to which everything has been searched. So every request gets further, and none reads much more than its
budget unless a single second holds more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unkai.services.logs import chunks, keys, limits, rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from unkai.services.logs.rows import Chunk
    from unkai.store.api import ReadTx

ROWS_PAGE = 32
BUDGET_BYTES = 2 << 20
"""A search of so much takes 20 to 60 ms, in which its worker does nothing else."""
ROW_COST_BYTES = 200
"""What a row counts against the budget beside its bytes."""


class Event(NamedTuple):
    place: bytes
    stream: str
    ms: int
    ingested_ms: int
    message: str


class Piece(NamedTuple):
    place: bytes
    stream: str
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Rows:
    """Chunks in the order asked for; `edge` is the place of the last row looked at, None where there are no more."""

    pieces: list[Piece]
    edge: bytes | None
    cost_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """`events` in order of time. `resume` is where the next page goes on in this direction; None at the end."""

    events: list[Event]
    resume: bytes | None


def stream_source(tx: ReadTx, group_id: bytes, stream_id: bytes, name: str) -> Callable[..., Awaitable[Rows]]:
    async def read(begin: bytes, end: bytes, reverse: bool) -> Rows:
        low, high = keys.chunks(group_id, stream_id, begin, end)
        pairs = await tx.get_range(low, high, limit=ROWS_PAGE, reverse=reverse)
        pieces = [Piece(keys.chunk_place(key), name, rows.decode_chunk(value)) for key, value in pairs]
        edge = pieces[-1].place if len(pairs) == ROWS_PAGE else None
        return Rows(pieces, edge, sum(len(value) + ROW_COST_BYTES for _, value in pairs))

    return read


def group_source(
    tx: ReadTx, group_id: bytes, wanted: Callable[[str], bool] | None = None
) -> Callable[..., Awaitable[Rows]]:
    """All streams of a group, or those whose name is wanted. Streams that are deleted but not yet removed are left out."""
    alive: dict[bytes, bool] = {}

    async def is_shown(stream_id: bytes, name: str) -> bool:
        if wanted is not None and not wanted(name):
            return False
        if stream_id not in alive:
            value = await tx.get(keys.stream(group_id, name))
            alive[stream_id] = value is not None and rows.decode_stream(value).id == stream_id
        return alive[stream_id]

    async def read(begin: bytes, end: bytes, reverse: bool) -> Rows:
        low, high = keys.entries(group_id, begin, end)
        pairs = await tx.get_range(low, high, limit=ROWS_PAGE, reverse=reverse)
        pieces: list[Piece] = []
        cost = ROW_COST_BYTES * len(pairs)
        for key, value in pairs:
            row = rows.decode_entry(value)
            place, stream_id = keys.entry_place(key), keys.entry_stream(key)
            if await is_shown(stream_id, row.stream):
                stored = await tx.get(keys.chunk(group_id, stream_id, place))
                assert stored is not None, "LOGS-1: an entry without a chunk"
                cost += len(stored)
                pieces.append(Piece(place, row.stream, rows.decode_chunk(stored)))
        edge = keys.entry_place(pairs[-1][0]) if len(pairs) == ROWS_PAGE else None
        return Rows(pieces, edge, cost)

    return read


async def read_page(
    source: Callable[..., Awaitable[Rows]],
    begin: bytes,
    end: bytes,
    *,
    forward: bool,
    limit: int,
    keep: Callable[[str], bool] | None = None,
) -> Found:
    """The first (or, backward, the last) events with `begin <= place < end` that `keep` wants; at most a page of them."""
    low = keys.place_at(keys.place_ms(begin) - keys.SPAN_MS + 1)
    high = end
    held = _Held(forward, limit)
    spent_bytes = 0
    while True:
        found = await source(low, high, not forward)
        for piece in found.pieces:
            for place, ms, message in zip(
                chunks.places(piece.place, piece.chunk), piece.chunk.times_ms, piece.chunk.messages, strict=True
            ):
                if begin <= place < end and (keep is None or keep(message)):
                    held.add(Event(place, piece.stream, ms, piece.chunk.ingested_ms, message))
        spent_bytes += found.cost_bytes
        if found.edge is None:
            return held.page(None)
        if forward:
            low = frontier = keys.next_place(found.edge)
            progress = frontier > begin
        else:
            high = found.edge
            # A chunk that begins before the edge can still hold events up to a span after it.
            frontier = min(end, keys.place_at(keys.place_ms(found.edge) + keys.SPAN_MS))
            progress = frontier < end
        if held.is_full_at(frontier):
            return held.page(frontier)
        if spent_bytes >= BUDGET_BYTES and (held.has_certain(frontier) or (keep is not None and progress)):
            return held.page(frontier)


class _Held:
    """What one page has seen so far, cut down to what it can give."""

    def __init__(self, forward: bool, limit: int) -> None:
        self._forward = forward
        self._limit = limit
        self._events: list[Event] = []
        self._size_bytes = 0
        self._dropped: bytes | None = None
        """The nearest event that was let go: what lies behind it is for the next page."""

    def add(self, event: Event) -> None:
        self._events.append(event)
        self._size_bytes += _size(event)
        if len(self._events) > 2 * self._limit + 1000 or self._size_bytes > 4 * limits.PAGE_SIZE_BYTES_MAX:
            self._cut()

    def _cut(self) -> None:
        self._events.sort(key=_by_place, reverse=not self._forward)
        count = _fitting(self._events, self._limit)
        for event in self._events[count : count + 1]:
            if self._dropped is None or _is_before(event.place, self._dropped, self._forward):
                self._dropped = event.place
        del self._events[count:]
        self._size_bytes = sum(map(_size, self._events))

    def _certain(self, frontier: bytes | None) -> list[Event]:
        """In this direction's order. Backward, an event at the frontier itself is certain, and so is one that was let go."""
        bounds = [place for place in (frontier,) if place is not None]
        if self._forward:
            bounds += [self._dropped] if self._dropped is not None else []
            certain = [event for event in self._events if all(event.place < bound for bound in bounds)]
        else:
            bounds += [keys.next_place(self._dropped)] if self._dropped is not None else []
            certain = [event for event in self._events if all(event.place >= bound for bound in bounds)]
        certain.sort(key=_by_place, reverse=not self._forward)
        return certain

    def is_full_at(self, frontier: bytes) -> bool:
        if len(self._events) < self._limit and self._size_bytes < limits.PAGE_SIZE_BYTES_MAX:
            return False
        certain = self._certain(frontier)
        return len(certain) > _fitting(certain, self._limit) or len(certain) >= self._limit

    def has_certain(self, frontier: bytes) -> bool:
        return bool(self._certain(frontier))

    def page(self, frontier: bytes | None) -> Found:
        certain = self._certain(frontier)
        count = _fitting(certain, self._limit)
        given = certain[:count]
        resume = frontier
        if self._dropped is not None and (resume is None or _is_before(self._dropped, resume, self._forward)):
            resume = self._dropped if self._forward else keys.next_place(self._dropped)
        if count < len(certain) or (count == self._limit and resume is not None):
            # Right behind the last one given: what is certain beyond it is for the next page.
            resume = keys.next_place(given[-1].place) if self._forward else given[-1].place
        return Found(given if self._forward else given[::-1], resume)


def _by_place(event: Event) -> bytes:
    return event.place


def _is_before(place: bytes, other: bytes, forward: bool) -> bool:
    return place < other if forward else place > other


def _size(event: Event) -> int:
    return len(event.message) + limits.EVENT_OVERHEAD_BYTES


def _fitting(events: Sequence[Event], limit: int) -> int:
    """How many of the first events fit in a page: at least one, so that every page gets further."""
    size_bytes = 0
    for count, event in enumerate(events[:limit]):
        size_bytes += _size(event)
        if size_bytes > limits.PAGE_SIZE_BYTES_MAX and count:
            return count
    return min(len(events), limit)
