"""Operations on a topic's permissions: statements of its policy, by label.

https://docs.aws.amazon.com/sns/latest/api/API_AddPermission.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.services.sns import errors
from unkai.services.sns.policies import POLICY_ACTIONS, check_policy, effective_policy
from unkai.services.sns.topics import load, save

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import Tx

_ACCOUNT = re.compile(r"[0-9]{12}")


async def add_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["TopicArn"])
    label, accounts, actions = inp["Label"], inp["AWSAccountId"], inp["ActionName"]
    policy = json.loads(effective_policy(topic))
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    if any(statement.get("Sid") == label for statement in statements):
        raise errors.invalid_parameter("Statement already exists")
    if any(action not in POLICY_ACTIONS for action in actions):
        raise errors.invalid_parameter("Policy statement action out of service scope!")
    if not accounts or not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise errors.invalid_parameter("AWSAccountId")
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    granted = [f"SNS:{action}" for action in actions]
    policy["Statement"] = [
        *statements,
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
            "Action": granted[0] if len(granted) == 1 else granted,
            "Resource": topic.arn,
        },
    ]

    text = json.dumps(policy, separators=(",", ":"))
    check_policy(text, topic.arn)
    save(tx, msgspec.structs.replace(topic, policy=text))

    return {}


async def remove_permission(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Removing a label that is not there succeeds."""
    topic = await load(tx, inp["TopicArn"])
    policy = json.loads(effective_policy(topic))
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    left = [statement for statement in statements if statement.get("Sid") != inp["Label"]]
    if len(left) == len(statements):
        return {}

    text = json.dumps({**policy, "Statement": left}, separators=(",", ":"))
    save(tx, msgspec.structs.replace(topic, policy=text))

    return {}
