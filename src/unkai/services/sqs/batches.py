"""What all batches have in common: up to ten entries with distinct ids, each of which succeeds or fails by itself.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api-actions.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.services.sqs import errors, limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


def check_entries(entries: Sequence[dict[str, Any]], entry_name: str) -> None:
    """Refuse what fails a batch as a whole."""
    if not entries:
        raise errors.empty_batch(entry_name)
    if len(entries) > limits.BATCH_MAX:
        raise errors.too_many_entries(len(entries))
    seen: set[str] = set()
    for entry in entries:
        if not limits.BATCH_ID.fullmatch(entry["Id"]):
            raise errors.invalid_batch_entry_id()
        if entry["Id"] in seen:
            raise errors.ids_not_distinct(entry["Id"])
        seen.add(entry["Id"])


async def each(
    entries: Sequence[dict[str, Any]], entry_name: str, work: Callable[[dict[str, Any]], Awaitable[None]]
) -> dict[str, Any]:
    """Do `work` for every entry of a checked batch; the batch's answer. `work` writes nothing before it raises."""
    check_entries(entries, entry_name)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            await work(entry)
            done.append({"Id": entry["Id"]})
        except AwsError as error:
            failed.append(errors.batch_failure(entry["Id"], error))
    return {"Successful": done, "Failed": failed}
