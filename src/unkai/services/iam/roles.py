"""Roles, service-linked ones among them. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unkai.services.iam import attachments, entities, errors, keys, paging, rows, shapes, trust
from unkai.services.iam.entities import ROLE

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

SESSION_S_DEFAULT = 3600
_SERVICE_NAME = re.compile(r"[a-z0-9-]{1,64}(?:\.[a-z0-9-]{1,64}){0,4}\.amazonaws\.com\Z")
# Names that are not made of the service's first word by capitalizing it.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
_SERVICE_ROLE_NAMES = {
    "autoscaling": "AutoScaling",
    "ecs": "ECS",
    "elasticache": "ElastiCache",
    "elasticloadbalancing": "ElasticLoadBalancing",
    "rds": "RDS",
    "ops.apigateway": "APIGateway",
    "dynamodb.application-autoscaling": "ApplicationAutoScaling_DynamoDBTable",
    "lambda.application-autoscaling": "ApplicationAutoScaling_LambdaConcurrency",
    "events": "CloudWatchEvents",
    "apidestinations.events": "AmazonEventBridgeApiDestinations",
    "replication.dynamodb": "DynamoDBReplication",
    "replicator.lambda": "LambdaReplicator",
}


async def shown(ctx: Ctx, tx: ReadTx, row: rows.RoleRow, *, whole: bool = True) -> dict[str, Any]:
    return shapes.role(ctx.account, replace(row, trust=await trust.text_of(tx, row)), whole=whole)


async def create_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    document = inp["AssumeRolePolicyDocument"]
    trusted = await trust.trusted_ids(tx, document)
    row = rows.RoleRow(
        id=entities.unique_id(ctx, ROLE),
        name=inp["RoleName"],
        path=inp.get("Path", "/"),
        created_ms=ctx.now_ms,
        trust=document,
        tags=entities.tags_of(inp.get("Tags", ())),
        boundary=inp.get("PermissionsBoundary", ""),
        description=inp.get("Description", ""),
        session_s_max=inp.get("MaxSessionDuration", SESSION_S_DEFAULT),
        trusted=trusted,
    )
    if entities.is_service_linked(row):
        raise errors.invalid_input("The path /aws-service-role/ is for roles that AWS services make.")
    await entities.insert(ctx, tx, ROLE, row)
    if row.boundary:
        await attachments.add_boundary(ctx, tx, ROLE, row.name, row.boundary)

    return {"Role": shapes.role(ctx.account, row)}


async def get_role(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.RoleRow = await entities.load_given(ctx, tx, ROLE, inp)
    return {"Role": await shown(ctx, tx, row)}


async def list_roles(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    prefix = inp.get("PathPrefix", "/")

    def read(key: bytes, value: bytes) -> tuple[str, Any]:
        row = rows.decode_role(value)
        return row.name, row if row.path.startswith(prefix) else None

    page, more = await paging.page_of_range(
        tx, keys.entities(ctx.account, "role"), inp, lambda name: keys.entity(ctx.account, "role", name), read
    )
    return {"Roles": [await shown(ctx, tx, row, whole=False) for row in page], **paging.truncation(more)}


async def delete_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    if await tx.get_range(*keys.in_profiles(ctx.account, row.name), limit=1):
        raise errors.must_first("remove roles from instance profile")
    attachments.refuse_in_use(row)

    _remove(ctx, tx, row)

    return {}


def _remove(ctx: Ctx, tx: Tx, row: rows.RoleRow) -> None:
    if row.boundary:
        attachments.remove_use(ctx, tx, row.boundary, "role-boundary", row.name)
    entities.remove(ctx, tx, ROLE, row.name)


async def update_assume_role_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    document = inp["PolicyDocument"]
    trusted = await trust.trusted_ids(tx, document)
    entities.store(ctx, tx, ROLE, replace(row, trust=document, trusted=trusted))
    return {}


async def update_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row = await entities.load_role_to_change(ctx, tx, inp["RoleName"])
    changed = replace(
        row,
        description=inp.get("Description", row.description),
        session_s_max=inp.get("MaxSessionDuration", row.session_s_max),
    )
    entities.store(ctx, tx, ROLE, changed)
    return {}


async def update_role_description(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    row: rows.RoleRow = await entities.load_given(ctx, tx, ROLE, inp)
    changed = replace(row, description=inp["Description"])
    entities.store(ctx, tx, ROLE, changed)
    return {"Role": await shown(ctx, tx, changed)}


def service_role_name(service: str, suffix: str) -> str:
    """AWSServiceRoleFor and the service, in the service's own spelling where that is known."""
    if not _SERVICE_NAME.match(service):
        raise errors.invalid_input(f"Service {service} is not a valid service principal.")
    stem = service.removesuffix(".amazonaws.com")
    known = _SERVICE_ROLE_NAMES.get(stem)
    name = known or "".join(part[:1].upper() + part[1:] for part in re.split(r"[.-]", stem))
    return f"AWSServiceRoleFor{name}" + (f"_{suffix}" if suffix else "")


async def create_service_linked_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """The role has the trust policy of its service, and no policies: unkai's services need no rights from it."""
    service = inp["AWSServiceName"]
    name = service_role_name(service, inp.get("CustomSuffix", ""))
    if await entities.find(tx, ctx.account, ROLE, name) is not None:
        raise errors.service_role_taken(name)
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    row = rows.RoleRow(
        id=entities.unique_id(ctx, ROLE),
        name=name,
        path=f"/aws-service-role/{service}/",
        created_ms=ctx.now_ms,
        trust=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        description=inp.get("Description", ""),
    )
    await entities.insert(ctx, tx, ROLE, row)

    return {"Role": shapes.role(ctx.account, row)}


async def delete_service_linked_role(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """AWS looks for resources that still use the role; here none does, and the role is gone at once."""
    row: rows.RoleRow = await entities.load_given(ctx, tx, ROLE, inp)
    if not entities.is_service_linked(row):
        raise errors.no_such_entity("role", inp["RoleName"])
    task = f"task{row.path}{row.name}/{ctx.ids.uuid()}"
    _remove(ctx, tx, row)
    return {"DeletionTaskId": task}


async def get_service_linked_role_deletion_status(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    parts = inp["DeletionTaskId"].split("/")
    if len(parts) != 5 or parts[:2] != ["task", "aws-service-role"]:
        raise errors.no_such_deletion(inp["DeletionTaskId"])
    # The deletion happened with the call that made the task id, so a role that is there now is a later one, or never left.
    return {"Status": "SUCCEEDED"}
