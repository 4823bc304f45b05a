"""IAM's operations over the wire, with root's key: shapes, limits and wording."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}],
    }
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def refused(call: Any, **inp: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as error:
        call(**inp)
    answer = error.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


# AWS gives policy documents percent-encoded; boto3 decodes them, other clients do it themselves. Both must find what was put.
def test_documents_come_back_as_they_were(iam: Any, name: str) -> None:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=DOCUMENT)
    assert iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"] == json.loads(DOCUMENT)
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == json.loads(TRUST)
    arn = iam.create_policy(PolicyName=name, PolicyDocument=DOCUMENT)["Policy"]["Arn"]
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(DOCUMENT)
    with pytest.raises(ClientError):
        iam.get_policy_version(PolicyArn=arn, VersionId="v2")


# On the wire the document must be percent-encoded by RFC 3986 (%20 and not +), or every other SDK would read it wrongly.
def test_documents_are_percent_encoded(iam: Any, name: str) -> None:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    raw: list[bytes] = []
    iam.meta.events.register_last(
        "before-parse.iam.GetRole", lambda response_dict, **_: raw.append(response_dict["body"])
    )
    iam.get_role(RoleName=name)
    iam.meta.events.unregister("before-parse.iam.GetRole")
    assert b"%7B%22Version%22%3A%20%222012-10-17%22" in raw[0]


# A policy has at most five versions, numbers are never used again, and the default version stays until another is.
def test_versions(iam: Any, name: str) -> None:
    arn = iam.create_policy(PolicyName=name, PolicyDocument=DOCUMENT)["Policy"]["Arn"]
    for number in (2, 3, 4, 5):
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT, SetAsDefault=number == 3)
        assert made["PolicyVersion"]["VersionId"] == f"v{number}"
    assert refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=DOCUMENT)[0] == "LimitExceeded"
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v3") == (
        "DeleteConflict",
        "Cannot delete the default version of a policy.",
        409,
    )
    assert refused(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v5")
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)["PolicyVersion"]["VersionId"] == "v6"
    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [version["VersionId"] for version in listed] == ["v6", "v4", "v3", "v2", "v1"]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"


# Programs read these codes, statuses and sentences; Terraform decides by them whether a thing is gone.
def test_refusals_in_awss_words(iam: Any, name: str) -> None:
    missing = ("NoSuchEntity", f"The user with name {name} cannot be found.", 404)
    assert refused(iam.get_user, UserName=name) == missing
    assert refused(iam.get_role, RoleName=name)[1] == f"The role with name {name} cannot be found."
    iam.create_user(UserName=name)
    exists = ("EntityAlreadyExists", f"User with name {name.upper()} already exists.", 409)
    assert refused(iam.create_user, UserName=name.upper()) == exists
    iam.attach_user_policy(UserName=name, PolicyArn=ADMIN)
    attached = ("DeleteConflict", "Cannot delete entity, must detach all policies first.", 409)
    assert refused(iam.delete_user, UserName=name) == attached
    malformed = ("MalformedPolicyDocument", "Syntax errors in policy.", 400)
    assert refused(iam.put_user_policy, UserName=name, PolicyName="p", PolicyDocument="{") == malformed
    for _ in range(2):
        iam.create_access_key(UserName=name)
    limit = ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", 409)
    assert refused(iam.create_access_key, UserName=name) == limit
    assert refused(iam.create_user, UserName="a b")[0] == "ValidationError"
    assert refused(iam.create_login_profile, UserName=name, Password="x")[0] == "NotImplemented"


# Quotas on sizes do not count white space, and are on the sum of a principal's inline policies.
def test_policy_sizes(iam: Any, name: str) -> None:
    iam.create_user(UserName=name)

    def document(size: int) -> str:
        return DOCUMENT.replace("b/*", "b/" + "x" * size) + " " * 5000

    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(1000))
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(1500))
    too_large = ("LimitExceeded", f"Maximum policy size of 2048 bytes exceeded for user {name}", 409)
    assert refused(iam.put_user_policy, UserName=name, PolicyName="q", PolicyDocument=document(1000)) == too_large
    big = refused(iam.create_policy, PolicyName=name, PolicyDocument=document(6100))
    assert big == ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144", 409)
    trust = TRUST.replace("lambda", "lambda" + "x" * 50)
    long = json.dumps({"Version": "2012-10-17", "Statement": json.loads(trust)["Statement"] * 30})
    big = refused(iam.create_role, RoleName=name, AssumeRolePolicyDocument=long)
    assert big == ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048", 409)


# Tags replace those of the same key whatever its case, and a boundary shows where it is set.
def test_tags_and_boundary(iam: Any, name: str) -> None:
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "Team", "Value": "a"}], PermissionsBoundary=ADMIN
    )["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == ADMIN
    iam.tag_role(RoleName=name, Tags=[{"Key": "team", "Value": "b"}, {"Key": "cost", "Value": "c"}])
    tags = [{"Key": "cost", "Value": "c"}, {"Key": "team", "Value": "b"}]
    assert iam.list_role_tags(RoleName=name)["Tags"] == tags
    iam.untag_role(RoleName=name, TagKeys=["cost"])
    assert iam.get_role(RoleName=name)["Role"]["Tags"] == tags[1:]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert refused(iam.tag_role, RoleName=name, Tags=twice)[0] == "InvalidInput"


# Terraform makes service-linked roles and waits for their deletion by its task id.
def test_service_linked_roles(iam: Any) -> None:
    role = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="test")["Role"]
    assert role["RoleName"] == "AWSServiceRoleForAutoScaling_test"
    assert role["Path"] == "/aws-service-role/autoscaling.amazonaws.com/"
    assert refused(iam.delete_role, RoleName=role["RoleName"])[0] == "UnmodifiableEntity"
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    assert refused(iam.get_role, RoleName=role["RoleName"])[0] == "NoSuchEntity"


# The simulator must say what the real evaluation would say, and name the statement that decided.
def test_simulation(iam: Any, name: str) -> None:
    iam.create_user(UserName=name)
    condition = {"StringEquals": {"aws:SourceVpc": "vpc-1"}}
    statements = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*", "Condition": condition},
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=text)
    arn = iam.get_user(UserName=name)["User"]["Arn"]
    actions = ["s3:GetObject", "s3:DeleteObject", "sqs:SendMessage", "sns:Publish"]
    results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)["EvaluationResults"]
    decisions = [result["EvalDecision"] for result in results]
    assert decisions == ["allowed", "explicitDeny", "implicitDeny", "implicitDeny"]
    assert results[2]["MissingContextValues"] == ["aws:SourceVpc"]
    matched = results[1]["MatchedStatements"][0]
    assert matched["SourcePolicyId"] == f"user_{name}_p"
    begin = matched["StartPosition"]["Column"] - 1
    assert text[begin:].startswith('{"Effect": "Deny"')
    entries = [{"ContextKeyName": "aws:sourcevpc", "ContextKeyValues": ["vpc-1"], "ContextKeyType": "string"}]
    given = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["sqs:SendMessage"], ContextEntries=entries)
    assert given["EvaluationResults"][0]["EvalDecision"] == "allowed"
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)["ContextKeyNames"] == ["aws:SourceVpc"]
    two = iam.simulate_custom_policy(
        PolicyInputList=[DOCUMENT], ActionNames=["s3:GetObject"], ResourceArns=["arn:aws:s3:::b/k", "arn:aws:s3:::c/k"]
    )["EvaluationResults"]
    assert [each["EvalResourceDecision"] for each in two[0]["ResourceSpecificResults"]] == ["allowed", "implicitDeny"]
    assert two[0]["EvalDecision"] == "implicitDeny"


# The policies that applications attach most must be there, parse, and give what their names say.
def test_aws_managed_policies(iam: Any) -> None:
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    arns = {policy["PolicyName"]: policy["Arn"] for page in pages for policy in page["Policies"]}
    execution = arns["AWSLambdaSQSQueueExecutionRole"]
    assert execution == "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"

    def decide(policy: str, action: str) -> str:
        version = iam.get_policy_version(PolicyArn=arns[policy], VersionId="v1")["PolicyVersion"]
        text = json.dumps(version["Document"])
        result = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=[action])["EvaluationResults"][0]
        return str(result["EvalDecision"])

    assert decide("AWSLambdaSQSQueueExecutionRole", "sqs:DeleteMessage") == "allowed"
    assert decide("PowerUserAccess", "iam:CreateUser") == "implicitDeny"
    assert decide("ReadOnlyAccess", "s3:PutObject") == "implicitDeny"
    for name in arns:
        assert decide(name, "organizations:LeaveOrganization") in (
            "allowed" if name == "AdministratorAccess" else "implicitDeny"
        )


# Terraform's user and role resources read and delete in this order; every call of it must have an answer.
def test_what_terraform_asks_before_it_deletes_a_user(iam: Any, name: str) -> None:
    iam.create_user(UserName=name)
    assert iam.list_mfa_devices(UserName=name)["MFADevices"] == []
    assert iam.list_ssh_public_keys(UserName=name)["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName=name)["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName=name)["ServiceSpecificCredentials"] == []
    assert refused(iam.delete_login_profile, UserName=name)[0] == "NoSuchEntity"
    iam.delete_user(UserName=name)


# An account has one alias, which a second one replaces.
def test_account_alias(iam: Any, name: str) -> None:
    iam.create_account_alias(AccountAlias=name)
    assert iam.list_account_aliases()["AccountAliases"] == [name]
    iam.delete_account_alias(AccountAlias=name)
    assert iam.list_account_aliases()["AccountAliases"] == []
    assert refused(iam.delete_account_alias, AccountAlias=name)[0] == "NoSuchEntity"
