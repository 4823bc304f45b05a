"""Background work of Lambda that has an end: what a deleted function held is removed page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.tasks import Done, TaskResult
from unkai.services.lambda_ import functions, keys, rows

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.store.api import Tx

PAGE = 100


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing refers to the function id any more, so a crash between two pages only leaves fewer pages to remove."""
    while await node.run(ctx, remove_page, {"FunctionId": task.payload}):
        pass
    return Done()


async def remove_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some rows of a function id, and give up the packages that only it used; whether there may be more."""
    function_id: bytes = inp["FunctionId"]
    begin, end = keys.contents(function_id)
    page = await tx.get_range(begin, end, limit=PAGE)
    for key, value in page:
        if keys.kind_of(key) == "v":
            await functions.let_packages_go(ctx, tx, function_id, rows.decode_version(value))
        tx.clear(key)
    return len(page) == PAGE
