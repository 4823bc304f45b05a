"""Background work of S3: the parts of what is gone, and what a deleted bucket leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.tasks import Done, TaskResult
from unkai.layers import blobs, longkeys
from unkai.layers.tasks import add_task
from unkai.services.s3 import keys, rows, versions

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.kernel.tasks import TaskView
    from unkai.store.api import Tx

PAGE = 1000


async def free_parts(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """Nothing names the upload any more, so a crash between two pages only leaves fewer pages."""
    at = keys.UPLOAD_ID_SIZE_BYTES
    inp = {"UploadId": task.payload[:at], "Guard": task.payload[at:]}
    while await node.run(ctx, free_page, inp):
        pass
    return Done()


async def free_page(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    """Remove some part rows and what they name; whether there may be more."""
    begin, end = keys.parts(inp["UploadId"])
    page = await tx.peek_range(begin, end, limit=PAGE)
    files = []
    for key, value in page:
        row = rows.decode_part(value)
        tx.clear(key)
        if row.source == rows.DATA_ROW:
            tx.clear(keys.data(row.data))
        elif row.source == rows.BLOB:
            files.append(row.data)
    # A reader of the whole object holds its first file, and so all of them.
    blobs.drop(ctx, tx, files, guard=inp["Guard"])
    return len(page) == PAGE


async def clean_up(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """The bucket is gone and was empty, but for uploads that were going on."""
    while await node.run(ctx, end_uploads, {"Id": task.payload}):
        pass
    return Done()


async def end_uploads(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bool:
    space = keys.uploads(inp["Id"])
    page = await longkeys.page(tx, space, b"", None, limit=PAGE)
    for name, _ in page:
        await longkeys.remove(tx, space, name)
        add_task(ctx, tx, versions.FREE_PARTS, keys.split(name, keys.UPLOAD_ID_SIZE_BYTES)[1])
    return len(page) == PAGE
