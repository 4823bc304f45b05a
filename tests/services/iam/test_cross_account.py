"""Roles between two accounts of one node, decided by the authorizer that the front door uses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.services.iam.driver import ACCOUNT, Node
from unkai.calls.authorize import Authorizer, Identity
from unkai.kernel.caller import Caller
from unkai.kernel.errors import AwsError
from unkai.services.iam import STS, identity
from unkai.services.iam.sessions import assume_role_access

OTHER = "210987654321"
OTHER_ROOT = Caller("Root", OTHER, f"arn:aws:iam::{OTHER}:root", OTHER, "AKIAOTHEROTHEROTHER1")
ALLOW = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}})
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


@pytest.fixture
def visitor(local: Node) -> Caller:
    """A user of another account."""
    inp = {"account": OTHER, "access_key_id": OTHER_ROOT.access_key_id, "secret": "s" * 40}
    local.step(identity.bootstrap, inp)
    local.call("CreateUser", {"UserName": "visitor"}, OTHER_ROOT)
    key = local.call("CreateAccessKey", {"UserName": "visitor"}, OTHER_ROOT)["AccessKey"]
    caller: Caller = local.credential(key["AccessKeyId"]).caller
    return caller


def assume(local: Node, caller: Caller) -> Any:
    """The session, or the code of the refusal."""
    authorizer = Authorizer(Identity(identity.generation_key, identity.credential, identity.principal_policies))
    inp = {"RoleArn": ROLE, "RoleSessionName": "s1"}
    ctx = local.ctx(caller)
    try:
        local.look(lambda tx: authorizer.check(tx, STS, ctx, assume_role_access(ctx, inp)))
        given = local.call("AssumeRole", inp, caller)["Credentials"]
    except AwsError as error:
        return error.code
    return local.credential(given["AccessKeyId"], given["SessionToken"]).caller


def trust(local: Node, principal: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    try:
        local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": document})
    except AwsError:
        local.call("UpdateAssumeRolePolicy", {"RoleName": "r", "PolicyDocument": document})


# Between accounts both sides must allow, also where the trust policy names the user itself; the session is the role's account's.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
def test_both_accounts_must_allow(local: Node, visitor: Caller) -> None:
    trust(local, visitor.arn)
    assert assume(local, visitor) == "AccessDenied"
    local.call("PutUserPolicy", {"UserName": "visitor", "PolicyName": "p", "PolicyDocument": ALLOW}, OTHER_ROOT)
    session = assume(local, visitor)
    assert (session.account, session.arn) == (ACCOUNT, ROLE)
    trust(local, f"arn:aws:iam::{ACCOUNT}:root")
    assert assume(local, visitor) == "AccessDenied"
    trust(local, f"arn:aws:iam::{OTHER}:root")
    assert assume(local, visitor).account == ACCOUNT


# Entities of two accounts with the same name are different ones; deleting one leaves the other.
def test_accounts_do_not_see_each_other(local: Node, visitor: Caller) -> None:
    local.call("CreateUser", {"UserName": "visitor"})
    local.call("DeleteUser", {"UserName": "visitor"})
    assert [user["UserName"] for user in local.call("ListUsers", {}, OTHER_ROOT)["Users"]] == ["visitor"]
    assert local.call("ListUsers", {})["Users"] == []
    with pytest.raises(AwsError):
        local.call("ListAccessKeys", {"UserName": "visitor"})
    with pytest.raises(AwsError):
        local.call("GetAccessKeyLastUsed", {"AccessKeyId": visitor.access_key_id})


# A trust policy is bound to the user of that moment in another account of the node, too.
def test_a_deleted_visitor_is_not_trusted_again(local: Node, visitor: Caller) -> None:
    trust(local, visitor.arn)
    key = local.call("ListAccessKeys", {"UserName": "visitor"}, OTHER_ROOT)["AccessKeyMetadata"][0]["AccessKeyId"]
    local.call("DeleteAccessKey", {"UserName": "visitor", "AccessKeyId": key}, OTHER_ROOT)
    local.call("DeleteUser", {"UserName": "visitor"}, OTHER_ROOT)
    local.call("CreateUser", {"UserName": "visitor"}, OTHER_ROOT)
    local.call("PutUserPolicy", {"UserName": "visitor", "PolicyName": "p", "PolicyDocument": ALLOW}, OTHER_ROOT)
    again = local.call("CreateAccessKey", {"UserName": "visitor"}, OTHER_ROOT)["AccessKey"]["AccessKeyId"]
    assert assume(local, local.credential(again).caller) == "AccessDenied"
