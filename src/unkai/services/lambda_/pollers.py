"""The worker behind event source mappings: it receives from queues as the function's role, invokes, and deletes what succeeded.

It keeps nothing of its own: which mappings there are is in the store, and which messages are being worked on is the queue's own
visibility. A crash anywhere means that messages come again after their visibility timeout: at least once, as on AWS.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html

One loop per mapping receives; a batch takes one of the mapping's places and is worked on beside the others. So the number of
invocations grows with the backlog up to the mapping's maximum concurrency, and one long poll is all that an idle queue costs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.caller import service_caller
from unkai.kernel.errors import AwsError
from unkai.kernel.functions import Invocation
from unkai.kernel.ids import new_request_id
from unkai.layers.patterns import compile_pattern
from unkai.services.lambda_ import keys, limits, rows, running, sqsbatch
from unkai.services.lambda_.names import parse
from unkai.services.lambda_.sessions import PRINCIPAL, role_session
from unkai.store.api import CommitUnknown, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import MappingRow
    from unkai.services.lambda_.running import Chosen
    from unkai.services.lambda_.sessions import RoleSession
    from unkai.store.api import Tx

log = logging.getLogger(__name__)

PAGE = 500
WAIT_S = 20
RECEIVE_MAX = 10
DELETE_MAX = 10
PAUSE_MS_MIN = 1000
PAUSE_MS_MAX = 60_000
VISIBILITY_S_DEFAULT = 30


async def work(ctx: Ctx, node: Node) -> None:
    """Keep one poller for each enabled mapping of the node, until cancelled."""
    pollers: dict[str, tuple[int, asyncio.Task[None]]] = {}
    try:
        while True:
            watch = await node.watch(keys.MAPPINGS_CHANNEL)
            try:
                await _adjust(ctx, node, pollers)
                await watch.wait(None)
            except (StoreUnavailable, CommitUnknown):
                await node.sleep_until(node.clock.node_ms() + PAUSE_MS_MIN)
            finally:
                watch.close()
    finally:
        await _stop([task for _, task in pollers.values()])


async def _adjust(ctx: Ctx, node: Node, pollers: dict[str, tuple[int, asyncio.Task[None]]]) -> None:
    wanted: dict[str, MappingRow] = {}
    begin, end = keys.every_mapping()
    while page := await node.run(ctx, read_page, [begin, end]):
        for key, value in page:
            row = rows.decode_mapping(value)
            if row.enabled:
                wanted[row.uuid] = row
            begin = key + b"\0"
    for uuid, (change, task) in list(pollers.items()):
        current = wanted.get(uuid)
        if current is None or current.change != change:
            await _stop([task])
            del pollers[uuid]
    for uuid, row in wanted.items():
        if uuid not in pollers:
            pollers[uuid] = (row.change, asyncio.create_task(_Poller(ctx, node, row).run(), name=f"mapping {uuid}"))


async def read_page(ctx: Ctx, tx: Tx, inp: list[bytes]) -> list[tuple[bytes, bytes]]:
    """A step that only reads."""
    return await tx.get_range(inp[0], inp[1], limit=PAGE)


async def _stop(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Queue:
    """Where a mapping receives from."""

    url: str
    region: str
    visibility_ms: int = VISIBILITY_S_DEFAULT * 1000


@dataclass(slots=True)
class _Batch:
    messages: list[dict[str, Any]] = field(default_factory=list)
    size_bytes: int = 0
    since_ms: int = 0


class _Poller:
    """One mapping's loop. `_running` are the batches that are being worked on."""

    def __init__(self, ctx: Ctx, node: Node, row: MappingRow) -> None:
        source = Arn.parse(row.source_arn)
        assert source is not None, "checked when the mapping was made"
        caller = service_caller(PRINCIPAL, row.account, row.source_arn)
        self._ctx = replace(ctx, caller=caller, account=row.account, region=row.region, ids=ctx.ids.child())
        self._node = node
        self._row = row
        self._source = source
        self._queue = _Queue(
            f"https://sqs.{source.region}.amazonaws.com/{source.account}/{source.resource}", source.region
        )
        self._ref: FunctionRef = parse(row.function_arn, row.account, row.region)
        value = row.value
        self._size: int = value.get("BatchSize", limits.SQS_BATCH_DEFAULT)
        self._window_ms: int = value.get("MaximumBatchingWindowInSeconds", 0) * 1000
        self._partial = "ReportBatchItemFailures" in value.get("FunctionResponseTypes", ())
        most = value.get("ScalingConfig", {}).get("MaximumConcurrency") or limits.CONCURRENCY
        self._places = asyncio.Semaphore(most)
        self._filters: list[Callable[[Any], bool]] = [
            compile_pattern(one["Pattern"]) for one in value.get("FilterCriteria", {}).get("Filters", ())
        ]
        self._running: set[asyncio.Task[None]] = set()
        self._pause_ms = PAUSE_MS_MIN

    async def run(self) -> None:
        try:
            while True:
                await self._places.acquire()
                batch = _Batch()
                try:
                    batch = await self._gather()
                    self._pause_ms = PAUSE_MS_MIN
                except (AwsError, StoreUnavailable, CommitUnknown) as error:
                    await self._rest(error)
                except Exception:  # one mapping's defect must not end its polling for good
                    log.exception("polling failed", extra={"mapping": self._row.uuid})
                    await self._rest(None)
                if not batch.messages:
                    self._places.release()
                    continue
                task = asyncio.create_task(self._carry(batch))
                self._running.add(task)
                task.add_done_callback(self._done)
        finally:
            await _stop(list(self._running))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    async def _rest(self, error: Exception | None) -> None:
        """The queue, the role or the store cannot be had: look again later, and later still."""
        if error is not None:
            log.info("a mapping waits", extra={"mapping": self._row.uuid, "why": str(error)})
        await self._node.sleep_until(self._node.clock.node_ms() + self._pause_ms)
        self._pause_ms = min(PAUSE_MS_MAX, self._pause_ms * 2)

    async def _session(self) -> RoleSession:
        ref = self._ref
        role: str = await self._node.run(self._ctx, find_role, [ref.account, ref.region, ref.name, ref.qualifier])
        return await role_session(self._node, role, ref.account, ref.region, ref.name, ref.arn)

    async def _call(self, operation: str, inp: dict[str, Any]) -> dict[str, Any]:
        session = await self._session()
        asked = {"QueueUrl": self._queue.url, **inp}
        return await self._node.call("sqs", operation, asked, as_=session.caller, region=self._queue.region)

    async def _gather(self) -> _Batch:
        """Receive until the batch is full or its window is over; filtered messages are deleted on the way, as on AWS."""
        clock = self._node.clock
        batch = _Batch()
        while len(batch.messages) < self._size and batch.size_bytes < sqsbatch.SIZE_BYTES_MAX:
            wait_s = WAIT_S
            if batch.messages:
                left_ms = batch.since_ms + self._window_ms - clock.node_ms()
                if left_ms <= 0:
                    break
                wait_s = min(WAIT_S, -(-left_ms // 1000))
            out = await self._call(
                "ReceiveMessage",
                {
                    "MaxNumberOfMessages": min(RECEIVE_MAX, self._size - len(batch.messages)),
                    "WaitTimeSeconds": wait_s,
                    "AttributeNames": ["All"],
                    "MessageAttributeNames": ["All"],
                },
            )
            received = out.get("Messages", [])
            if not received and not batch.messages:
                break
            if not batch.messages:
                batch.since_ms = clock.node_ms()
            await self._admit(batch, received)
            if not self._window_ms:
                break
        return batch

    async def _admit(self, batch: _Batch, received: list[dict[str, Any]]) -> None:
        unwanted: list[dict[str, Any]] = []
        for message in received:
            record = sqsbatch.record_of(message, self._row.source_arn, self._source.region)
            if self._filters and not sqsbatch.is_wanted(record, self._filters):
                unwanted.append(record)
                continue
            batch.messages.append(record)
            batch.size_bytes += sqsbatch.size_of(record)
        await self._delete(unwanted)

    async def _delete(self, records: Sequence[dict[str, Any]]) -> None:
        """Ten to a call. One that fails lets its messages come again."""
        for at in range(0, len(records), DELETE_MAX):
            entries = [
                {"Id": str(n), "ReceiptHandle": record["receiptHandle"]}
                for n, record in enumerate(records[at : at + DELETE_MAX])
            ]
            try:
                out = await self._call("DeleteMessageBatch", {"Entries": entries})
                failed = [f"{one['Code']}: {one.get('Message', '')}" for one in out.get("Failed", ())]
            except (AwsError, StoreUnavailable, CommitUnknown) as error:
                failed = [str(error)]
            if failed:
                log.info("messages were not deleted", extra={"mapping": self._row.uuid, "why": failed[0]})

    async def _carry(self, batch: _Batch) -> None:
        try:
            for records in sqsbatch.parts(batch.messages):
                answer = await self._invoke(records, batch.since_ms)
                if answer is not None:
                    await self._delete(sqsbatch.succeeded(records, answer, partial=self._partial))
        except (AwsError, StoreUnavailable, CommitUnknown) as error:
            log.info("a batch failed", extra={"mapping": self._row.uuid, "why": str(error)})
        except Exception:  # the messages come again
            log.exception("a batch failed", extra={"mapping": self._row.uuid})

    async def _invoke(self, records: list[dict[str, Any]], since_ms: int) -> bytes | None:
        """The function's answer; None where it failed. Throttles are waited out while the messages are still invisible."""
        ref, node = self._ref, self._node
        payload = json.dumps({"Records": records}, separators=(",", ":"), ensure_ascii=False).encode()
        request_id = new_request_id()
        pause_ms = PAUSE_MS_MIN
        while True:
            question = {"Ref": [ref.account, ref.region, ref.name, ref.qualifier], "RequestId": request_id}
            chosen: Chosen = await node.run(self._ctx, running.choose, question)
            try:
                running.check_reserved(chosen)
                spec = await running.spec_of(node, chosen)
                result = await running.translated(
                    node.runner.invoke(spec, Invocation(request_id, payload, ref.qualified_arn))
                )
            except AwsError as error:
                if error.code not in ("TooManyRequestsException", "ServiceException"):
                    raise
                until_ms = node.clock.node_ms() + pause_ms
                if until_ms >= since_ms + self._queue.visibility_ms:
                    raise
                await node.sleep_until(until_ms)
                pause_ms *= 2
                continue
            return None if result.function_error else result.payload


async def find_role(ctx: Ctx, tx: Tx, inp: list[str]) -> str:
    """A step that only reads: the role under which a mapping receives."""
    chosen = await running.choose(ctx, tx, {"Ref": inp, "RequestId": ""})
    return str(chosen.version.config["Role"])
