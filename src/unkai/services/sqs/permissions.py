"""Who else may use a queue: AddPermission, RemovePermission, and what the front door asks of every call.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.services.sqs import attributes, catalog, errors, limits, rows

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import Access
    from unkai.store.api import ReadTx, Tx

ACTIONS = frozenset(
    {
        "*",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    }
)
OWNERS_ACTIONS = frozenset(
    {
        "AddPermission",
        "CancelMessageMoveTask",
        "CreateQueue",
        "DeleteQueue",
        "ListMessageMoveTasks",
        "ListQueues",
        "ListQueueTags",
        "RemovePermission",
        "SetQueueAttributes",
        "StartMessageMoveTask",
        "TagQueue",
        "UntagQueue",
    }
)


async def resource_policy(tx: ReadTx, arn: str) -> str | None:
    queue = await catalog.find_arn(tx, Arn.parse(arn))
    return queue.attributes.get("Policy") if queue is not None else None


async def complete(tx: ReadTx, access: Access) -> Access:
    """With the tags of the queue, which policies may speak of (aws:ResourceTag/)."""
    queue = await catalog.find_arn(tx, Arn.parse(access.resource))
    if queue is None or not queue.tags:
        return access
    tags = {f"aws:ResourceTag/{key}": value for key, value in queue.tags.items()}
    return dataclasses.replace(access, context={**access.context, **tags})


async def add_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await catalog.load(ctx, tx, inp["QueueUrl"])
    label, accounts, actions = inp["Label"], inp["AWSAccountIds"], inp["Actions"]
    _check(label, accounts, actions)
    policy = _load(queue.attributes.get("Policy"), queue.arn)
    if any(isinstance(statement, dict) and statement.get("Sid") == label for statement in policy["Statement"]):
        raise errors.invalid_value(label, "Label", "Already exists.")

    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    names = [f"SQS:{action}" for action in actions]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": names if len(names) > 1 else names[0],
        "Resource": queue.arn,
    }
    text = json.dumps(policy | {"Statement": [*policy["Statement"], statement]}, separators=(",", ":"))
    attributes.check_policy(text)

    catalog.save(tx, rows.replace(queue, attributes=queue.attributes | {"Policy": text}, modified_ms=ctx.now_ms))

    return {}


def _check(label: str, accounts: list[str], actions: list[str]) -> None:
    if not limits.BATCH_ID.fullmatch(label):
        raise errors.invalid_value(
            label, "Label", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    if not actions:
        raise errors.missing_parameter("Actions")
    if not accounts or not all(len(account) == 12 and account.isdigit() for account in accounts):
        raise errors.invalid_parameter(
            f"Value {accounts[:10]} for parameter PrincipalId is invalid. Reason: Unable to verify."
        )
    if len(actions) > limits.POLICY_ACTIONS_MAX:
        raise errors.over_limit(f"{len(actions)} Actions were found, maximum allowed is {limits.POLICY_ACTIONS_MAX}.")
    for action in actions:
        if action in OWNERS_ACTIONS:
            raise errors.invalid_value(
                f"SQS:{action}", "ActionName", "Only the queue owner is allowed to invoke this action."
            )
        if action not in ACTIONS:
            raise errors.invalid_value(
                f"SQS:{action}", "ActionName", "Please refer to the appropriate WSDL for a list of valid actions."
            )


async def remove_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    queue = await catalog.load(ctx, tx, inp["QueueUrl"])
    label = inp["Label"]
    policy = _load(queue.attributes.get("Policy"), queue.arn)
    left = [statement for statement in policy["Statement"] if statement.get("Sid") != label]
    if len(left) == len(policy["Statement"]):
        raise errors.invalid_value(label, "Label", "can't find label.")

    changed = {name: value for name, value in queue.attributes.items() if name != "Policy"}
    if left:
        changed["Policy"] = json.dumps(policy | {"Statement": left}, separators=(",", ":"))
    catalog.save(tx, rows.replace(queue, attributes=changed, modified_ms=ctx.now_ms))

    return {}


def _load(text: str | None, arn: str) -> dict[str, Any]:
    """The queue's policy with a list of statements, or the one that AWS begins with."""
    policy: dict[str, Any] = (
        json.loads(text) if text else {"Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy", "Statement": []}
    )
    if isinstance(policy["Statement"], dict):
        policy["Statement"] = [policy["Statement"]]
    return policy
