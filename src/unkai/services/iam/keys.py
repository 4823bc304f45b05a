"""Every key that IAM and STS store. Nothing else in unkai packs them. IAM is global: keys have an account, but no region.

    ("iam", account)                                  -> AccountRow
    ("iam", account, "generation")                    -> counter: bumped by every change of a right or a credential
    ("iam", account, "user", name)                    -> UserRow
    ("iam", account, "group", name)                   -> GroupRow
    ("iam", account, "role", name)                    -> RoleRow
    ("iam", account, "policy", name)                  -> PolicyRow
    ("iam", account, "profile", name)                 -> ProfileRow: an instance profile
    ("iam", account, "count", kind)                   -> counter: how many users, groups, roles, policies, profiles
    ("iam", account, "member", group, user)           -> b""
    ("iam", account, "use", owner, policy, as, name)  -> the entity's name: a policy is attached to it, or its boundary
    ("iam", account, "uses", owner, policy, what)     -> counter: "attached" or "boundary" uses
    ("iam", account, "in", role, profile)             -> b"": the role is in the instance profile
    ("iam", account, "used", access_key_id)           -> KeyUseRow
    ("iamalias", alias)                               -> the account whose alias it is
    ("iamkey", access_key_id)                         -> KeyRow, for the whole node
    ("iamseal",)                                      -> 32 bytes: what session tokens are sealed with; never leaves the node

Names are in lower case in keys, since AWS allows no two that differ in case only; rows have them as given. A policy's name is
unique in its account whatever its path, so keys need no path. `owner` is the account, or "aws" for AWS-managed policies.
`as` is one of USES.

Invariants (see invariants.py):
IAM-1  A "use" row exists exactly for every attached policy and every boundary of a user, group or role, and its policy exists.
IAM-2  An "iamkey" row exists exactly for every key that a user's or an account's row names, and names that user and account.
IAM-3  A "member" row exists exactly for every group that a user's row names, and that group exists.
IAM-4  The counters equal the numbers of rows.
IAM-5  An "in" row exists exactly for every instance profile with a role, and that role exists.
IAM-6  A row's name is its key's name but for case, and a policy's default version exists.
"""

from __future__ import annotations

from unkai.store.tuples import pack, prefix_end, unpack

KINDS = ("user", "group", "role", "policy", "profile")
USES = ("user", "group", "role", "user-boundary", "role-boundary")


def account(account: str) -> bytes:
    return pack("iam", account)


def accounts() -> tuple[bytes, bytes]:
    begin = pack("iam")
    return begin, prefix_end(begin)


def account_of(key: bytes) -> str:
    return str(unpack(key)[1])


def after_account(account: str) -> bytes:
    """The first key after all of an account's."""
    return prefix_end(pack("iam", account))


def generation(account: str) -> bytes:
    return pack("iam", account, "generation")


def entity(account: str, kind: str, name: str) -> bytes:
    assert kind in KINDS
    return pack("iam", account, kind, name.lower())


def entities(account: str, kind: str) -> tuple[bytes, bytes]:
    begin = pack("iam", account, kind)
    return begin, prefix_end(begin)


def count(account: str, kind: str) -> bytes:
    return pack("iam", account, "count", kind)


def member(account: str, group: str, user: str) -> bytes:
    return pack("iam", account, "member", group.lower(), user.lower())


def members(account: str, group: str = "") -> tuple[bytes, bytes]:
    """The range of a group's members, or of all groups'."""
    begin = pack("iam", account, "member", group.lower()) if group else pack("iam", account, "member")
    return begin, prefix_end(begin)


def use(account: str, owner: str, policy: str, use_as: str, name: str) -> bytes:
    assert use_as in USES
    return pack("iam", account, "use", owner, policy.lower(), use_as, name.lower())


def uses(account: str, owner: str = "", policy: str = "", use_as: str = "") -> tuple[bytes, bytes]:
    """The range of what uses a policy (in one way), or of all uses."""
    parts = [owner, policy.lower(), use_as]
    begin = pack("iam", account, "use", *(part for part in parts if part))
    return begin, prefix_end(begin)


def use_count(account: str, owner: str, policy: str, boundary: bool) -> bytes:
    return pack("iam", account, "uses", owner, policy.lower(), "boundary" if boundary else "attached")


def use_counts(account: str) -> tuple[bytes, bytes]:
    begin = pack("iam", account, "uses")
    return begin, prefix_end(begin)


def in_profile(account: str, role: str, profile: str) -> bytes:
    return pack("iam", account, "in", role.lower(), profile.lower())


def in_profiles(account: str, role: str = "") -> tuple[bytes, bytes]:
    begin = pack("iam", account, "in", role.lower()) if role else pack("iam", account, "in")
    return begin, prefix_end(begin)


def last_part(key: bytes) -> str:
    """The name that ends a key, in lower case."""
    return str(unpack(key)[-1])


def use_of(key: bytes) -> str:
    """Which of USES a "use" row is."""
    return str(unpack(key)[5])


def key_use(account: str, access_key_id: str) -> bytes:
    return pack("iam", account, "used", access_key_id)


def alias(alias: str) -> bytes:
    return pack("iamalias", alias)


def access_key(access_key_id: str) -> bytes:
    return pack("iamkey", access_key_id)


def access_keys() -> tuple[bytes, bytes]:
    begin = pack("iamkey")
    return begin, prefix_end(begin)


def seal() -> bytes:
    return pack("iamseal")
