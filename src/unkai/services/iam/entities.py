"""Users, groups, roles, instance profiles and customer policies: loading, storing and removing them by name.

Whatever changes one of them bumps the account's generation here, so no operation can forget it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unkai.kernel.arn import Arn
from unkai.services.iam import errors, keys, limits, rows
from unkai.services.iam.identity import iam_arn
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

Row = TypeVar("Row", rows.UserRow, rows.GroupRow, rows.RoleRow, rows.ProfileRow, rows.PolicyRow)
Holder = rows.UserRow | rows.GroupRow | rows.RoleRow
"""What policies can be attached to."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entity: how it is called in keys, in inputs, and in ARNs, and how its unique ids begin.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes"""

    name: str
    member: str
    arn: str
    id_prefix: str
    decode: Callable[[bytes], Any]


USER = Kind("user", "UserName", "user", "AIDA", rows.decode_user)
GROUP = Kind("group", "GroupName", "group", "AGPA", rows.decode_group)
ROLE = Kind("role", "RoleName", "role", "AROA", rows.decode_role)
PROFILE = Kind("profile", "InstanceProfileName", "instance-profile", "AIPA", rows.decode_profile)
POLICY = Kind("policy", "PolicyName", "policy", "ANPA", rows.decode_policy)

HOLDERS = {kind.name: kind for kind in (USER, GROUP, ROLE)}
BY_ARN = {kind.arn: kind for kind in (USER, GROUP, ROLE, PROFILE, POLICY)}


def arn_of(account: str, kind: Kind, row: Any) -> str:
    return iam_arn(account, kind.arn, row.path, row.name)


def unique_id(ctx: Ctx, kind: Kind) -> str:
    return kind.id_prefix + ctx.ids.base32(17)


async def find(tx: ReadTx, account: str, kind: Kind, name: str) -> Any:
    """The entity, or None. No two names differ in case only, so a name in other letters finds it too."""
    if len(name) > limits.NAME_SIZE_CHARS_MAX or not name.isascii() or len(account) != limits.ACCOUNT_SIZE_CHARS:
        return None
    value = await tx.get(keys.entity(account, kind.name, name))
    return None if value is None else kind.decode(value)


async def load(ctx: Ctx, tx: ReadTx, kind: Kind, name: str) -> Any:
    """The entity of the caller's account. Raises NoSuchEntity."""
    row = await find(tx, ctx.account, kind, name)
    if row is None:
        raise errors.no_such_entity(kind.name, name)
    return row


async def load_given(ctx: Ctx, tx: ReadTx, kind: Kind, inp: Mapping[str, Any]) -> Any:
    return await load(ctx, tx, kind, inp[kind.member])


async def load_role_to_change(ctx: Ctx, tx: ReadTx, name: str) -> rows.RoleRow:
    """Service-linked roles are their service's: only their description and their deletion are the customer's."""
    row: rows.RoleRow = await load(ctx, tx, ROLE, name)
    if is_service_linked(row):
        raise errors.protected_role(row.name)
    return row


async def load_holder(ctx: Ctx, tx: ReadTx, kind: Kind, inp: Mapping[str, Any]) -> Any:
    """The user, group or role whose policies a call changes."""
    if kind is ROLE:
        return await load_role_to_change(ctx, tx, inp["RoleName"])
    return await load_given(ctx, tx, kind, inp)


def is_service_linked(row: rows.RoleRow) -> bool:
    return row.path.startswith("/aws-service-role/")


async def insert(ctx: Ctx, tx: Tx, kind: Kind, row: Any) -> None:
    """Store a new entity. Raises EntityAlreadyExists, LimitExceeded."""
    if await tx.get(keys.entity(ctx.account, kind.name, row.name)) is not None:
        raise errors.entity_already_exists(kind.name, row.name)
    most = limits.ENTITIES_MAX[kind.name]
    # Peeked, so that creations do not conflict with each other; the quota may be passed by a few at the same moment.
    if read_counter(await tx.peek(keys.count(ctx.account, kind.name))) >= most:
        raise errors.quota(limits.ENTITY_QUOTA_NAMES[kind.name], most)
    tx.add(keys.count(ctx.account, kind.name), 1)
    store(ctx, tx, kind, row)


def store(ctx: Ctx, tx: Tx, kind: Kind, row: Any) -> None:
    tx.set(keys.entity(ctx.account, kind.name, row.name), rows.encode(row))
    tx.add(keys.generation(ctx.account), 1)


def remove(ctx: Ctx, tx: Tx, kind: Kind, name: str) -> None:
    tx.clear(keys.entity(ctx.account, kind.name, name))
    tx.add(keys.count(ctx.account, kind.name), -1)
    tx.add(keys.generation(ctx.account), 1)


async def rename(ctx: Ctx, tx: Tx, kind: Kind, old: str, row: Any) -> None:
    """Store `row`, whose name was `old`, under its new name. Raises EntityAlreadyExists."""
    if row.name.lower() != old.lower():
        if await tx.get(keys.entity(ctx.account, kind.name, row.name)) is not None:
            raise errors.entity_already_exists(kind.name, row.name)
        tx.clear(keys.entity(ctx.account, kind.name, old))
    store(ctx, tx, kind, row)


def policy_key(arn: str) -> tuple[str, str, str]:
    """Owner, path and name of the managed policy that `arn` names. Raises InvalidInput."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "iam" or parsed.region or not parsed.resource.startswith("policy/"):
        raise errors.invalid_arn(arn)
    path, _, name = parsed.resource.removeprefix("policy").rpartition("/")
    if (
        not name
        or not name.isascii()
        or len(name) > limits.NAME_SIZE_CHARS_MAX
        or parsed.account.strip("0123456789") not in ("", "aws")
    ):
        raise errors.invalid_arn(arn)
    return parsed.account, f"{path}/", name


def tags_of(given: Sequence[Mapping[str, str]], present: Mapping[str, str] | None = None) -> dict[str, str]:
    """`present` with the given tags over it. Keys differ by more than case: a new value also takes the new spelling."""
    folded = [tag["Key"].lower() for tag in given]
    if len(set(folded)) != len(folded):
        raise errors.duplicate_tags()
    if any(key.startswith("aws:") for key in folded):
        raise errors.system_tags()
    kept = {key: value for key, value in (present or {}).items() if key.lower() not in set(folded)}
    tags = kept | {tag["Key"]: tag["Value"] for tag in given}
    return tags_within_limit(tags)


def tags_within_limit(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > limits.TAGS_MAX:
        raise errors.quota("TagsPerResource", limits.TAGS_MAX)
    return tags
