"""Which lifecycle rules speak of an object, and when they act. Pure but for reading the rules.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unkai.kernel.clock import format_utc
from unkai.services.s3 import buckets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx

DAY_MS = 86_400_000


def midnight_after(ms: int) -> int:
    """The next midnight in UTC at or after `ms`: S3 rounds up to it, and works at it."""
    return -(-ms // DAY_MS) * DAY_MS


def due_ms(since_ms: int, days: int) -> int:
    return midnight_after(since_ms + days * DAY_MS)


def applies(rule: Mapping[str, Any], key: str, size: int, tags: Mapping[str, str]) -> bool:
    """Whether an enabled rule's filter lets the object through."""
    if rule["Status"] != "Enabled":
        return False
    given = rule.get("Filter", {})
    both = given.get("And", given)
    if not key.startswith(both.get("Prefix", rule.get("Prefix", ""))):
        return False
    wanted = [*both.get("Tags", ()), *([both["Tag"]] if "Tag" in both else ())]
    if any(tags.get(tag["Key"]) != tag["Value"] for tag in wanted):
        return False
    return bool(both.get("ObjectSizeGreaterThan", -1) < size < both.get("ObjectSizeLessThan", size + 1))


def expires(rules: Sequence[Mapping[str, Any]], key: str, row: ObjectRow) -> tuple[int, str] | None:
    """When the current object expires and by which rule; the earliest, or None."""
    found: list[tuple[int, str]] = []
    for rule in rules:
        action = rule.get("Expiration", {})
        if ("Days" in action or "Date" in action) and applies(rule, key, row.size, row.tags):
            at = due_ms(row.modified_ms, action["Days"]) if "Days" in action else action["Date"]
            found.append((at, rule.get("ID", "")))
    return min(found, default=None)


async def rules_of(tx: ReadTx, bucket: BucketRow) -> list[dict[str, Any]]:
    configuration = await buckets.read_setting(tx, bucket, "lifecycle")
    return configuration["Rules"] if configuration else []


async def shown(tx: ReadTx, bucket: BucketRow, key: str, row: ObjectRow) -> dict[str, str]:
    """The Expiration member of an object's answers."""
    found = expires(await rules_of(tx, bucket), key, row)
    if found is None:
        return {}
    date = format_utc(found[0], "%a, %d %b %Y %H:%M:%S GMT")
    return {"Expiration": f'expiry-date="{date}", rule-id="{quote(found[1], safe="")}"'}
