"""What a user may do, tried with the user's own key: rights that come, rights that go, and the ways around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Make = Callable[..., Any]


def code_of(call: Any, **inp: Any) -> str:
    """The error's code, or empty where the call succeeds."""
    try:
        call(**inp)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


# A right holds from the next request on, and is gone with the next request after it was taken away.
def test_rights_come_and_go_at_once(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    own = signed("iam", user)
    assert code_of(own.list_users) == "AccessDenied"
    allow("iam:ListUsers")
    assert code_of(own.list_users) == ""
    iam.delete_user_policy(UserName=name, PolicyName="p0")
    assert code_of(own.list_users) == "AccessDenied"
    iam.update_access_key(UserName=name, AccessKeyId=user["AccessKeyId"], Status="Inactive")
    assert code_of(own.get_user) == "InvalidClientTokenId"


# The message names who, what and why, in AWS's words; people search for it.
def test_the_refusals_wording(user: dict[str, Any], signed: Make) -> None:
    with pytest.raises(ClientError) as error:
        signed("iam", user).list_roles()
    assert error.value.response["Error"]["Message"] == (
        f"User: {user['Arn']} is not authorized to perform: iam:ListRoles on resource: * "
        "because no identity-based policy allows the iam:ListRoles action"
    )


# An input names users without their path, but policies name them with it. A Deny on a path must bind all the same.
def test_a_path_in_a_policy_binds(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    iam.create_user(UserName=f"{name}-boss", Path="/bosses/")
    own = signed("iam", user)
    allow("iam:*")
    assert code_of(own.tag_user, UserName=f"{name}-boss", Tags=[{"Key": "a", "Value": "b"}]) == ""
    allow("iam:*", "arn:aws:iam::*:user/bosses/*", effect="Deny")
    assert code_of(own.tag_user, UserName=f"{name}-boss", Tags=[{"Key": "a", "Value": "b"}]) == "AccessDenied"
    assert code_of(own.create_access_key, UserName=f"{name.upper()}-BOSS") == "AccessDenied"


# Delegated administration: roles may be made only with a boundary, and that boundary may not be taken off.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
def test_a_boundary_can_be_demanded(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
    arn = iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
    trust = text.replace('"Resource": "*"', '"Principal": {"AWS": "*"}').replace("s3:*", "sts:AssumeRole")
    allow(["iam:CreateRole", "iam:AttachRolePolicy"], StringEquals={"iam:PermissionsBoundary": arn})
    own = signed("iam", user)
    assert code_of(own.create_role, RoleName=name, AssumeRolePolicyDocument=trust) == "AccessDenied"
    assert code_of(own.create_role, RoleName=name, AssumeRolePolicyDocument=trust, PermissionsBoundary=arn) == ""
    assert code_of(own.attach_role_policy, RoleName=name, PolicyArn=arn) == ""
    assert code_of(own.delete_role_permissions_boundary, RoleName=name) == "AccessDenied"
    iam.delete_role_permissions_boundary(RoleName=name)
    assert code_of(own.attach_role_policy, RoleName=name, PolicyArn=arn) == "AccessDenied"


# A boundary limits what other policies give; by itself it gives nothing.
def test_a_boundary_limits(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    allow("iam:*")
    own = signed("iam", user)
    assert code_of(own.list_groups) == ""
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    assert code_of(own.list_groups) == "AccessDenied"
    iam.delete_user_permissions_boundary(UserName=name)
    assert code_of(own.list_groups) == ""


# Rights by tags: on the resource, on the principal, and in the request. Tags at creation need the right to tag.
def test_conditions_on_tags(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    iam.create_user(UserName=f"{name}-a", Tags=[{"Key": "team", "Value": "red"}])
    iam.tag_user(UserName=name, Tags=[{"Key": "team", "Value": "red"}])
    own = signed("iam", user)
    allow("iam:UpdateUser", StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})
    assert code_of(own.update_user, UserName=f"{name}-a", NewPath="/x/") == ""
    iam.tag_user(UserName=name, Tags=[{"Key": "team", "Value": "blue"}])
    assert code_of(own.update_user, UserName=f"{name}-a", NewPath="/y/") == "AccessDenied"
    allow("iam:CreateGroup")
    allow("iam:CreateUser", StringEquals={"aws:RequestTag/team": "red"})
    red = [{"Key": "team", "Value": "red"}]
    assert code_of(own.create_user, UserName=f"{name}-b", Tags=red) == "AccessDenied"
    allow("iam:TagUser")
    assert code_of(own.create_user, UserName=f"{name}-b", Tags=red) == ""
    assert code_of(own.create_user, UserName=f"{name}-c") == "AccessDenied"


# A group's policies are its members'; who leaves the group loses them.
def test_groups(iam: Any, user: dict[str, Any], signed: Make, name: str) -> None:
    iam.create_group(GroupName=name)
    iam.attach_group_policy(GroupName=name, PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    own = signed("iam", user)
    iam.add_user_to_group(GroupName=name, UserName=name)
    assert code_of(own.list_roles) == ""
    assert code_of(own.delete_group, GroupName=name) == "AccessDenied"
    iam.remove_user_from_group(GroupName=name, UserName=name)
    assert code_of(own.list_roles) == "AccessDenied"


# The caller itself is meant where a call names no user; a policy with ${aws:username} lets people keep their own keys.
def test_ones_own_keys(user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    allow("iam:*AccessKey*", "arn:aws:iam::*:user/people/${aws:username}")
    own = signed("iam", user)
    assert [key["AccessKeyId"] for key in own.list_access_keys()["AccessKeyMetadata"]] == [user["AccessKeyId"]]
    second = own.create_access_key()["AccessKey"]
    assert code_of(own.list_access_keys, UserName="somebody-else") == "AccessDenied"
    own.delete_access_key(AccessKeyId=second["AccessKeyId"])
    assert code_of(signed("iam", second).list_access_keys) == "InvalidClientTokenId"


# Who puts a role into an instance profile passes it to EC2, and needs iam:PassRole for it.
def test_pass_role(iam: Any, user: dict[str, Any], signed: Make, allow: Make, name: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    text = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = iam.create_role(RoleName=name, Path="/app/", AssumeRolePolicyDocument=text)["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName=name)
    own = signed("iam", user)
    allow("iam:AddRoleToInstanceProfile")
    inp = {"InstanceProfileName": name, "RoleName": name}
    assert code_of(own.add_role_to_instance_profile, **inp) == "AccessDenied"
    allow("iam:PassRole", role, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    assert code_of(own.add_role_to_instance_profile, **inp) == ""
