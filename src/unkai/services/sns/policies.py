"""Topic policies: AWS's default one, and what a policy may say. Pure.

https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.policy.document import parse
from unkai.services.sns import errors, limits

if TYPE_CHECKING:
    from unkai.services.sns.rows import TopicRow

DEFAULT_ACTIONS = (
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
)
POLICY_ACTIONS = frozenset(
    {
        *DEFAULT_ACTIONS,
        "Receive",
        "ListTagsForResource",
        "TagResource",
        "UntagResource",
        "GetDataProtectionPolicy",
        "PutDataProtectionPolicy",
    }
)


def effective_policy(topic: TopicRow) -> str:
    """The topic's policy text; AWS's default one where none was set."""
    return topic.policy or default_policy(topic.arn, topic.account)


@lru_cache(maxsize=4096)
def default_policy(arn: str, account: str) -> str:
    """What AWS gives every new topic. AWS:SourceOwner is set by AWS services alone, so identity policies decide for people."""
    return json.dumps(
        {
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [
                {
                    "Sid": "__default_statement_ID",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [f"SNS:{action}" for action in DEFAULT_ACTIONS],
                    "Resource": arn,
                    "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
                }
            ],
        },
        separators=(",", ":"),
    )


def check_policy(text: str, arn: str) -> None:
    """Refuse a policy that is no policy, or speaks of another service's actions."""
    if len(text.encode()) > limits.POLICY_SIZE_BYTES_MAX:
        raise errors.invalid_parameter("Policy Error: Policy is too long")
    try:
        policy = parse(text, "resource")
    except AwsError as refusal:
        raise errors.invalid_parameter(f"Policy Error: {refusal.message}") from None
    if len(policy.statements) > limits.POLICY_STATEMENTS_MAX:
        raise errors.invalid_parameter("Policy Error: Policy has too many statements")
    for statement in policy.statements:
        for action in statement.actions:
            if action != "*" and not action.startswith("sns:"):
                raise errors.invalid_parameter("Policy statement action out of service scope!")
