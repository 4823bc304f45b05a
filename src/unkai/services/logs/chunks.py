"""Batches of events to chunks and back: what is accepted, how it is cut, and where each event's place is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from unkai.services.logs import errors, limits
from unkai.services.logs.keys import SPAN_MS
from unkai.services.logs.rows import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK_SIZE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """The accepted events of a call, and what it is told of the others. `start` is the first one's index in the call."""

    events: Sequence[dict[str, Any]]
    start: int
    rejected: dict[str, int]


def accept(events: Sequence[dict[str, Any]], now_ms: int, retention_ms: int) -> Batch:
    """Refuse a malformed batch; leave out events that are too old, expired or too new.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
    """
    size_bytes = sum(len(event["message"].encode()) for event in events)
    size_bytes += limits.EVENT_OVERHEAD_BYTES * len(events)
    if size_bytes > limits.BATCH_SIZE_BYTES_MAX:
        raise errors.invalid_parameter(
            f"Upload too large: {size_bytes} bytes exceeds limit of {limits.BATCH_SIZE_BYTES_MAX}"
        )
    times = [event["timestamp"] for event in events]
    if any(earlier > later for earlier, later in pairwise(times)):
        raise errors.invalid_parameter("Log events in a single PutLogEvents request must be in chronological order.")

    rejected: dict[str, int] = {}
    too_old = sum(ms < now_ms - limits.TOO_OLD_MS for ms in times)
    expired = sum(ms < now_ms - retention_ms for ms in times) if retention_ms else 0
    too_new = sum(ms > now_ms + limits.TOO_NEW_MS for ms in times)
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(times) - too_new
    start = max(too_old, expired)
    accepted = events[start : len(events) - too_new]
    if accepted and accepted[-1]["timestamp"] - accepted[0]["timestamp"] > limits.BATCH_SPAN_MS_MAX:
        raise errors.invalid_parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
    return Batch(accepted, start, rejected)


def cut(batch: Batch, now_ms: int) -> Iterator[tuple[int, Chunk, int]]:
    """The batch as chunks: the number of each one's first event, the chunk, and the size of its messages."""
    times: list[int] = []
    messages: list[str] = []
    size_bytes = 0
    number = batch.start
    for event in batch.events:
        ms, message = event["timestamp"], event["message"]
        length = len(message.encode())
        if times and (ms - times[0] >= SPAN_MS or size_bytes + length > CHUNK_SIZE_BYTES_MAX):
            yield number, Chunk(now_ms, times, messages), size_bytes
            number += len(times)
            times, messages, size_bytes = [], [], 0
        times.append(ms)
        messages.append(message)
        size_bytes += length
    if times:
        yield number, Chunk(now_ms, times, messages), size_bytes


def place(ms: int, stamp: bytes, number: int) -> bytes:
    return ms.to_bytes(8, "big") + stamp + number.to_bytes(2, "big")


def places(first: bytes, chunk: Chunk) -> list[bytes]:
    """The places of a chunk's events."""
    stamp = first[8:-2]
    number = int.from_bytes(first[-2:], "big")
    return [place(ms, stamp, number + at) for at, ms in enumerate(chunk.times_ms)]


def size_bytes(chunk: Chunk) -> int:
    return sum(len(message.encode()) for message in chunk.messages)


ID_DIGITS = 56


def event_id(place: bytes) -> str:
    """What AWS shows: 56 decimal digits whose order is the events' order."""
    return f"{int.from_bytes(place, 'big'):0{ID_DIGITS}d}"


def parse_token(token: str) -> tuple[bool, bytes]:
    """A token's direction (whether it goes forward) and place. Raises InvalidParameterException."""
    direction, slash, digits = token.removesuffix("/s").partition("/")
    if (
        direction not in ("f", "b")
        or not slash
        or len(digits) != ID_DIGITS
        or not (digits.isascii() and digits.isdigit())
    ):
        raise errors.invalid_token()
    number = int(digits)
    if number >= 1 << 160:
        raise errors.invalid_token()
    return direction == "f", number.to_bytes(20, "big")


def token(forward: bool, place: bytes) -> str:
    return f"{'f' if forward else 'b'}/{event_id(place)}/s"
