"""Resource policies of functions and layer versions: who else may call them.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.services.lambda_ import errors, keys, limits, loading, rows
from unkai.services.lambda_.names import LATEST, NotAName, is_account, is_version, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.services.lambda_.names import FunctionRef
    from unkai.services.lambda_.rows import FunctionRow
    from unkai.store.api import ReadTx, Tx

Statement = dict[str, Any]


def text_of(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def document(statements: Sequence[Statement]) -> str:
    return text_of({"Version": "2012-10-17", "Id": "default", "Statement": list(statements)})


def _principal(given: str) -> Any:
    """A service by its host name, an account or ARN as AWS principal, `*` as everybody. As AWS shows it."""
    if given == "*":
        return "*"
    if is_account(given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if given.startswith("arn:"):
        return {"AWS": given}
    if given.endswith((".amazonaws.com", ".amazon.com", ".amazonaws.com.cn")):
        return {"Service": given}
    raise errors.invalid_parameter("The provided principal was invalid. Please check the principal and try again.")


def function_statement(inp: dict[str, Any], resource: str) -> Statement:
    conditions: dict[str, dict[str, str]] = {}
    for member, operator, key in (
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
    ):
        if inp.get(member):
            conditions.setdefault(operator, {})[key] = inp[member]
    if "InvokedViaFunctionUrl" in inp:
        conditions.setdefault("Bool", {})["lambda:InvokedViaFunctionUrl"] = (
            "true" if inp["InvokedViaFunctionUrl"] else "false"
        )
    statement: Statement = {
        "Sid": inp["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(inp["Principal"]),
        "Action": inp["Action"],
        "Resource": resource,
    }
    return statement | ({"Condition": conditions} if conditions else {})


def layer_statement(inp: dict[str, Any], resource: str) -> Statement:
    statement: Statement = {
        "Sid": inp["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(inp["Principal"]),
        "Action": inp["Action"],
        "Resource": resource,
    }
    if "OrganizationId" in inp:
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": inp["OrganizationId"]}}
    return statement


def with_statement(statements: Sequence[Statement], statement: Statement) -> list[Statement]:
    if any(one["Sid"] == statement["Sid"] for one in statements):
        raise errors.statement_exists(statement["Sid"])
    longer = [*statements, statement]
    if len(document(longer)) > limits.POLICY_SIZE_BYTES_MAX:
        raise errors.policy_too_long()
    return longer


def without_statement(statements: Sequence[Statement], statement_id: str) -> list[Statement]:
    left = [one for one in statements if one["Sid"] != statement_id]
    if len(left) == len(statements):
        raise errors.statement_not_found(statement_id)
    return left


# --- a function's policy: one for itself, one for each version and alias


async def _place(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> tuple[FunctionRow, FunctionRef, rows.SettingRow | None]:
    function, ref = await loading.load(ctx, tx, inp)
    if ref.qualifier == LATEST:
        raise errors.invalid_parameter(
            "We currently do not support adding policies for $LATEST."
            if "StatementId" in inp
            else "We currently do not support policies for $LATEST."
        )
    await loading.resolve(tx, function, ref)
    return function, ref, await loading.get_setting(tx, function, keys.POLICY, ref.qualifier)


def _write(ctx: Ctx, tx: Tx, function: FunctionRow, ref: FunctionRef, statements: list[Statement]) -> None:
    qualifier = ref.qualifier or LATEST
    key = keys.setting(function.id, keys.POLICY, qualifier)
    if not statements:
        tx.clear(key)
        return
    row = rows.SettingRow(qualifier, {"Statements": statements}, ctx.now_ms, ctx.now_ms, ctx.ids.uuid())
    tx.set(key, rows.encode(row))


async def add_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref, policy = await _place(ctx, tx, inp)
    if policy is not None:
        loading.check_revision(inp.get("RevisionId"), policy.revision)
    statement = function_statement(inp, ref.qualified_arn)
    statements = with_statement(policy.value["Statements"] if policy is not None else [], statement)

    _write(ctx, tx, function, ref, statements)

    return {"Statement": text_of(statement)}


async def remove_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    function, ref, policy = await _place(ctx, tx, inp)
    if policy is None:
        raise errors.resource_not_found()
    loading.check_revision(inp.get("RevisionId"), policy.revision)
    statements = without_statement(policy.value["Statements"], inp["StatementId"])

    _write(ctx, tx, function, ref, statements)

    return {}


async def get_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    _, _, policy = await _place(ctx, tx, inp)
    if policy is None:
        raise errors.resource_not_found()
    return {"Policy": document(policy.value["Statements"]), "RevisionId": policy.revision}


async def resource_policy(tx: ReadTx, arn: str) -> str | None:
    """The policy that decides about a call on `arn`: of the function, of one qualifier, or of a layer version."""
    if ":layer:" in arn:
        version = await loading.find_layer_version(tx, arn)
        return _evaluated(version.statements) if version is not None and version.statements else None
    try:
        ref = parse(arn, "", "")
    except NotAName:
        return None
    function = await loading.find(tx, ref)
    if function is None:
        return None
    if is_version(ref.qualifier) and len(ref.qualifier) > 18:
        return None
    policy = await loading.get_setting(tx, function, keys.POLICY, ref.qualifier)
    return _evaluated(policy.value["Statements"]) if policy is not None else None


def _evaluated(statements: Sequence[Statement]) -> str:
    """Without statement ids, which may hold what IAM's grammar does not allow in a Sid (hyphens, underscores)."""
    return document([{key: value for key, value in one.items() if key != "Sid"} for one in statements])
