"""Trust policies: who may assume a role.

A user or role that a trust policy names is meant by its unique id, as on AWS: once it is deleted, another of the same name is
not trusted, and the policy shows the id instead of the ARN.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.ports import ResourcePolicy
from unkai.policy.document import parse, size_chars
from unkai.services.iam import entities, errors, keys, limits
from unkai.services.iam.entities import ROLE, USER

if TYPE_CHECKING:
    from unkai.services.iam.rows import RoleRow
    from unkai.store.api import ReadTx

NOBODY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"AIDA00000000000000000"},'
    '"Action":"sts:AssumeRole"}]}'
)
"""The trust policy of a role that does not exist: who asks for it is refused, and does not learn whether there is one."""


def check(document: str) -> set[str]:
    """The ARNs that a trust policy names. Raises MalformedPolicyDocument, LimitExceeded."""
    if size_chars(document) > limits.TRUST_SIZE_CHARS_MAX:
        raise errors.quota("ACLSizePerRole", limits.TRUST_SIZE_CHARS_MAX)
    policy = parse(document, "trust")
    return {arn for each in policy.statements if each.principals is not None for arn in each.principals.arns}


async def principal_id(tx: ReadTx, arn: str) -> str | None:
    """The unique id of the user or role with this ARN; None where there is none; empty for what has no row here."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "iam" or len(parsed.account) != limits.ACCOUNT_SIZE_CHARS:
        return ""
    if await tx.get(keys.account(parsed.account)) is None:
        return ""
    kind = {"user": USER, "role": ROLE}.get(parsed.resource.partition("/")[0])
    if kind is None:
        return ""
    row = await entities.find(tx, parsed.account, kind, parsed.resource.rpartition("/")[2])
    return row.id if row is not None and entities.arn_of(parsed.account, kind, row) == arn else None


async def trusted_ids(tx: ReadTx, document: str) -> dict[str, str]:
    """The unique ids behind the ARNs of a trust policy. Raises MalformedPolicyDocument where a principal does not exist."""
    ids: dict[str, str] = {}
    for arn in sorted(check(document)):
        found = await principal_id(tx, arn)
        if found is None:
            raise errors.malformed_policy(f'Invalid principal in policy: "AWS":"{arn}"')
        if found:
            ids[arn] = found
    return ids


async def text_of(tx: ReadTx, row: RoleRow) -> str:
    """The trust policy as it is now: principals that are gone are shown, and matched, by their unique ids."""
    gone = {arn: given for arn, given in row.trusted.items() if await principal_id(tx, arn) != given}
    if not gone:
        return row.trust

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(each) for each in value]
        return gone.get(value, value) if isinstance(value, str) else value

    document = json.loads(row.trust)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for statement in statements:
        if isinstance(statement.get("Principal"), dict) and "AWS" in statement["Principal"]:
            statement["Principal"]["AWS"] = without(statement["Principal"]["AWS"])
    return json.dumps(document)


async def resource_policy(tx: ReadTx, arn: str) -> ResourcePolicy | None:
    """For sts: the trust policy of the role that `arn` names, which must allow the call in any case. None: it names no role."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "iam" or not parsed.resource.startswith("role/"):
        return None
    row = await entities.find(tx, parsed.account, ROLE, parsed.resource.rpartition("/")[2])
    if row is None or entities.arn_of(parsed.account, ROLE, row) != arn:
        return ResourcePolicy(parsed.account, NOBODY)
    return ResourcePolicy(parsed.account, await text_of(tx, row))
