"""Quotas of IAM and STS. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

from __future__ import annotations

ENTITIES_MAX = {"user": 5000, "group": 300, "role": 1000, "policy": 1500, "profile": 1000}
ENTITY_QUOTA_NAMES = {
    "user": "UsersPerAccount",
    "group": "GroupsPerAccount",
    "role": "RolesPerAccount",
    "policy": "PoliciesPerAccount",
    "profile": "InstanceProfilesPerAccount",
}
NAME_SIZE_CHARS_MAX = 128
ACCOUNT_SIZE_CHARS = 12
MARKER_SIZE_CHARS_MAX = 160
SIMULATED_SIZE_CHARS_MAX = 1024 * 1024
"""All policy texts of one simulation. AWS bounds the request as a whole."""
POLICY_SIZE_CHARS_MAX = 6144
TRUST_SIZE_CHARS_MAX = 2048
INLINE_SIZE_CHARS_MAX = {"user": 2048, "group": 5120, "role": 10_240}
INLINE_RAW_SIZE_CHARS_MAX = 512 * 1024
"""White space is free in AWS's count. Ours has an end, so that a row always fits a value of the store."""
ATTACHED_MAX = 10
VERSIONS_MAX = 5
ACCESS_KEYS_MAX = 2
GROUPS_PER_USER_MAX = 10
TAGS_MAX = 50
PAGE_DEFAULT = 100
SCAN_ROWS_MAX = 2000
"""A page ends early after so many rows looked at; AWS too may give fewer items than asked, with more to come."""

SESSION_S_DEFAULT = 3600
SESSION_TOKEN_S_DEFAULT = 43_200
CHAINED_S_MAX = 3600
ROOT_SESSION_S_MAX = 3600
SESSION_POLICY_SIZE_CHARS_MAX = 2048
SESSION_POLICY_ARNS_MAX = 10
PACKED_SIZE_BYTES_MAX = 4096
"""What a session's policies and tags may take once packed. AWS does not publish its figure, only that there is one."""
