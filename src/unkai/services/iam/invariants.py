"""Checkers of the invariants that keys.py lists. Each gives sentences about what is broken; none is what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.iam import aws_managed, entities, keys, rows
from unkai.services.iam.entities import GROUP, POLICY, PROFILE, ROLE, USER
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.store.api import ReadTx

_KINDS = (USER, GROUP, ROLE, POLICY, PROFILE)
Found = dict[str, dict[str, Any]]
"""By kind, rows by the name in their key."""


async def check(tx: ReadTx) -> list[str]:
    """IAM-1 to IAM-6 for every account."""
    broken: list[str] = []
    for account in await _accounts(tx):
        found: Found = {}
        for kind in _KINDS:
            pairs = await tx.get_range(*keys.entities(account, kind.name))
            found[kind.name] = {keys.last_part(key): kind.decode(value) for key, value in pairs}
        broken += await _uses(tx, account, found)
        broken += await _members(tx, account, found)
        broken += await _counts(tx, account, found)
        broken += await _profiles(tx, account, found)
        broken += _names(account, found)
    return broken + await _keys(tx)


async def _accounts(tx: ReadTx) -> list[str]:
    """Every account that has any row of IAM, found by jumping from one to the next."""
    begin, end = keys.accounts()
    accounts: list[str] = []
    while pairs := await tx.get_range(begin, end, limit=1):
        accounts.append(keys.account_of(pairs[0][0]))
        begin = keys.after_account(accounts[-1])
    return accounts


async def _uses(tx: ReadTx, account: str, found: Found) -> list[str]:
    expected: set[bytes] = set()
    counts: dict[bytes, int] = {}
    for kind in (USER, GROUP, ROLE):
        for row in found[kind.name].values():
            boundary = getattr(row, "boundary", "")
            uses = [(arn, kind.name) for arn in row.attached]
            for arn, use_as in [*uses, *([(boundary, f"{kind.name}-boundary")] if boundary else [])]:
                owner, _, name = entities.policy_key(arn)
                expected.add(keys.use(account, owner, name, use_as, row.name))
                counter = keys.use_count(account, owner, name, use_as.endswith("boundary"))
                counts[counter] = counts.get(counter, 0) + 1
    broken = []
    stored = {key for key, _ in await tx.get_range(*keys.uses(account))}
    if stored != expected:
        broken.append(f"IAM-1 {account}: {len(stored)} use rows, {len(expected)} attachments and boundaries")
    for kind in (USER, GROUP, ROLE):
        for row in found[kind.name].values():
            boundary = getattr(row, "boundary", "")
            for arn in [*row.attached, *([boundary] if boundary else [])]:
                owner, _, name = entities.policy_key(arn)
                is_aws = owner == aws_managed.OWNER and arn in aws_managed.policies()
                if not is_aws and name.lower() not in found["policy"]:
                    broken.append(f"IAM-1 {account}: {row.name} has {arn}, which is not there")
    for counter, value in await tx.get_range(*keys.use_counts(account)):
        if read_counter(value) != counts.pop(counter, 0):
            broken.append(f"IAM-4 {account}: a policy's counter of uses is wrong")
    return broken + [f"IAM-4 {account}: a policy's counter of uses is missing" for _ in counts]


async def _members(tx: ReadTx, account: str, found: Found) -> list[str]:
    stored = {key for key, _ in await tx.get_range(*keys.members(account))}
    expected = {keys.member(account, group, user.name) for user in found["user"].values() for group in user.groups}
    broken = [] if stored == expected else [f"IAM-3 {account}: {len(stored)} members, {len(expected)} in users' rows"]
    for user in found["user"].values():
        broken += [
            f"IAM-3 {account}: {user.name} is in {name}, which is not there"
            for name in user.groups
            if name.lower() not in found["group"]
        ]
    return broken


async def _counts(tx: ReadTx, account: str, found: Found) -> list[str]:
    broken = []
    for kind, rows_found in found.items():
        count = read_counter(await tx.get(keys.count(account, kind)))
        if count != len(rows_found):
            broken.append(f"IAM-4 {account}: the counter of {kind} says {count}, there are {len(rows_found)}")
    return broken


async def _profiles(tx: ReadTx, account: str, found: Found) -> list[str]:
    stored = {key for key, _ in await tx.get_range(*keys.in_profiles(account))}
    holding = [row for row in found["profile"].values() if row.role]
    expected = {keys.in_profile(account, row.role, row.name) for row in holding}
    broken = [] if stored == expected else [f"IAM-5 {account}: {len(stored)} index rows, {len(expected)} profiles"]
    return broken + [
        f"IAM-5 {account}: the role of profile {row.name} is not there"
        for row in holding
        if row.role.lower() not in found["role"]
    ]


def _names(account: str, found: Found) -> list[str]:
    broken = [
        f"IAM-6 {account}: the row of {kind} {name} is named {row.name}"
        for kind, rows_found in found.items()
        for name, row in rows_found.items()
        if row.name.lower() != name
    ]
    return broken + [
        f"IAM-6 {account}: policy {name} has no version {row.default}"
        for name, row in found["policy"].items()
        if row.default not in row.versions
    ]


async def _keys(tx: ReadTx) -> list[str]:
    """IAM-2, over all accounts: the index of access keys is the node's."""
    expected: dict[str, tuple[str, str]] = {}
    for account in await _accounts(tx):
        value = await tx.get(keys.account(account))
        if value is not None:
            expected |= {each: (account, "") for each in rows.decode_account(value).root_keys}
        for _, user_value in await tx.get_range(*keys.entities(account, "user")):
            user = rows.decode_user(user_value)
            expected |= {each: (account, user.id) for each in user.keys}
    stored = [rows.decode_key(value) for _, value in await tx.get_range(*keys.access_keys())]
    if {row.id: (row.account, row.user_id) for row in stored} == expected:
        return []
    return [f"IAM-2 {len(stored)} access keys do not match the {len(expected)} that users and accounts have"]
