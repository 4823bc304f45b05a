"""Operations on log streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.layers.tasks import add_task
from unkai.services.logs import arns, errors, keys, limits, reading, rows
from unkai.services.logs.arns import load_group
from unkai.services.logs.groups import CLEAN_UP, refuse_if_protected

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import GroupRow, StreamRow
    from unkai.store.api import ReadTx, Tx

NEVER = bytes(8)
INDEX_STEP_MS = 1000
"""How much later a stream's last event must be before its place among streams by last event is moved."""


async def load_stream(tx: ReadTx, group: GroupRow, name: str) -> StreamRow:
    """Raises ResourceNotFoundException."""
    value = await tx.get(keys.stream(group.id, name))
    if value is None:
        raise errors.not_found("log stream")
    return rows.decode_stream(value)


async def create_log_stream(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["logStreamName"]
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    key = keys.stream(group.id, name)
    if await tx.get(key) is not None:
        raise errors.already_exists("log stream")

    stream = rows.StreamRow(ctx.ids.token(keys.ID_SIZE_BYTES), name, ctx.now_ms)
    tx.set(key, rows.encode(stream))
    tx.set(keys.last_event(group.id, NEVER, stream.id), name.encode())

    return {}


async def delete_log_stream(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Gone at once; a task removes its events."""
    group = await load_group(ctx, tx, ctx.account, inp["logGroupName"])
    refuse_if_protected(group)
    stream = await load_stream(tx, group, inp["logStreamName"])
    indexed = await tx.get(keys.indexed_last(group.id, stream.id))

    tx.clear(keys.stream(group.id, stream.name))
    tx.clear(keys.last_event(group.id, indexed or NEVER, stream.id))
    tx.clear(keys.indexed_last(group.id, stream.id))
    add_task(ctx, tx, CLEAN_UP, group.id + stream.id)

    return {}


async def note_last_event(tx: Tx, group: GroupRow, stream: StreamRow, last_ms: int) -> None:
    """Keep the stream's place among streams by last event, to within a second, without ever conflicting.

    Two puts at once may both move it from the same place. The later time wins in "h"; the other row is stale, and readers
    leave out rows that "h" does not confirm.
    """
    key = keys.indexed_last(group.id, stream.id)
    indexed = await tx.peek(key)
    if indexed is not None and last_ms < int.from_bytes(indexed, "big") + INDEX_STEP_MS:
        return
    moved = last_ms.to_bytes(8, "big")
    tx.clear(keys.last_event(group.id, indexed or NEVER, stream.id))
    tx.set(keys.last_event(group.id, moved, stream.id), stream.name.encode())
    tx.max(key, moved)


async def describe_log_streams(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    by_time = inp.get("orderBy") == "LastEventTime"
    prefix = inp.get("logStreamNamePrefix", "")
    if by_time and prefix:
        raise errors.invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
    group = await load_group(ctx, tx, *arns.account_and_name(ctx, inp))
    limit, token, descending = inp.get("limit", limits.DESCRIBE_MAX), inp.get("nextToken"), inp.get("descending", False)

    if by_time:
        found, token = await _by_last_event(tx, group, token, limit, descending)
    else:
        found, token = await _by_name(tx, group, prefix, token, limit, descending)

    out: dict[str, Any] = {"logStreams": [await _described(tx, group, stream) for stream in found]}
    if token:
        out["nextToken"] = token
    return out


async def _by_name(
    tx: ReadTx, group: GroupRow, prefix: str, token: str | None, limit: int, descending: bool
) -> tuple[list[StreamRow], str]:
    begin, end = keys.streams(group.id, prefix)
    if token:
        after = keys.stream(group.id, token)
        begin, end = (begin, min(end, after)) if descending else (max(begin, after + b"\0"), end)
    pairs = await tx.get_range(begin, end, limit=limits.LOOK_MAX, reverse=descending)
    found: list[StreamRow] = []
    for at, (_, value) in enumerate(pairs):
        stream = rows.decode_stream(value)
        if stream.name.startswith(prefix):
            found.append(stream)
        if len(found) == limit and at + 1 < len(pairs):
            return found, stream.name
    return found, rows.decode_stream(pairs[-1][1]).name if len(pairs) == limits.LOOK_MAX else ""


async def _by_last_event(
    tx: ReadTx, group: GroupRow, token: str | None, limit: int, descending: bool
) -> tuple[list[StreamRow], str]:
    begin, end = keys.all_of(group.id, "l")
    if token:
        try:
            after = keys.last_event(group.id, *_token_parts(token))
        except ValueError:
            raise errors.invalid_token() from None
        begin, end = (begin, after) if descending else (after + b"\0", end)
    pairs = await tx.get_range(begin, end, limit=limits.LOOK_MAX, reverse=descending)
    found: list[StreamRow] = []
    for at, (key, value) in enumerate(pairs):
        ms, stream_id = keys.last_event_parts(key)
        row = await tx.get(keys.stream(group.id, value.decode()))
        indexed = await tx.get(keys.indexed_last(group.id, stream_id)) or NEVER
        if row is not None and ms == indexed and rows.decode_stream(row).id == stream_id:
            found.append(rows.decode_stream(row))
        if len(found) == limit and at + 1 < len(pairs):
            return found, (ms + stream_id).hex()
    return found, b"".join(keys.last_event_parts(pairs[-1][0])).hex() if len(pairs) == limits.LOOK_MAX else ""


def _token_parts(token: str) -> tuple[bytes, bytes]:
    raw = bytes.fromhex(token)
    if len(raw) != 8 + keys.ID_SIZE_BYTES:
        raise ValueError(token)
    return raw[:8], raw[8:]


async def _described(tx: ReadTx, group: GroupRow, stream: StreamRow) -> dict[str, Any]:
    """AWS shows 0 for a stream's storedBytes since 2019. The times are there once the stream has events."""
    out: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": f"{arns.bare_arn(group.account, group.region, group.name)}:log-stream:{stream.name}",
        "storedBytes": 0,
    }
    source = reading.stream_source(tx, group.id, stream.id, stream.name)
    last = await reading.read_page(source, keys.FIRST_PLACE, keys.LAST_PLACE, forward=False, limit=1)
    if last.events:
        first = await tx.get_range(*keys.chunks(group.id, stream.id), limit=1)
        out["firstEventTimestamp"] = keys.place_ms(keys.chunk_place(first[0][0]))
        out["lastEventTimestamp"] = last.events[0].ms
        out["lastIngestionTime"] = last.events[0].ingested_ms
        out["uploadSequenceToken"] = UPLOAD_TOKEN
    return out


UPLOAD_TOKEN = "49" + "0" * 54
"""AWS ignores sequence tokens since 2023 but still gives them; some clients insist on a text of 56 digits."""
