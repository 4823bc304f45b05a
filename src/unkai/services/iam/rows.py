"""Stored values of IAM: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable.

A principal's inline policies and the ARNs of its attached policies are in its own row, so that authorizing a request reads one row
for the principal and one for each managed policy and group.
"""

from __future__ import annotations

import msgspec


class AccountRow(msgspec.Struct, frozen=True, array_like=True):
    id: str
    created_ms: int
    root_keys: list[str]
    alias: str = ""


class KeyRow(msgspec.Struct, frozen=True, array_like=True):
    """A long-term access key. `user` is empty for root; `user_id` tells a user from a later one of the same name."""

    id: str
    account: str
    secret: str
    created_ms: int
    user: str = ""
    user_id: str = ""
    active: bool = True


class UserRow(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str
    path: str
    created_ms: int
    tags: dict[str, str] = {}
    inline: dict[str, str] = {}
    attached: list[str] = []
    boundary: str = ""
    groups: list[str] = []
    keys: list[str] = []


class GroupRow(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str
    path: str
    created_ms: int
    inline: dict[str, str] = {}
    attached: list[str] = []


class RoleRow(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str
    path: str
    created_ms: int
    trust: str
    tags: dict[str, str] = {}
    inline: dict[str, str] = {}
    attached: list[str] = []
    boundary: str = ""
    description: str = ""
    session_s_max: int = 3600
    trusted: dict[str, str] = {}
    """The users and roles that the trust policy names, with their unique ids at that time."""


class ProfileRow(msgspec.Struct, frozen=True, array_like=True):
    """An instance profile and the name of the role in it."""

    id: str
    name: str
    path: str
    created_ms: int
    tags: dict[str, str] = {}
    role: str = ""


class VersionRow(msgspec.Struct, frozen=True, array_like=True):
    document: str
    created_ms: int


class PolicyRow(msgspec.Struct, frozen=True, array_like=True):
    """A managed policy with all its versions (at most five), by their number."""

    id: str
    name: str
    path: str
    created_ms: int
    updated_ms: int
    versions: dict[int, VersionRow]
    default: int = 1
    newest: int = 1
    tags: dict[str, str] = {}
    description: str = ""


class KeyUseRow(msgspec.Struct, frozen=True, array_like=True):
    used_ms: int
    service: str
    region: str


encode = msgspec.msgpack.Encoder().encode
decode_account = msgspec.msgpack.Decoder(AccountRow).decode
decode_key = msgspec.msgpack.Decoder(KeyRow).decode
decode_user = msgspec.msgpack.Decoder(UserRow).decode
decode_group = msgspec.msgpack.Decoder(GroupRow).decode
decode_role = msgspec.msgpack.Decoder(RoleRow).decode
decode_profile = msgspec.msgpack.Decoder(ProfileRow).decode
decode_policy = msgspec.msgpack.Decoder(PolicyRow).decode
decode_key_use = msgspec.msgpack.Decoder(KeyUseRow).decode
