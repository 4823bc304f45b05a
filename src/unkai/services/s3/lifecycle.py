"""Lifecycle rules: checked when they are set, and carried out at every midnight in UTC of node time.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.layers.tasks import clear_timer, set_timer
from unkai.services.s3 import buckets, errors, limits, rows
from unkai.services.s3.expiration import DAY_MS, midnight_after

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import BucketRow
    from unkai.store.api import ReadTx, Tx

SETTING = "lifecycle"
ID_CHARS_MAX = 255
DEFAULT_SIZE = "all_storage_classes_128K"
_ACTIONS = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionTransitions",
    "AbortIncompleteMultipartUpload",
)


def _check_days(action: dict[str, Any], name: str, what: str) -> None:
    if action.get(name, 1) <= 0:
        raise errors.invalid_argument(f"'{name}' for {what} action must be a positive integer")


def _check_rule(rule: dict[str, Any]) -> None:
    if len(rule.get("ID", "")) > ID_CHARS_MAX:
        raise errors.invalid_argument("ID length should not exceed allowed limit of 255")
    if rule["Status"] not in ("Enabled", "Disabled"):
        raise errors.malformed_xml()
    if ("Filter" in rule) == ("Prefix" in rule):
        raise errors.malformed_xml()
    if len(rule.get("Filter", {})) > 1:
        raise errors.malformed_xml()
    if not any(rule.get(action) for action in _ACTIONS):
        raise errors.invalid_request("At least one action needs to be specified in a rule")
    expiration = rule.get("Expiration", {})
    if len(expiration) > 1 and not (len(expiration) == 2 and expiration.get("ExpiredObjectDeleteMarker") is False):
        raise errors.malformed_xml()
    _check_days(expiration, "Days", "Expiration")
    for action in (expiration, *rule.get("Transitions", ())):
        if "Date" in action and action["Date"] % DAY_MS:
            raise errors.invalid_argument("'Date' must be at midnight GMT")
        if action.get("Days", 0) < 0:
            raise errors.invalid_argument("'Days' in Transition action must be nonnegative")
    noncurrent = rule.get("NoncurrentVersionExpiration", {})
    _check_days(noncurrent, "NoncurrentDays", "NoncurrentVersionExpiration")
    abort = rule.get("AbortIncompleteMultipartUpload", {})
    _check_days(abort, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")


async def put_bucket_lifecycle_configuration(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    rules = [dict(rule) for rule in inp.get("LifecycleConfiguration", {}).get("Rules", [])]
    if not 0 < len(rules) <= limits.RULES_MAX:
        raise errors.malformed_xml()
    for rule in rules:
        _check_rule(rule)
        rule["ID"] = rule.get("ID") or ctx.ids.uuid()
    if len({rule["ID"] for rule in rules}) != len(rules):
        raise errors.invalid_argument("Rule ID must be unique. Found same ID for more than one rule")
    size = inp.get("TransitionDefaultMinimumObjectSize", DEFAULT_SIZE)
    value = {"Rules": rules, "TransitionDefaultMinimumObjectSize": size}
    buckets.write_setting(tx, bucket, SETTING, value)
    await set_next_run(ctx, tx, bucket)
    return {"TransitionDefaultMinimumObjectSize": size}


async def set_next_run(ctx: Ctx, tx: Tx, bucket: BucketRow) -> None:
    """At the next midnight that is not now."""
    await set_timer(
        ctx,
        tx,
        buckets.LIFECYCLE,
        bucket.id.hex(),
        midnight_after(ctx.now_ms + 1),
        rows.encode([bucket.name, bucket.id]),
    )


async def get_bucket_lifecycle_configuration(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    value = await buckets.read_setting(tx, bucket, SETTING)
    if value is None:
        raise errors.absent("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", bucket.name)
    return dict(value)


async def delete_bucket_lifecycle(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    buckets.clear_setting(tx, bucket, SETTING)
    await clear_timer(tx, buckets.LIFECYCLE, bucket.id.hex())
    return {}
