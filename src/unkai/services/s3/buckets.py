"""Buckets: made, found, listed, removed. Their names are global in a node.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.layers import longkeys
from unkai.layers.tasks import add_task, clear_timer
from unkai.services.s3 import arns, errors, keys, limits, rows, tags

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import BucketRow
    from unkai.store.api import ReadTx, Tx

US_EAST_1 = "us-east-1"
CLEAN_UP = "s3.clean_up"
"""The task kind that removes the uploads of a deleted bucket."""
LIFECYCLE = "s3.lifecycle"
"""The timer that runs a bucket's lifecycle rules."""


async def load(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> BucketRow:
    """The bucket that the input names. Raises NoSuchBucket, or AccessDenied where another owner is expected."""
    row = await find(tx, inp["Bucket"])
    if row is None:
        raise errors.no_such_bucket(inp["Bucket"])
    if inp.get("ExpectedBucketOwner", row.account) != row.account:
        raise errors.access_denied()
    return row


async def find(tx: ReadTx, name: str) -> BucketRow | None:
    if len(name) > 255:
        return None
    value = await tx.get(keys.bucket(name))
    return rows.decode_bucket(value) if value is not None else None


async def read_setting(tx: ReadTx, bucket: BucketRow, name: str, item: str = "") -> Any:
    """A setting in AWS's form, or None. `bucket.has` saves the read where the setting was never made."""
    if name not in bucket.has:
        return None
    value = await tx.get(keys.setting(bucket.id, name, item))
    return rows.decode(value) if value is not None else None


def write_setting(tx: Tx, bucket: BucketRow, name: str, value: Any, item: str = "") -> BucketRow:
    """Store a setting; the bucket's row as it is now."""
    tx.set(keys.setting(bucket.id, name, item), rows.encode(value))
    return (
        bucket if name in bucket.has else _write(tx, msgspec.structs.replace(bucket, has=sorted({*bucket.has, name})))
    )


def clear_setting(tx: Tx, bucket: BucketRow, name: str) -> BucketRow:
    if name not in bucket.has:
        return bucket
    tx.clear(keys.setting(bucket.id, name))
    return _write(tx, msgspec.structs.replace(bucket, has=[each for each in bucket.has if each != name]))


def _write(tx: Tx, row: BucketRow) -> BucketRow:
    tx.set(keys.bucket(row.name), rows.encode(row))
    return row


def check_name(name: str) -> None:
    if (
        not limits.BUCKET_NAME.fullmatch(name)
        or any(each in name for each in ("..", ".-", "-."))
        or limits.BUCKET_NAME_IS_ADDRESS.fullmatch(name)
        or name.startswith(limits.BUCKET_PREFIXES_RESERVED)
        or name.endswith(limits.BUCKET_SUFFIXES_RESERVED)
    ):
        raise errors.invalid_bucket_name(name)


def _region(ctx: Ctx, configuration: dict[str, Any]) -> str:
    constraint = configuration.get("LocationConstraint")
    if constraint is None:
        if ctx.region != US_EAST_1:
            raise errors.illegal_location_constraint("unspecified")
        return US_EAST_1
    region = "eu-west-1" if constraint == "EU" else constraint
    if region == US_EAST_1 or not limits.REGION.fullmatch(region):
        raise errors.invalid_location_constraint(constraint)
    if ctx.region not in (US_EAST_1, region):
        raise errors.illegal_location_constraint(constraint)
    return str(region)


async def create_bucket(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["Bucket"]
    check_name(name)
    configuration = inp.get("CreateBucketConfiguration", {})
    region = _region(ctx, configuration)
    if inp.get("ObjectLockEnabledForBucket"):
        raise errors.lacking("object lock")
    if "Location" in configuration or "Bucket" in configuration:
        raise errors.lacking("directory buckets")
    ownership = inp.get("ObjectOwnership", "BucketOwnerEnforced")
    check_acl(inp)
    tag_set = tags.from_set(configuration.get("Tags", []), limits.TAGS_PER_BUCKET_MAX)
    out = {
        "Location": f"/{name}" if region == US_EAST_1 else f"http://{name}.s3.amazonaws.com/",
        "BucketArn": arns.arn_of(name),
    }
    existing = await find(tx, name)
    if existing is not None:
        if existing.account != ctx.account:
            raise errors.bucket_already_exists(name)
        # In us-east-1 creating one's own bucket again succeeds and changes nothing; elsewhere it is refused.
        if existing.region == region == US_EAST_1:
            return out
        raise errors.bucket_already_owned_by_you(name)

    row = rows.BucketRow(ctx.ids.token(8), name, ctx.account, region, ctx.now_ms)
    row = write_setting(tx, row, "ownership", {"Rules": [{"ObjectOwnership": ownership}]})
    row = write_setting(tx, row, "public-access-block", dict.fromkeys(PUBLIC_ACCESS_BLOCK, True))
    if tag_set:
        row = write_setting(tx, row, "tagging", tag_set)
    _write(tx, row)
    tx.set(keys.owned(ctx.account, name), b"")
    return out


PUBLIC_ACCESS_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def check_acl(inp: dict[str, Any]) -> None:
    """Access control lists are off, as on every new bucket of AWS since April 2023: only what says nothing new is taken.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
    """
    if inp.get("ACL", "private") not in ("private", "bucket-owner-full-control"):
        raise errors.acl_not_supported()
    if any(name in inp for name in ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")):
        raise errors.acl_not_supported()


async def head_bucket(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await load(ctx, tx, inp)
    return {"BucketRegion": bucket.region, "AccessPointAlias": False, "BucketArn": arns.arn_of(bucket.name)}


async def get_bucket_location(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await load(ctx, tx, inp)
    return {} if bucket.region == US_EAST_1 else {"LocationConstraint": bucket.region}


async def list_buckets(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    limit = inp.get("MaxBuckets", 10_000)
    prefix, region = inp.get("Prefix", ""), inp.get("BucketRegion")
    begin, end = keys.owned_from(ctx.account, prefix)
    if token := inp.get("ContinuationToken"):
        # The token is the last name of the page before: a position, which stays right whatever is made or deleted.
        begin = max(begin, keys.owned(ctx.account, token) + b"\0")
    shown: list[dict[str, Any]] = []
    more = True
    while more and len(shown) <= limit:
        page = await tx.get_range(begin, end, limit=limits.PAGE_MAX)
        for key, _ in page:
            row = await find(tx, keys.owned_name(key, ctx.account))
            assert row is not None, "S3-4: a listed bucket exists"
            if region in (None, row.region):
                shown.append(
                    {
                        "Name": row.name,
                        "CreationDate": row.created_ms,
                        "BucketRegion": row.region,
                        "BucketArn": arns.arn_of(row.name),
                    }
                )
        more = len(page) == limits.PAGE_MAX
        begin = page[-1][0] + b"\0" if page else end
    out: dict[str, Any] = {"Buckets": shown[:limit], "Owner": arns.owner(ctx.account)}
    if "Prefix" in inp:
        out["Prefix"] = prefix
    if len(shown) > limit:
        out["ContinuationToken"] = shown[limit - 1]["Name"]
    return out


async def delete_bucket(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Only an empty bucket goes. Uploads that are going on do not count as content; a task removes them."""
    bucket = await load(ctx, tx, inp)
    if await longkeys.page(tx, keys.current(bucket.id), b"", None, limit=1):
        raise errors.bucket_not_empty(bucket.name, has_versions=bool(bucket.versioning))
    if await longkeys.page(tx, keys.versions(bucket.id), b"", None, limit=1):
        raise errors.bucket_not_empty(bucket.name, has_versions=True)

    tx.clear(keys.bucket(bucket.name))
    tx.clear(keys.owned(bucket.account, bucket.name))
    tx.clear_range(*keys.settings(bucket.id))
    await clear_timer(tx, LIFECYCLE, bucket.id.hex())
    add_task(ctx, tx, CLEAN_UP, bucket.id)
    return {}


async def put_bucket_versioning(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await load(ctx, tx, inp)
    configuration = inp["VersioningConfiguration"]
    if configuration.get("MFADelete") == "Enabled" or "MFA" in inp:
        raise errors.lacking("MFA delete")
    if "Status" not in configuration:
        raise errors.illegal_versioning()
    _write(tx, msgspec.structs.replace(bucket, versioning=configuration["Status"]))
    return {}


async def get_bucket_versioning(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await load(ctx, tx, inp)
    return {"Status": bucket.versioning} if bucket.versioning else {}
