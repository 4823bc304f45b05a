"""Who may do what with a bucket: its policy, public access block, and what is left of access control lists.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.kernel.ports import ResourcePolicy
from unkai.policy.document import parse
from unkai.services.s3 import arns, buckets, errors, limits, versions

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import BucketRow
    from unkai.store.api import ReadTx, Tx

SETTING = "policy"
_ABSENT = ("NoSuchBucketPolicy", "The bucket policy does not exist")
_BLOCK = "public-access-block"

# Condition keys that keep a statement from being public, where they name fixed values.
_FIXING = frozenset(
    {
        "aws:sourceip",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:userid",
        "aws:principalorgid",
        "aws:principalarn",
        "aws:principalaccount",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    }
)
# Operators under which they do. With IfExists or ForAllValues a request that lacks the key would pass, so those do not count.
_NARROWING = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"})
_WIDEST_V4, _WIDEST_V6 = 8, 32
"""Networks that are wider than this are everybody."""


async def resource_policy(tx: ReadTx, arn: str) -> ResourcePolicy | None:
    """Owner and policy of the bucket that a bucket's or object's ARN names, as the public access block leaves it."""
    bucket = await buckets.find(tx, arns.bucket_of(arn))
    if bucket is None:
        return None
    stored = await buckets.read_setting(tx, bucket, SETTING)
    return ResourcePolicy(bucket.account, stored["Effective"] if stored else "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_public_statement(statement: dict[str, Any]) -> bool:
    """An Allow for everybody that no condition narrows down."""
    if statement["Effect"] != "Allow":
        return False
    principal = statement.get("Principal")
    everybody = principal == "*" or (isinstance(principal, dict) and "*" in _list(principal.get("AWS", [])))
    if not everybody:
        return False
    return not any(
        key.lower() in _FIXING and all(_is_fixed(each) for each in _list(values))
        for operator, block in statement.get("Condition", {}).items()
        if operator.lower().removeprefix("foranyvalue:") in _NARROWING
        for key, values in block.items()
    )


def _is_fixed(value: Any) -> bool:
    if not isinstance(value, str) or not value or any(each in value for each in ("*", "?", "${")):
        return False
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return True
    return network.prefixlen >= (_WIDEST_V4 if network.version == 4 else _WIDEST_V6)


def is_public(text: str) -> bool:
    return any(_is_public_statement(each) for each in _list(json.loads(text)["Statement"]))


def restricted(text: str, account: str) -> str:
    """A public policy under RestrictPublicBuckets: services and the owner's account keep what it allows, nobody else."""
    if not is_public(text):
        return text
    document = json.loads(text)
    kept = []
    for statement in _list(document["Statement"]):
        if statement["Effect"] == "Allow":
            statement["Principal"] = _restricted_principal(statement["Principal"], account)
        if statement.get("Principal", True):
            kept.append(statement)
    return json.dumps({**document, "Statement": kept}) if kept else ""


def _restricted_principal(principal: Any, account: str) -> dict[str, Any]:
    given = principal if isinstance(principal, dict) else {"AWS": principal}
    own = {account if each == "*" else each for each in _list(given.get("AWS", []))}
    own = {each for each in own if each == account or each.split(":")[4:5] == [account]}
    out: dict[str, Any] = {"AWS": sorted(own)} if own else {}
    return out | ({"Service": given["Service"]} if "Service" in given else {})


async def _write(tx: Tx, bucket: BucketRow, text: str, block: dict[str, bool]) -> None:
    effective = restricted(text, bucket.account) if block.get("RestrictPublicBuckets") else text
    buckets.write_setting(tx, bucket, SETTING, {"Policy": text, "Effective": effective})


def _check(bucket: BucketRow, text: str) -> None:
    """Refuse what S3 refuses, beyond the grammar: other buckets' resources and other services' actions."""
    try:
        parse(text, "resource", size_max_chars=limits.POLICY_SIZE_BYTES_MAX)
    except AwsError as error:
        if error.code == "LimitExceeded":
            raise AwsError("PolicyTooLarge", "Policy exceeds the maximum allowed document size.", status=400) from None
        raise
    for statement in _list(json.loads(text)["Statement"]):
        actions = _list(statement.get("Action", statement.get("NotAction", [])))
        if any(each != "*" and not each.lower().startswith("s3:") for each in actions):
            raise _malformed("Policy has invalid action")
        resources = _list(statement.get("Resource", statement.get("NotResource", [])))
        if not resources:
            raise _malformed("Missing required field Resource")
        if any(not _is_of(bucket, each) for each in resources):
            raise _malformed("Policy has invalid resource")


def _is_of(bucket: BucketRow, resource: str) -> bool:
    """Whether a resource pattern can only mean this bucket, or a pattern that begins with it."""
    named = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
    stem = named.partition("*")[0].partition("?")[0]
    return resource.startswith("arn:aws:s3:::") and (
        named == bucket.name or (stem != named and bucket.name.startswith(stem))
    )


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicy", message, status=400)


async def put_bucket_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    text = inp["Policy"]
    _check(bucket, text)
    block = await buckets.read_setting(tx, bucket, _BLOCK) or {}
    if block.get("BlockPublicPolicy") and is_public(text):
        raise errors.access_denied(
            f"User: {ctx.caller.shown_arn} is not authorized to perform: s3:PutBucketPolicy on resource: "
            f'"{arns.arn_of(bucket.name)}" because public policies are prevented by the BlockPublicPolicy setting in S3 '
            "Block Public Access."
        )
    await _write(tx, bucket, text, block)
    return {}


async def get_bucket_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    stored = await buckets.read_setting(tx, bucket, SETTING)
    if stored is None:
        raise errors.absent(*_ABSENT, bucket.name)
    return {"Policy": stored["Policy"]}


async def get_bucket_policy_status(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    out = await get_bucket_policy(ctx, tx, inp)
    return {"PolicyStatus": {"IsPublic": is_public(out["Policy"])}}


async def delete_bucket_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    buckets.clear_setting(tx, await buckets.load(ctx, tx, inp), SETTING)
    return {}


# --- public access block


async def put_public_access_block(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    given = inp["PublicAccessBlockConfiguration"]
    block = {name: bool(given.get(name, False)) for name in buckets.PUBLIC_ACCESS_BLOCK}
    bucket = buckets.write_setting(tx, bucket, _BLOCK, block)
    await _apply(tx, bucket, block)
    return {}


async def _apply(tx: Tx, bucket: BucketRow, block: dict[str, bool]) -> None:
    stored = await buckets.read_setting(tx, bucket, SETTING)
    if stored is not None:
        await _write(tx, bucket, stored["Policy"], block)


async def get_public_access_block(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    block = await buckets.read_setting(tx, bucket, _BLOCK)
    if block is None:
        raise errors.absent(
            "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", bucket.name
        )
    return {"PublicAccessBlockConfiguration": block}


async def delete_public_access_block(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = buckets.clear_setting(tx, await buckets.load(ctx, tx, inp), _BLOCK)
    await _apply(tx, bucket, {})
    return {}


# --- access control lists, as far as an owner's full control leaves them


def _owner_only(bucket: BucketRow) -> dict[str, Any]:
    owner = arns.owner(bucket.account)
    return {"Owner": owner, "Grants": [{"Grantee": {**owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}]}


def _check_acl(bucket: BucketRow, inp: dict[str, Any]) -> None:
    """Only what says that the owner has full control, and nobody else anything."""
    buckets.check_acl(inp)
    given = inp.get("AccessControlPolicy")
    if given is None:
        return
    owner = arns.canonical_id(bucket.account)
    for grant in given.get("Grants", ()):
        if grant.get("Grantee", {}).get("ID") != owner or grant.get("Permission") != "FULL_CONTROL":
            raise errors.acl_not_supported()


async def get_bucket_acl(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return _owner_only(await buckets.load(ctx, tx, inp))


async def put_bucket_acl(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    _check_acl(await buckets.load(ctx, tx, inp), inp)
    return {}


async def get_object_acl(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    return _owner_only(bucket)


async def put_object_acl(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    await versions.load(tx, bucket, inp["Key"], inp.get("VersionId"))
    _check_acl(bucket, inp)
    return {}
