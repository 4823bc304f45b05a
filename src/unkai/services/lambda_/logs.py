"""Function output on its way to CloudWatch Logs, under the right of the function's own role: without it nothing is logged.

The sink takes lines at once and writes them in batches beside the invocations, so logging never slows one down. What the process
holds when it dies is lost, at most the last PAUSE_MS of output.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.services.lambda_ import pollers
from unkai.services.lambda_.names import NotAName, parse
from unkai.services.lambda_.sessions import offset_ms, role_session
from unkai.store.api import CommitUnknown, StoreUnavailable

if TYPE_CHECKING:
    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.functions import LogBatch, LogLine
    from unkai.kernel.ports import Node

log = logging.getLogger(__name__)

PAUSE_S = 0.2
"""Lines that come within it share a write. A line is readable well within a second."""
HELD_SIZE_BYTES_MAX = 16 * 1024 * 1024
EVENTS_MAX = 10_000
EVENTS_SIZE_BYTES_MAX = 1_048_576
EVENT_OVERHEAD_BYTES = 26
EVENT_SIZE_BYTES_MAX = 262_118
STREAMS_MAX = 10_000

_Place = tuple[str, str, str, str, str]
"""Function ARN, account, region, group, stream."""


class FunctionLogs:
    """kernel.ports.LogSink. `run` writes what the sink took, until cancelled."""

    def __init__(self, ctx: Ctx, node: Node) -> None:
        self._ctx = ctx
        self._node = node
        self._held: dict[_Place, list[LogLine]] = {}
        self._held_bytes = 0
        self._there = asyncio.Event()
        self._made: set[_Place] = set()

    async def __call__(self, batch: LogBatch) -> None:
        """Never waits for the store. Where writing falls behind, new lines are dropped, and that is said once."""
        size = sum(len(line.text) for line in batch.lines)
        if self._held_bytes + size > HELD_SIZE_BYTES_MAX:
            log.warning("log lines were dropped", extra={"function": batch.function_arn, "bytes": size})
            return
        self._held_bytes += size
        place = (batch.function_arn, batch.account, batch.region, batch.log_group, batch.log_stream)
        self._held.setdefault(place, []).extend(batch.lines)
        self._there.set()

    async def run(self) -> None:
        while True:
            await self._there.wait()
            await self.write()
            await asyncio.sleep(PAUSE_S)

    async def write(self) -> None:
        """Write all that is held now."""
        self._there.clear()
        held, self._held, self._held_bytes = self._held, {}, 0
        await asyncio.gather(*(self._write(place, lines) for place, lines in held.items()))

    async def _write(self, place: _Place, lines: list[LogLine]) -> None:
        try:
            caller = await self._caller(place)
            if caller is None:
                return
            if place not in self._made:
                await self._make(place, caller)
            for events in _events(lines, offset_ms(self._node)):
                await self._put(place, caller, events)
        except (AwsError, StoreUnavailable, CommitUnknown) as error:
            log.info("lines were not logged", extra={"function": place[0], "why": str(error)})
        except Exception:  # one function's lines must not end everybody's
            log.exception("lines were not logged", extra={"function": place[0]})

    async def _caller(self, place: _Place) -> Caller | None:
        """The function's role; None where the function is gone."""
        try:
            ref = parse(place[0], place[1], place[2])
            ctx = replace(self._ctx, account=ref.account, region=ref.region, ids=self._ctx.ids.child())
            role = await self._node.run(ctx, pollers.find_role, [ref.account, ref.region, ref.name, ref.qualifier])
        except (NotAName, AwsError):
            return None
        session = await role_session(self._node, role, ref.account, ref.region, ref.name, ref.arn)
        return session.caller

    async def _call(self, place: _Place, caller: Caller, operation: str, inp: dict[str, Any]) -> None:
        await self._node.call("logs", operation, {"logGroupName": place[3], **inp}, as_=caller, region=place[2])

    async def _make(self, place: _Place, caller: Caller) -> None:
        """The stream, and the group where the role may make it. Either may be there already."""
        try:
            await self._call(place, caller, "CreateLogStream", {"logStreamName": place[4]})
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                await self._make_group(place, caller)
                await self._call(place, caller, "CreateLogStream", {"logStreamName": place[4]})
            elif error.code != "ResourceAlreadyExistsException":
                raise
        if len(self._made) >= STREAMS_MAX:
            self._made.clear()
        self._made.add(place)

    async def _make_group(self, place: _Place, caller: Caller) -> None:
        try:
            await self._call(place, caller, "CreateLogGroup", {})
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _put(self, place: _Place, caller: Caller, events: list[dict[str, Any]]) -> None:
        asked = {"logStreamName": place[4], "logEvents": events}
        try:
            await self._call(place, caller, "PutLogEvents", asked)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            # Somebody deleted the group or the stream since.
            self._made.discard(place)
            await self._make(place, caller)
            await self._call(place, caller, "PutLogEvents", asked)


async def work(ctx: Ctx, node: Node) -> None:
    """Take what the runner hands over, and write it, until cancelled."""
    logs = FunctionLogs(ctx, node)
    async with asyncio.TaskGroup() as group:
        group.create_task(node.runner.follow_logs(logs))
        group.create_task(logs.run())


def _events(lines: list[LogLine], ahead_ms: int = 0) -> list[list[dict[str, Any]]]:
    """Calls of PutLogEvents that keep within its limits, in order of time, in node time: Logs refuses what is old by it.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
    """
    calls: list[list[dict[str, Any]]] = [[]]
    size = 0
    for line in sorted(lines, key=lambda line: line.time_ms):
        text = line.text.rstrip("\n")
        data = text.encode()
        if not data:
            continue
        if len(data) > EVENT_SIZE_BYTES_MAX:
            data = data[:EVENT_SIZE_BYTES_MAX]
            text = data.decode(errors="ignore")
        if calls[-1] and (
            len(calls[-1]) >= EVENTS_MAX or size + len(data) + EVENT_OVERHEAD_BYTES > EVENTS_SIZE_BYTES_MAX
        ):
            calls.append([])
            size = 0
        calls[-1].append({"timestamp": line.time_ms + ahead_ms, "message": text})
        size += len(data) + EVENT_OVERHEAD_BYTES
    return [call for call in calls if call]
