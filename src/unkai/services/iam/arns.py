"""Which resources a call is about, for authorization.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html

An input names users and roles without their paths, so the rules here give ARNs without one, and `complete` puts it in, with
the tags and the boundary that conditions may ask for. Services that take a role from a caller declare
`Access("iam:PassRole", role_arn, {"iam:PassedToService": "lambda.amazonaws.com"})`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.service import Access, on
from unkai.services.iam import aws_managed, entities, identity
from unkai.services.iam.entities import BY_ARN, POLICY, PROFILE, ROLE
from unkai.services.iam.users import user_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import AccessRule
    from unkai.services.iam.entities import Kind
    from unkai.store.api import ReadTx


def _given_tags(inp: Mapping[str, Any]) -> dict[str, str] | None:
    if "Tags" in inp:
        return {tag["Key"]: tag["Value"] for tag in inp["Tags"] if "Key" in tag and "Value" in tag}
    return dict.fromkeys(inp["TagKeys"], "") if "TagKeys" in inp else None


def on_named(action: str, kind: Kind) -> AccessRule:
    """One action on the entity that the input names, with the condition keys that its other members give."""

    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        path = inp.get("Path", "/") if action.startswith("iam:Create") else "/"
        arn = identity.iam_arn(ctx.account, kind.arn, path, inp[kind.member])
        context: dict[str, str] = {}
        if "PolicyArn" in inp:
            context["iam:PolicyARN"] = inp["PolicyArn"]
        if "PermissionsBoundary" in inp:
            context["iam:PermissionsBoundary"] = inp["PermissionsBoundary"]
        tags = _given_tags(inp)
        needed = [Access(action, arn, context, tags)]
        if tags and action.startswith("iam:Create"):
            # Tags at creation need the right to tag too.
            needed.append(Access(action.replace(":Create", ":Tag"), arn, context, tags))
        return needed

    return rule


def on_user(action: str) -> AccessRule:
    """As on_named, for calls that mean the caller itself where they name no user."""

    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        name = user_name(ctx, inp)
        arn = identity.iam_arn(ctx.account, "user", "/", name) if name else identity.root_arn(ctx.account)
        return (Access(action, arn),)

    return rule


def on_policy(action: str) -> AccessRule:
    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        return (Access(action, inp["PolicyArn"], request_tags=_given_tags(inp)),)

    return rule


def on_source(action: str) -> AccessRule:
    return on(action, lambda ctx, inp: str(inp["PolicySourceArn"]))


def on_service_role(action: str) -> AccessRule:
    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        service = inp["AWSServiceName"]
        arn = identity.iam_arn(ctx.account, "role", f"/aws-service-role/{service}/", "*")
        return (Access(action, arn, {"iam:AWSServiceName": service}),)

    return rule


def add_role_access(ctx: Ctx, inp: Any) -> Sequence[Access]:
    """Who puts a role into an instance profile passes it to EC2."""
    profile = identity.iam_arn(ctx.account, PROFILE.arn, "/", inp["InstanceProfileName"])
    role = identity.iam_arn(ctx.account, ROLE.arn, "/", inp["RoleName"])
    return (
        Access("iam:AddRoleToInstanceProfile", profile),
        Access("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}),
    )


async def complete(tx: ReadTx, access: Access) -> Access:
    """The access with the resource's path in its ARN, its tags, and its permissions boundary."""
    parsed = Arn.parse(access.resource)
    if parsed is None or parsed.account == aws_managed.OWNER:
        return access
    kind = BY_ARN.get(parsed.resource.partition("/")[0])
    name = parsed.resource.rpartition("/")[2]
    if kind is None or not name:
        return access
    row = await entities.find(tx, parsed.account, kind, name)
    if row is None:
        return access
    arn = entities.arn_of(parsed.account, kind, row)
    if arn != access.resource and (kind is POLICY or not access.action.startswith("iam:")):
        return access  # here the caller gave the whole ARN: another path names nothing
    context = dict(access.context)
    if boundary := getattr(row, "boundary", ""):
        context.setdefault("iam:PermissionsBoundary", boundary)
    found = getattr(row, "tags", {})
    for key, value in found.items():
        context[f"iam:ResourceTag/{key}"] = value
    return replace(access, resource=arn, context=context, resource_tags=found)
