"""Resource policies: of the account (at most ten in a region) and of single groups. They speak to AWS services only.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.policy.document import parse
from unkai.services.logs import arns, errors, keys, limits, rows
from unkai.services.logs.arns import load_group

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.logs.rows import PolicyRow
    from unkai.store.api import ReadTx, Tx

ROWS_MAX = 1000


async def put_resource_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    document, arn, name = inp.get("policyDocument"), inp.get("resourceArn", ""), _name_of(inp)
    if document is None:
        raise errors.invalid_parameter("policyDocument is required.")
    try:
        parse(document, "resource", size_max_chars=limits.POLICY_SIZE_CHARS_MAX)
    except AwsError as error:
        raise errors.invalid_parameter(f"Resource policy is not valid: {error.message}") from None
    if arn:
        await load_group(ctx, tx, *arns.of_resource(ctx, arn))
    key = keys.policy(ctx.account, ctx.region, name)
    existing = await tx.get(key)
    if arn:
        _check_revision(existing, inp)
    elif existing is None and sum(not row.resource_arn for row in await _all(ctx, tx)) >= limits.RESOURCE_POLICIES_MAX:
        raise errors.limit_exceeded()

    row = rows.PolicyRow(name, document, ctx.now_ms, arn, ctx.ids.hex(32) if arn else "")
    tx.set(key, rows.encode(row))

    return {"resourcePolicy": _described(row), **({"revisionId": row.revision} if arn else {})}


def _name_of(inp: dict[str, Any]) -> str:
    """A group's policy is kept under the group's ARN; a policy of the account cannot have such a name."""
    if "resourceArn" in inp:
        return str(inp["resourceArn"])
    name: str = inp.get("policyName", "")
    if not name or name.startswith("arn:"):
        raise errors.invalid_parameter("policyName is required.")
    return name


def _check_revision(existing: bytes | None, inp: dict[str, Any]) -> None:
    stored = rows.decode_policy(existing).revision if existing is not None else None
    if inp.get("expectedRevisionId") != stored:
        raise errors.invalid_parameter("The expectedRevisionId does not match the current revision of the policy.")


async def delete_resource_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = _name_of(inp)
    key = keys.policy(ctx.account, ctx.region, name)
    existing = await tx.get(key)
    if existing is None:
        raise errors.policy_not_found(name)
    if "resourceArn" in inp:
        _check_revision(existing, inp)

    tx.clear(key)

    return {}


async def describe_resource_policies(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    scope, arn, after = inp.get("policyScope"), inp.get("resourceArn"), inp.get("nextToken", "")
    limit = inp.get("limit", limits.DESCRIBE_MAX)
    found = [
        row
        for row in await _all(ctx, tx)
        if row.name > after and scope in (None, _scope(row)) and arn in (None, row.resource_arn)
    ]

    out: dict[str, Any] = {"resourcePolicies": [_described(row) for row in found[:limit]]}
    if len(found) > limit:
        out["nextToken"] = found[limit - 1].name
    return out


async def _all(ctx: Ctx, tx: ReadTx) -> list[PolicyRow]:
    pairs = await tx.get_range(*keys.policies(ctx.account, ctx.region), limit=ROWS_MAX)
    return [rows.decode_policy(value) for _, value in pairs]


def _scope(row: PolicyRow) -> str:
    return "RESOURCE" if row.resource_arn else "ACCOUNT"


def _described(row: PolicyRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "policyName": row.name,
        "policyDocument": row.document,
        "lastUpdatedTime": row.updated_ms,
        "policyScope": _scope(row),
    }
    if row.resource_arn:
        out |= {"resourceArn": row.resource_arn, "revisionId": row.revision}
    return out


async def resource_policy(tx: ReadTx, arn: str) -> str | None:
    """The policies that apply to a group or what is in it, as one document: those of its account, and its own."""
    found = arns.parse_group_arn(arn)
    if found is None:
        return None
    account, region, name = found
    pairs = await tx.get_range(*keys.policies(account, region), limit=ROWS_MAX)
    if not pairs:
        return None
    own = arns.bare_arn(account, region, name)
    policies = [rows.decode_policy(value) for _, value in pairs]
    return _merged(tuple(row.document for row in policies if row.resource_arn in ("", own)))


@lru_cache(maxsize=1024)
def _merged(documents: tuple[str, ...]) -> str | None:
    """One document of all statements that speak to services; AWS does not enforce the others here."""
    statements: list[dict[str, Any]] = []
    version = "2008-10-17"
    for document in documents:
        parsed = json.loads(document)
        version = max(version, parsed.get("Version", version))
        given = parsed["Statement"]
        for statement in [given] if isinstance(given, dict) else given:
            principal = statement.get("Principal")
            if isinstance(principal, dict) and "Service" in principal:
                kept = {key: value for key, value in statement.items() if key != "Sid"}
                statements.append(kept | {"Principal": {"Service": principal["Service"]}})
    return json.dumps({"Version": version, "Statement": statements}) if statements else None
