"""What each operation needs to be allowed.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.service import Access
from unkai.services.lambda_ import keys, loading, rows
from unkai.services.lambda_.names import NotAName, parse, ref_of
from unkai.services.lambda_.sessions import PRINCIPAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import AccessRule
    from unkai.store.api import ReadTx


def function_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    """The function alone: what changes it is allowed or not for all its versions together."""
    return parse(inp["FunctionName"], ctx.account, ctx.region).arn


def qualified_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return ref_of(ctx, inp).qualified_arn


def tagged_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return str(inp["Resource"])


def layer_version_by_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    return str(inp["Arn"])


def with_role(action: str) -> AccessRule:
    """Creating or changing a function: the right to hand its role to Lambda, and to read the layers that it names."""

    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        context: dict[str, str | Sequence[str]] = {}
        layers = inp.get("Layers") or []
        if layers:
            context["lambda:Layer"] = layers
        vpc = inp.get("VpcConfig") or {}
        if vpc.get("SubnetIds"):
            context["lambda:SubnetIds"] = vpc["SubnetIds"]
        if vpc.get("SecurityGroupIds"):
            context["lambda:SecurityGroupIds"] = vpc["SecurityGroupIds"]
        needed = [Access(action, function_arn(ctx, inp), context, inp.get("Tags") or None)]
        if "Role" in inp:
            needed.append(Access("iam:PassRole", inp["Role"], {"iam:PassedToService": PRINCIPAL}))
        needed += [Access("lambda:GetLayerVersion", layer) for layer in layers]
        return needed

    return rule


def add_permission(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    context = {"lambda:Principal": inp["Principal"]}
    if "FunctionUrlAuthType" in inp:
        context["lambda:FunctionUrlAuthType"] = inp["FunctionUrlAuthType"]
    return (Access("lambda:AddPermission", qualified_arn(ctx, inp), context),)


def url_config(action: str) -> AccessRule:
    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        context = {"lambda:FunctionUrlAuthType": inp["AuthType"]} if "AuthType" in inp else {}
        return (Access(action, qualified_arn(ctx, inp), context),)

    return rule


def tag_resource(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    return (Access("lambda:TagResource", inp["Resource"], request_tags=inp["Tags"]),)


async def complete(tx: ReadTx, access: Access) -> Access:
    """Tags of functions and mappings, and the function that a mapping is for, as condition keys."""
    arn = Arn.parse(access.resource)
    if arn is None or arn.service != "lambda":
        return access
    tags: dict[str, str] = {}
    more: dict[str, str] = {}
    if arn.resource.startswith("event-source-mapping:"):
        value = await tx.get(keys.mapping(arn.account, arn.region, arn.resource.partition(":")[2][:64]))
        if value is None:
            return access
        mapping = rows.decode_mapping(value)
        tags, more = mapping.tags, {"lambda:FunctionArn": mapping.function_arn}
    else:
        try:
            function = await loading.find(tx, parse(access.resource, arn.account, arn.region))
        except NotAName:
            return access
        tags = function.tags if function is not None else {}
    if not tags and not more:
        return access
    context = {**access.context, **more, **{f"aws:ResourceTag/{name}": value for name, value in tags.items()}}
    return Access(access.action, access.resource, context, access.request_tags)
