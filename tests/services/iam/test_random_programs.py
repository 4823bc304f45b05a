"""Random programs of writes over a handful of names: whatever succeeds or is refused, the stored invariants hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.iam.driver import ACCOUNT, Node
from tests.services.iam.test_handlers import ADMIN, ALLOW, TRUST_LAMBDA
from unkai.kernel.errors import AwsError

NAMES = st.sampled_from(["a", "B", "b", "c"])
ARNS = st.sampled_from([ADMIN, f"arn:aws:iam::{ACCOUNT}:policy/a", f"arn:aws:iam::{ACCOUNT}:policy/b"])
VALUES = {
    "UserName": NAMES,
    "NewUserName": NAMES,
    "GroupName": NAMES,
    "NewGroupName": NAMES,
    "RoleName": NAMES,
    "InstanceProfileName": NAMES,
    "PolicyName": NAMES,
    "PolicyArn": ARNS,
    "PermissionsBoundary": ARNS,
    "PolicyDocument": st.just(ALLOW),
    "AssumeRolePolicyDocument": st.just(TRUST_LAMBDA),
    "VersionId": st.sampled_from(["v1", "v2", "v3"]),
    "SetAsDefault": st.booleans(),
}
OPERATIONS = {
    "CreateUser": ("UserName", "PermissionsBoundary"),
    "UpdateUser": ("UserName", "NewUserName"),
    "DeleteUser": ("UserName",),
    "CreateGroup": ("GroupName",),
    "UpdateGroup": ("GroupName", "NewGroupName"),
    "DeleteGroup": ("GroupName",),
    "AddUserToGroup": ("UserName", "GroupName"),
    "RemoveUserFromGroup": ("UserName", "GroupName"),
    "CreateRole": ("RoleName", "AssumeRolePolicyDocument"),
    "DeleteRole": ("RoleName",),
    "CreateInstanceProfile": ("InstanceProfileName",),
    "DeleteInstanceProfile": ("InstanceProfileName",),
    "AddRoleToInstanceProfile": ("InstanceProfileName", "RoleName"),
    "RemoveRoleFromInstanceProfile": ("InstanceProfileName", "RoleName"),
    "CreatePolicy": ("PolicyName", "PolicyDocument"),
    "DeletePolicy": ("PolicyArn",),
    "CreatePolicyVersion": ("PolicyArn", "PolicyDocument", "SetAsDefault"),
    "DeletePolicyVersion": ("PolicyArn", "VersionId"),
    "AttachUserPolicy": ("UserName", "PolicyArn"),
    "DetachUserPolicy": ("UserName", "PolicyArn"),
    "AttachGroupPolicy": ("GroupName", "PolicyArn"),
    "DetachGroupPolicy": ("GroupName", "PolicyArn"),
    "AttachRolePolicy": ("RoleName", "PolicyArn"),
    "DetachRolePolicy": ("RoleName", "PolicyArn"),
    "PutUserPermissionsBoundary": ("UserName", "PermissionsBoundary"),
    "DeleteUserPermissionsBoundary": ("UserName",),
    "PutRolePermissionsBoundary": ("RoleName", "PermissionsBoundary"),
    "CreateAccessKey": ("UserName",),
}
CALLS = st.sampled_from(sorted(OPERATIONS)).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries({each: VALUES[each] for each in OPERATIONS[name]}))
)


FIRST = [
    ("CreateUser", {"UserName": "a"}),
    ("CreateGroup", {"GroupName": "a"}),
    ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": TRUST_LAMBDA}),
    ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": ALLOW}),
    ("CreateInstanceProfile", {"InstanceProfileName": "a"}),
]
REFUSALS = {"NoSuchEntity", "EntityAlreadyExists", "DeleteConflict", "LimitExceeded", "AccessDenied"}


def code_of(node: Node, operation: str, inp: dict[str, Any]) -> str:
    try:
        node.call(operation, inp)
    except AwsError as error:
        return error.code
    return ""


# Indexes, counters and rows are written by many operations; only all of them together keep the invariants, in any order.
@settings(max_examples=60, deadline=None)
@given(st.lists(CALLS, min_size=10, max_size=60))
def test_invariants_hold_after_any_program(calls: list[tuple[str, dict[str, Any]]]) -> None:
    node = Node()
    try:
        codes = {code_of(node, operation, inp) for operation, inp in [*FIRST, *calls]}
        assert codes <= REFUSALS | {""}
        assert node.broken() == []
    finally:
        node.close()
