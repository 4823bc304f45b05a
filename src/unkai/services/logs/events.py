"""Operations on events: put, get from one stream, filter over a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.logs import arns, chunks, errors, keys, limits, reading, rows, subscriptions
from unkai.services.logs.arns import load_group
from unkai.services.logs.groups import retention_ms
from unkai.services.logs.patterns import compile_pattern
from unkai.services.logs.streams import UPLOAD_TOKEN, load_stream, note_last_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.reading import Found
    from unkai.services.logs.rows import GroupRow
    from unkai.store.api import ReadTx, Tx


async def put_log_events(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Blind writes under a stamp: puts never conflict, not even into one stream. Sequence tokens are ignored, as on AWS."""
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    stream = await load_stream(tx, group, inp["logStreamName"])
    batch = chunks.accept(inp["logEvents"], ctx.now_ms, retention_ms(group))

    if batch.events:
        stamp = tx.stamp().mark
        total_bytes = 0
        for number, chunk, size_bytes in chunks.cut(batch, ctx.now_ms):
            place = chunks.place(chunk.times_ms[0], stamp, number)
            tx.set(keys.chunk(group.id, stream.id, place), rows.encode(chunk))
            tx.set(keys.entry(group.id, place, stream.id), rows.encode(rows.EntryRow(stream.name, size_bytes)))
            total_bytes += size_bytes
        tx.add(keys.stored_bytes(group.id), total_bytes)
        await note_last_event(tx, group, stream, batch.events[-1]["timestamp"])
        for subscription in group.subscriptions:
            subscriptions.deliver_later(ctx, tx, group, subscription, stream.name, batch, stamp)

    out: dict[str, Any] = {"nextSequenceToken": UPLOAD_TOKEN}
    if batch.rejected:
        out["rejectedLogEventsInfo"] = batch.rejected
    return out


async def get_log_events(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The tokens name places: forward from there on, backward from before there. At an end a token names itself again."""
    group = await load_group(ctx, tx, *arns.account_and_name(ctx, inp))
    stream = await load_stream(tx, group, inp["logStreamName"])
    begin = _begin(ctx, group, inp)
    end = keys.place_at(inp["endTime"]) if "endTime" in inp else keys.LAST_PLACE
    forward, place = inp.get("startFromHead", False), None
    if "nextToken" in inp:
        forward, place = chunks.parse_token(inp["nextToken"])
        begin, end = (max(begin, place), end) if forward else (begin, min(end, place))

    source = reading.stream_source(tx, group.id, stream.id, stream.name)
    limit = inp.get("limit", limits.PAGE_EVENTS_MAX)
    found = await reading.read_page(source, begin, end, forward=forward, limit=limit)

    next_forward, next_backward = _ends(found, forward, begin if place is None else place)
    return {
        "events": [
            {"timestamp": event.ms, "message": event.message, "ingestionTime": event.ingested_ms}
            for event in found.events
        ],
        "nextForwardToken": chunks.token(True, next_forward),
        "nextBackwardToken": chunks.token(False, next_backward),
    }


def _begin(ctx: Ctx, group: GroupRow, inp: dict[str, Any]) -> bytes:
    """Where a read begins: at startTime, but never among what the group's retention has ended."""
    begin_ms = inp.get("startTime", 0)
    if group.retention_days:
        begin_ms = max(begin_ms, ctx.now_ms - retention_ms(group))
    return keys.place_at(begin_ms)


def _ends(found: Found, forward: bool, given: bytes) -> tuple[bytes, bytes]:
    """The places to go on from, forward and backward."""
    if not found.events:
        onward = found.resume or given
        return (onward, given) if forward else (given, onward)
    behind, before = keys.next_place(found.events[-1].place), found.events[0].place
    if found.resume is not None:
        return (found.resume, before) if forward else (behind, found.resume)
    return behind, before


async def filter_log_events(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """All streams of the group in order of time, or those named. A page may be empty and still have a token, as on AWS."""
    names, prefix = inp.get("logStreamNames"), inp.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        raise errors.invalid_parameter("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
    forward = inp.get("startFromHead", True)
    if not forward and inp.get("startTime", 0) < limits.LATEST_FIRST_SINCE_MS:
        raise errors.invalid_parameter("startFromHead can be false only with a startTime on or after Jan 1, 2024.")
    pattern = compile_pattern(inp.get("filterPattern", ""))
    group = await load_group(ctx, tx, *arns.account_and_name(ctx, inp))
    begin = _begin(ctx, group, inp)
    end = keys.place_at(inp["endTime"] + 1) if "endTime" in inp else keys.LAST_PLACE
    if "nextToken" in inp:
        forward, place = chunks.parse_token(inp["nextToken"])
        begin, end = (max(begin, place), end) if forward else (begin, min(end, place))

    source: Callable[..., Any]
    if names is not None and len(names) == 1:
        stream = await load_stream(tx, group, names[0])
        source = reading.stream_source(tx, group.id, stream.id, stream.name)
    else:
        for name in names or ():
            await load_stream(tx, group, name)
        source = reading.group_source(tx, group.id, _wanted(names, prefix))
    limit = inp.get("limit", limits.PAGE_EVENTS_MAX)
    keep = pattern.matches if inp.get("filterPattern") else None
    found = await reading.read_page(source, begin, end, forward=forward, limit=limit, keep=keep)

    shown = found.events if forward else reversed(found.events)
    out: dict[str, Any] = {
        "events": [
            {
                "logStreamName": event.stream,
                "timestamp": event.ms,
                "message": event.message,
                "ingestionTime": event.ingested_ms,
                "eventId": chunks.event_id(event.place),
            }
            for event in shown
        ],
        "searchedLogStreams": [],  # always empty on AWS since 2020
    }
    if found.resume is not None:
        out["nextToken"] = chunks.token(forward, found.resume)
    return out


def _wanted(names: list[str] | None, prefix: str | None) -> Callable[[str], bool] | None:
    if names is not None:
        return frozenset(names).__contains__
    if prefix is not None:
        return lambda name: name.startswith(prefix)
    return None
