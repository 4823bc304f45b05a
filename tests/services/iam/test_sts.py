"""Temporary credentials: who gets them, what they may do, and when they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.node import ACCOUNT
from tests.services.iam.test_enforcement import code_of

Make = Callable[..., Any]
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture
def role(iam: Any, name: str) -> Callable[..., str]:
    """role({"AWS": ...}) makes a role named `name` that trusts this principal and may do all; its ARN."""

    def make(principal: Any, suffix: str = "", **more: Any) -> str:
        actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        statement = {"Effect": "Allow", "Principal": principal, "Action": actions, **more}
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        arn: str = iam.create_role(RoleName=name + suffix, AssumeRolePolicyDocument=text)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name + suffix, PolicyName="all", PolicyDocument=json.dumps(ALL))
        return arn

    return make


# A trust policy that names the user is enough in its account; one that names the account delegates to the user's policies.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
def test_who_may_assume(role: Make, user: dict[str, Any], signed: Make, allow: Make) -> None:
    named = role({"AWS": user["Arn"]}, "-named")
    account = role({"AWS": ACCOUNT}, "-account")
    nobody = role({"Service": "lambda.amazonaws.com"}, "-lambda")
    own = signed("sts", user)
    assert code_of(own.assume_role, RoleArn=named, RoleSessionName="s1") == ""
    assert code_of(own.assume_role, RoleArn=account, RoleSessionName="s1") == "AccessDenied"
    allow("sts:AssumeRole")
    assert code_of(own.assume_role, RoleArn=account, RoleSessionName="s1") == ""
    assert code_of(own.assume_role, RoleArn=nobody, RoleSessionName="s1") == "AccessDenied"
    allow("sts:AssumeRole", named, effect="Deny")
    assert code_of(own.assume_role, RoleArn=named, RoleSessionName="s1") == "AccessDenied"


# Root may do nearly all, but roles are not for root, whatever they trust.
def test_root_assumes_no_role(role: Make, sts: Any) -> None:
    with pytest.raises(ClientError) as error:
        sts.assume_role(RoleArn=role({"AWS": "*"}), RoleSessionName="s1")
    assert error.value.response["Error"]["Message"] == "Roles may not be assumed by root accounts."


# A session is its role under a session's name; the token and the key belong together.
def test_a_session_and_its_token(role: Make, user: dict[str, Any], signed: Make, iam: Any, name: str) -> None:
    arn = role({"AWS": user["Arn"]})
    out = signed("sts", user).assume_role(RoleArn=arn, RoleSessionName="s1")
    given = out["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA")
    me = signed("sts", given).get_caller_identity()
    role_id = iam.get_role(RoleName=name)["Role"]["RoleId"]
    assert (me["UserId"], me["Arn"]) == (f"{role_id}:s1", f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/s1")
    assert out["AssumedRoleUser"] == {"AssumedRoleId": me["UserId"], "Arn": me["Arn"]}
    other = signed("sts", user).assume_role(RoleArn=arn, RoleSessionName="s2")["Credentials"]
    mixed = given | {"SessionToken": other["SessionToken"]}
    assert code_of(signed("sts", mixed).get_caller_identity) == "InvalidClientTokenId"
    bare = given | {"SessionToken": None}
    assert code_of(signed("sts", bare).get_caller_identity) == "InvalidClientTokenId"


# When the role is deleted its sessions are worth nothing from the next request on.
def test_a_deleted_roles_sessions(role: Make, user: dict[str, Any], signed: Make, iam: Any, name: str) -> None:
    arn = role({"AWS": user["Arn"]})
    session = signed("iam", signed("sts", user).assume_role(RoleArn=arn, RoleSessionName="s1")["Credentials"])
    assert code_of(session.list_groups) == ""
    iam.delete_role_policy(RoleName=name, PolicyName="all")
    assert code_of(session.list_groups) == "AccessDenied"
    iam.delete_role(RoleName=name)
    assert code_of(session.list_groups) == "InvalidClientTokenId"


# Sessions are revoked by a Deny on aws:TokenIssueTime, as the console's "revoke sessions" does.
def test_revoking_older_sessions(
    role: Make, user: dict[str, Any], signed: Make, iam: Any, name: str, advance: Callable[[float], None]
) -> None:
    arn = role({"AWS": user["Arn"]})
    session = signed("iam", signed("sts", user).assume_role(RoleArn=arn, RoleSessionName="s1")["Credentials"])
    assert code_of(session.list_groups) == ""
    advance(2)
    younger = signed("sts", user).assume_role(RoleArn=arn, RoleSessionName="s1")["Credentials"]
    begun = younger["Expiration"].timestamp() - 3600
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": str(int(begun))}},
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam.put_role_policy(RoleName=name, PolicyName="AWSRevokeOlderSessions", PolicyDocument=text)
    assert code_of(session.list_groups) == "AccessDenied"
    assert code_of(signed("iam", younger).list_groups) == ""


# A session may be given fewer rights than its role: what both allow. Managed policies count too.
def test_session_policies(role: Make, user: dict[str, Any], signed: Make) -> None:
    arn = role({"AWS": user["Arn"]})
    text = json.dumps(ALL).replace('"Action": "*"', '"Action": "iam:ListGroups"')
    managed = [{"arn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}]
    own = signed("sts", user)
    both = own.assume_role(RoleArn=arn, RoleSessionName="s1", Policy=text, PolicyArns=managed)
    assert both["PackedPolicySize"] > 0
    session = signed("iam", both["Credentials"])
    assert code_of(session.list_groups) == ""
    assert code_of(session.list_users) == "AccessDenied"
    only = own.assume_role(RoleArn=arn, RoleSessionName="s1", PolicyArns=managed)["Credentials"]
    assert code_of(signed("iam", only).list_groups) == "AccessDenied"
    none = [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/not-there"}]
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", PolicyArns=none) == "NoSuchEntity"
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", Policy="{") == "MalformedPolicyDocument"


# The external id is what a third party must know to use the role (the confused deputy's cure).
def test_external_id(role: Make, user: dict[str, Any], signed: Make) -> None:
    arn = role({"AWS": user["Arn"]}, Condition={"StringEquals": {"sts:ExternalId": "12345"}})
    own = signed("sts", user)
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", ExternalId="54321") == "AccessDenied"
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", ExternalId="12345") == ""


# Transitive tags and the source identity go down a chain of roles and cannot be replaced; a chained session has an hour.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
def test_chains(role: Make, user: dict[str, Any], signed: Make, iam: Any, name: str) -> None:
    first = role({"AWS": user["Arn"]}, "-1")
    second = role({"AWS": first}, "-2", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}})
    tags = [{"Key": "team", "Value": "red"}, {"Key": "mood", "Value": "good"}]
    own = signed("sts", user)
    plain = own.assume_role(RoleArn=first, RoleSessionName="s1", Tags=tags)["Credentials"]
    given = own.assume_role(
        RoleArn=first, RoleSessionName="s1", Tags=tags, TransitiveTagKeys=["team"], SourceIdentity="alice"
    )
    assert given["SourceIdentity"] == "alice"
    assert code_of(signed("sts", plain).assume_role, RoleArn=second, RoleSessionName="s2") == ""
    chained = signed("sts", given["Credentials"])
    onward = chained.assume_role(RoleArn=second, RoleSessionName="s2")
    assert onward["SourceIdentity"] == "alice"
    condition = {"StringEquals": {"aws:PrincipalTag/team": "red"}, "Null": {"aws:PrincipalTag/mood": "true"}}
    only = ALL["Statement"][0] | {"Condition": condition}  # type: ignore[index]
    text = json.dumps({"Version": "2012-10-17", "Statement": [only]})
    iam.put_role_policy(RoleName=f"{name}-2", PolicyName="all", PolicyDocument=text)
    assert code_of(signed("iam", onward["Credentials"]).list_groups) == ""
    blue = [{"Key": "Team", "Value": "blue"}]
    assert code_of(chained.assume_role, RoleArn=second, RoleSessionName="s2", Tags=blue) == "InvalidParameterValue"
    assert code_of(chained.assume_role, RoleArn=second, RoleSessionName="s2", SourceIdentity="eve") == "AccessDenied"
    iam.update_role(RoleName=f"{name}-2", MaxSessionDuration=7200)
    with pytest.raises(ClientError) as error:
        chained.assume_role(RoleArn=second, RoleSessionName="s2", DurationSeconds=7200)
    assert "role chaining" in error.value.response["Error"]["Message"]


# Who may assume the role may not tag the session unless sts:TagSession is allowed too, by the trust policy as well.
def test_tags_need_a_right(iam: Any, user: dict[str, Any], signed: Make, name: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "sts:AssumeRole"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=text)["Role"]["Arn"]
    own = signed("sts", user)
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1") == ""
    tags = [{"Key": "team", "Value": "red"}]
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", Tags=tags) == "AccessDenied"
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", SourceIdentity="alice") == "AccessDenied"


# Durations: fifteen minutes to what the role allows; past its end a session is refused as expired.
def test_durations(role: Make, user: dict[str, Any], signed: Make, advance: Callable[[float], None]) -> None:
    arn = role({"AWS": user["Arn"]})
    own = signed("sts", user)
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", DurationSeconds=899) == "ValidationError"
    assert code_of(own.assume_role, RoleArn=arn, RoleSessionName="s1", DurationSeconds=3601) == "ValidationError"
    given = own.assume_role(RoleArn=arn, RoleSessionName="s1", DurationSeconds=900)["Credentials"]
    session = signed("sts", given)
    advance(890)
    assert code_of(session.get_caller_identity) == ""
    advance(11)
    assert code_of(session.get_caller_identity) == "ExpiredToken"


# A session token has its user's rights, but not for IAM, and it cannot be renewed with itself.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
def test_get_session_token(user: dict[str, Any], signed: Make, allow: Make) -> None:
    allow("*")
    given = signed("sts", user).get_session_token()["Credentials"]
    assert signed("sts", given).get_caller_identity()["Arn"] == user["Arn"]
    assert code_of(signed("sqs", given).list_queues) == ""
    assert code_of(signed("iam", given).list_users) == "AccessDenied"
    assert code_of(signed("sts", given).get_session_token) == "AccessDenied"
    assert code_of(signed("sts", given).get_federation_token, Name="bob") == "AccessDenied"


# A federated user has what both its session policies and the user who asked allow; without session policies nothing.
def test_get_federation_token(user: dict[str, Any], signed: Make, allow: Make) -> None:
    allow(["sts:GetFederationToken", "sqs:ListQueues"])
    own = signed("sts", user)
    out = own.get_federation_token(Name="bob", Policy=json.dumps(ALL))
    assert out["FederatedUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
    bob = out["Credentials"]
    assert signed("sts", bob).get_caller_identity()["UserId"] == f"{ACCOUNT}:bob"
    assert code_of(signed("sqs", bob).list_queues) == ""
    assert code_of(signed("sqs", bob).create_queue, QueueName="x") == "AccessDenied"
    assert code_of(signed("iam", bob).list_users) == "AccessDenied"
    none = own.get_federation_token(Name="bob")["Credentials"]
    assert code_of(signed("sqs", none).list_queues) == "AccessDenied"


# GetCallerIdentity needs no right, GetAccessKeyInfo does; a made-up message cannot be decoded.
def test_small_operations(sts: Any, user: dict[str, Any], signed: Make, allow: Make) -> None:
    own = signed("sts", user)
    allow("sts:*", effect="Deny")
    assert own.get_caller_identity() | {"ResponseMetadata": None} == {
        "UserId": user["UserId"],
        "Account": ACCOUNT,
        "Arn": user["Arn"],
        "ResponseMetadata": None,
    }
    assert code_of(own.get_access_key_info, AccessKeyId=user["AccessKeyId"]) == "AccessDenied"
    assert sts.get_access_key_info(AccessKeyId=user["AccessKeyId"])["Account"] == ACCOUNT
    code = code_of(sts.decode_authorization_message, EncodedMessage="QUJDRA==")
    assert code == "InvalidAuthorizationMessageException"
    # boto3 does not sign the calls for web identities; AssumeRoot is signed.
    root = f"arn:aws:iam::{ACCOUNT}:root"
    task = {"arn": "arn:aws:iam::aws:policy/root-task/IAMDeleteRootUserCredentials"}
    assert code_of(sts.assume_root, TargetPrincipal=root, TaskPolicyArn=task) == "NotImplemented"
