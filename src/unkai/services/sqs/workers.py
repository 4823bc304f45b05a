"""Background work of SQS: what a deleted or purged queue held is removed page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.tasks import Done, TaskResult
from unkai.services.sqs import keys

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.store.api import Tx

PAGE = 1000


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing refers to the queue id any more, so a crash between two pages only leaves fewer pages to remove."""
    while await node.run(ctx, remove_page, {"QueueId": task.payload}):
        pass
    return Done()


async def remove_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some rows of a queue id; whether there may be more."""
    begin, end = keys.contents(inp["QueueId"])
    page = await tx.peek_range(begin, end, limit=PAGE)
    for key, _ in page:
        tx.clear(key)
    return len(page) == PAGE
