"""Bucket settings that are kept and given back. Those with consequences have modules of their own.

What the way of an object never asks for is a row in AWS's form, or AWS's error for one that was never made.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.services.s3 import buckets, errors, keys, limits, rows, tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import Handler
    from unkai.store.api import ReadTx, Tx


@dataclass(frozen=True, slots=True)
class Setting:
    """`member` holds it in the input of Put. Get answers with it under `member`, or with its own members (`spread`).

    `absent` is what Get says where it was never made: AWS's error, or a default.
    """

    name: str
    member: str
    spread: bool
    absent: tuple[str, str] | dict[str, Any]
    check: Callable[[Any], None] = lambda value: None


def _check_encryption(value: dict[str, Any]) -> None:
    for rule in value.get("Rules", ()):
        algorithm = rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "AES256")
        if algorithm != "AES256":
            raise errors.lacking(f"server-side encryption {algorithm}")


def _check_tags(value: dict[str, Any]) -> None:
    tags.from_set(value["TagSet"], limits.TAGS_PER_BUCKET_MAX)


_NO_CONFIGURATION = ("NoSuchConfiguration", "The specified configuration does not exist.")
_DEFAULT_ENCRYPTION = {
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
}

ACCELERATE = Setting("accelerate", "AccelerateConfiguration", True, {})
ENCRYPTION = Setting("encryption", "ServerSideEncryptionConfiguration", False, _DEFAULT_ENCRYPTION, _check_encryption)
LOGGING = Setting("logging", "BucketLoggingStatus", True, {})
OWNERSHIP = Setting(
    "ownership",
    "OwnershipControls",
    False,
    ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
)
REPLICATION = Setting(
    "replication",
    "ReplicationConfiguration",
    False,
    ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
)
REQUEST_PAYMENT = Setting("request-payment", "RequestPaymentConfiguration", True, {"Payer": "BucketOwner"})
TAGGING = Setting("tagging", "Tagging", True, ("NoSuchTagSet", "The TagSet does not exist"), _check_tags)
WEBSITE = Setting(
    "website",
    "WebsiteConfiguration",
    True,
    ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
)
ABAC = Setting("abac", "AbacStatus", False, {"Status": "Disabled"})
ANALYTICS = Setting("analytics", "AnalyticsConfiguration", False, _NO_CONFIGURATION)
INTELLIGENT_TIERING = Setting("intelligent-tiering", "IntelligentTieringConfiguration", False, _NO_CONFIGURATION)
INVENTORY = Setting("inventory", "InventoryConfiguration", False, _NO_CONFIGURATION)
METRICS = Setting("metrics", "MetricsConfiguration", False, _NO_CONFIGURATION)


def putting(setting: Setting, name: str) -> Handler:
    """The handler of a Put operation; `name` is the operation's in snake_case."""

    async def handler(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
        bucket = await buckets.load(ctx, tx, inp)
        value = inp[setting.member]
        setting.check(value)
        item = inp.get("Id", "")
        if item and value.get("Id") != item:
            raise errors.invalid_argument("The id in the configuration is not the one in the request", "id", item)
        if item:
            stored = await tx.get_range(*keys.setting_items(bucket.id, setting.name), limit=limits.CONFIGURATIONS_MAX)
            if len(stored) == limits.CONFIGURATIONS_MAX:
                raise errors.too_many_configurations()
        buckets.write_setting(tx, bucket, setting.name, value, item)
        return {}

    handler.__name__ = name
    return handler


def getting(setting: Setting, name: str) -> Handler:
    async def handler(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
        bucket = await buckets.load(ctx, tx, inp)
        value = await buckets.read_setting(tx, bucket, setting.name, inp.get("Id", ""))
        if value is None:
            if isinstance(setting.absent, tuple):
                raise errors.absent(*setting.absent, bucket.name)
            value = setting.absent
        return dict(value) if setting.spread else {setting.member: value}

    handler.__name__ = name
    return handler


def deleting(setting: Setting, name: str) -> Handler:
    """Deleting what is not there succeeds, but for settings that have many."""

    async def handler(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
        bucket = await buckets.load(ctx, tx, inp)
        if "Id" in inp:
            key = keys.setting(bucket.id, setting.name, inp["Id"])
            if await tx.get(key) is None:
                raise errors.absent(*_NO_CONFIGURATION, bucket.name)
            tx.clear(key)
        else:
            buckets.clear_setting(tx, bucket, setting.name)
        return {}

    handler.__name__ = name
    return handler


def listing(setting: Setting, name: str) -> Handler:
    """The handler of a List operation of settings that have many. There are at most CONFIGURATIONS_MAX, so there is one page."""

    async def handler(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
        bucket = await buckets.load(ctx, tx, inp)
        pairs = await tx.get_range(*keys.setting_items(bucket.id, setting.name), limit=limits.CONFIGURATIONS_MAX)
        out: dict[str, Any] = {"IsTruncated": False}
        if pairs:
            out[f"{setting.member}List"] = [rows.decode(value) for _, value in pairs]
        return out

    handler.__name__ = name
    return handler


async def put_object_lock_configuration(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Object lock would have to be enforced on every delete; keeping the setting alone would be a false promise."""
    await buckets.load(ctx, tx, inp)
    raise errors.lacking("object lock")


async def get_object_lock_configuration(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    raise errors.absent(
        "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket", bucket.name
    )
