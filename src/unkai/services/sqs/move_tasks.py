"""Moves the messages of a dead-letter queue back to where they came from, or elsewhere, in the background.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
A task moves what was visible when it started: whatever fails again meanwhile comes back later than that, so a task ends. Each
page is one step on the writer that moves its messages, counts them and says when the next page may move; a crash between two
pages changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.service import Access
from unkai.kernel.tasks import Done, Retry, TaskResult
from unkai.layers.tasks import add_task
from unkai.services.sqs import attributes, errors, keys, limits, places, redrive, rows
from unkai.services.sqs.catalog import find_arn
from unkai.services.sqs.places import Fate
from unkai.services.sqs.queues import count_hidden
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.services.sqs.places import Found
    from unkai.services.sqs.rows import MessageRow, MoveTaskRow, QueueRow, ReceiptRow
    from unkai.store.api import ReadTx, Tx

MOVE = "sqs.move"
"""The task kind that carries out a move."""
PAGE = 100
PAGE_SIZE_BYTES_MAX = 4 * 1024 * 1024
LOOK_MAX = 200
PAGES_PER_SECOND = 10
RUNNING, COMPLETED, CANCELLED, FAILED = "RUNNING", "COMPLETED", "CANCELLED", "FAILED"
_TASKS_MAX = 4 * limits.MOVE_TASKS_LISTED_MAX


async def start_message_move_task(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    per_second = inp.get("MaxNumberOfMessagesPerSecond", 0)
    if "MaxNumberOfMessagesPerSecond" in inp and not 1 <= per_second <= limits.MOVE_RATE_MAX:
        raise errors.invalid_value(
            per_second, "MaxNumberOfMessagesPerSecond", "Must be between 1 and 500, if provided."
        )
    source = await _find(ctx, tx, inp["SourceArn"], "SourceArn")
    destination = inp.get("DestinationArn", "")
    if destination:
        target = await _find(ctx, tx, destination, "DestinationArn")
        if target.fifo != source.fifo or target.arn == source.arn:
            raise errors.invalid_value(
                destination, "DestinationArn", "It must be another queue of the same type as the source queue."
            )
    begin, end = keys.sources(source.account, source.region, source.name)
    if not await tx.get_range(begin, end, limit=1):
        raise errors.invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
    tasks = await _tasks(tx, source)
    if any(task.status == RUNNING for _, task in tasks):
        raise errors.invalid_parameter(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
        )

    task_id = ctx.ids.uuid()
    key = keys.move_task(
        source.account, source.region, source.name, ctx.now_ms, bytes.fromhex(task_id.replace("-", ""))
    )
    task = rows.MoveTaskRow(
        id=task_id,
        status=RUNNING,
        source=source.arn,
        destination=destination,
        per_second=per_second,
        to_move=await _visible(tx, source, ctx.now_ms),
        started_ms=ctx.now_ms,
    )
    tx.set(key, rows.encode(task))
    for old_key, _ in tasks[limits.MOVE_TASKS_LISTED_MAX - 1 :]:
        tx.clear(old_key)
    add_task(ctx, tx, MOVE, key)

    return {"TaskHandle": _handle(task)}


async def _find(ctx: Ctx, tx: ReadTx, text: str, parameter: str) -> QueueRow:
    """The queue of the caller that an ARN names."""
    arn = Arn.parse(text)
    if arn is None:
        raise errors.invalid_parameter(
            f"You must use this format to specify the {parameter}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    own = (arn.account, arn.region) == (ctx.account, ctx.region)
    queue = await find_arn(tx, arn) if own else None
    if queue is None:
        raise errors.no_such_resource(parameter)
    return queue


async def _visible(tx: ReadTx, queue: QueueRow, now_ms: int) -> int:
    total = read_counter(await tx.get(keys.count(queue.id)))
    return max(0, total - await count_hidden(tx, queue, "i", now_ms) - await count_hidden(tx, queue, "l", now_ms))


async def _tasks(tx: ReadTx, source: QueueRow) -> Sequence[tuple[bytes, MoveTaskRow]]:
    """The tasks of a source queue, the latest first."""
    begin, end = keys.move_tasks(source.account, source.region, source.name)
    pairs = await tx.get_range(begin, end, limit=_TASKS_MAX, reverse=True)
    return [(key, rows.decode_move_task(value)) for key, value in pairs]


def _handle(task: MoveTaskRow) -> str:
    return base64.b64encode(json.dumps({"taskId": task.id, "sourceArn": task.source}).encode()).decode()


def _read_handle(text: str) -> tuple[str, str]:
    """The task's id and its source. Raises InvalidParameterValue."""
    try:
        loaded = json.loads(base64.b64decode(text, validate=True)) if len(text) <= 2048 else None
    except (binascii.Error, ValueError, RecursionError):
        loaded = None
    if isinstance(loaded, dict):
        task_id, source = loaded.get("taskId"), loaded.get("sourceArn")
        if isinstance(task_id, str) and isinstance(source, str):
            return task_id, source
    raise errors.invalid_parameter("Value for parameter TaskHandle is invalid.")


def cancelling(ctx: Ctx, inp: Any) -> Sequence[Access]:
    """The handle names the queue that the right is needed for."""
    return (Access("sqs:CancelMessageMoveTask", _read_handle(inp["TaskHandle"])[1]),)


async def cancel_message_move_task(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    task_id, source_arn = _read_handle(inp["TaskHandle"])
    source = await _find(ctx, tx, source_arn, "SourceArn")
    found = [(key, task) for key, task in await _tasks(tx, source) if task.id == task_id]
    if not found:
        raise errors.resource_not_found("Task does not exist.")
    ((key, task),) = found
    if task.status != RUNNING:
        raise errors.invalid_parameter("Only a task that is running can be cancelled.")

    # The page that moves next reads the status first, so that nothing moves after this.
    tx.set(key, rows.encode(rows.replace(task, status=CANCELLED)))

    return {"ApproximateNumberOfMessagesMoved": task.moved}


async def list_message_move_tasks(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    limit = inp.get("MaxResults", 1)
    if not 1 <= limit <= limits.MOVE_TASKS_LISTED_MAX:
        raise errors.invalid_value(limit, "MaxResults", "Must be between 1 and 10, if provided.")
    source = await _find(ctx, tx, inp["SourceArn"], "SourceArn")

    tasks = await _tasks(tx, source)
    return {"Results": [_shown(task) for _, task in tasks[:limit]]}


def _shown(task: MoveTaskRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Status": task.status,
        "SourceArn": task.source,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": task.started_ms,
    }
    if task.status == RUNNING:
        out["TaskHandle"] = _handle(task)
    if task.destination:
        out["DestinationArn"] = task.destination
    if task.per_second:
        out["MaxNumberOfMessagesPerSecond"] = task.per_second
    if task.failure:
        out["FailureReason"] = task.failure
    return out


# --- in the background


async def move(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Pages until the task ends. A page that was moved but whose answer was lost is counted; the next one goes on after it."""
    while True:
        next_ms: int | None = await node.run(ctx, move_page, {"Key": task.payload})
        if next_ms is None:
            return Done()
        if next_ms > node.clock.node_ms():
            return Retry(next_ms)


@dataclass(slots=True)
class _Page:
    """One page of a move. `by_queue` are the messages to put, by the queue that gets them."""

    ctx: Ctx
    tx: Tx
    task: MoveTaskRow
    expired_ms: int
    size: int
    targets: dict[str, QueueRow | None] = field(default_factory=dict)
    by_queue: dict[str, list[MessageRow]] = field(default_factory=dict)
    moved: int = 0
    size_bytes: int = 0
    looked: int = 0
    failure: str = ""
    is_full: bool = False

    async def decide(self, found: Found) -> Fate | ReceiptRow:
        if self.moved == self.size or self.size_bytes >= PAGE_SIZE_BYTES_MAX:
            self.is_full = True
            return Fate.STAY
        self.looked += 1
        if found.message.sent_ms <= self.expired_ms:
            return Fate.REMOVE
        target = await self._target(found.message)
        if target is None:
            return Fate.STAY
        self.by_queue.setdefault(target.arn, []).append(redrive.as_redriven(self.ctx, found.message, self.ctx.now_ms))
        self.moved += 1
        self.size_bytes += len(found.message.body)
        return Fate.REMOVE

    async def _target(self, message: MessageRow) -> QueueRow | None:
        arn = self.task.destination or message.source
        if not arn:
            self.failure = "CouldNotDetermineMessageSource"
            return None
        if arn not in self.targets:
            self.targets[arn] = await find_arn(self.tx, Arn.parse(arn))
        if self.targets[arn] is None:
            self.failure = "AWS.SimpleQueueService.NonExistentQueue"
        return self.targets[arn]

    @property
    def is_last(self) -> bool:
        return not self.is_full and self.looked < LOOK_MAX


async def move_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> int | None:
    """Move some messages; when the next page may move, or None where the task has ended."""
    key = inp["Key"]
    value = await tx.get(key)
    task = rows.decode_move_task(value) if value is not None else None
    if task is None or task.status != RUNNING:
        return None
    if task.next_ms > ctx.now_ms:
        return task.next_ms
    source = await find_arn(tx, Arn.parse(task.source))
    assert source is not None, "a queue's tasks are removed with it"
    if ctx.now_ms - task.started_ms > limits.MOVE_MS_MAX:
        tx.set(key, rows.encode(rows.replace(task, status=FAILED, failure="TaskTimedOut")))
        return None

    size = max(1, task.per_second // PAGES_PER_SECOND) if task.per_second else PAGE
    expired_ms = ctx.now_ms - attributes.number(source, "MessageRetentionPeriod") * 1000
    page = _Page(ctx, tx, task, expired_ms, size)
    await places.look(tx, source, task.started_ms, LOOK_MAX, page.decide)
    for arn, messages in page.by_queue.items():
        target = page.targets[arn]
        assert target is not None, "messages are moved only to queues that exist"
        await redrive.put_moved(ctx, tx, target, messages)

    status = FAILED if page.failure else COMPLETED if page.is_last else RUNNING
    next_ms = ctx.now_ms + (page.moved * 1000 // task.per_second if task.per_second else 0)
    changed = rows.replace(task, status=status, moved=task.moved + page.moved, next_ms=next_ms, failure=page.failure)
    tx.set(key, rows.encode(changed))
    return next_ms if status == RUNNING else None
