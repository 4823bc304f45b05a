"""Handlers without a front door, each write run twice; the stored invariants are checked after every test."""

from __future__ import annotations

import json

import pytest

from tests.services.iam.driver import ACCOUNT, Node
from unkai.kernel.caller import service_caller
from unkai.kernel.errors import AwsError
from unkai.services.iam import SERVICES, identity, keys, rows, sessions, sources
from unkai.store.api import read_counter

ALLOW = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
TRUST_LAMBDA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    }
)
LAMBDA = service_caller("lambda.amazonaws.com", ACCOUNT)


def refusal(local: Node, operation: str, **inp: object) -> str:
    with pytest.raises(AwsError) as refused:
        local.call(operation, inp)
    return refused.value.code


# What a principal may do is its own policies, its groups' and its boundary; each must come back, once.
def test_policies_of_a_user(local: Node) -> None:
    own = local.call("CreatePolicy", {"PolicyName": "own", "PolicyDocument": ALLOW})["Policy"]["Arn"]
    local.call("CreateUser", {"UserName": "u", "PermissionsBoundary": ADMIN, "Tags": [{"Key": "a", "Value": "b"}]})
    local.call("CreateGroup", {"GroupName": "g"})
    local.call("AddUserToGroup", {"GroupName": "g", "UserName": "u"})
    local.call("AttachUserPolicy", {"UserName": "u", "PolicyArn": own})
    local.call("AttachGroupPolicy", {"GroupName": "g", "PolicyArn": own})
    local.call("AttachGroupPolicy", {"GroupName": "g", "PolicyArn": ADMIN})
    local.call("PutGroupPolicy", {"GroupName": "g", "PolicyName": "inline", "PolicyDocument": ALLOW})
    key = local.call("CreateAccessKey", {"UserName": "u"})["AccessKey"]["AccessKeyId"]
    found = local.policies(local.credential(key).caller)
    assert sorted(found.identity) == sorted([ALLOW, ALLOW, identity.aws_managed.text_of(ADMIN)])
    assert found.boundary == identity.aws_managed.text_of(ADMIN)
    assert found.principal_tags == {"a": "b"}


# Every change of a right or a credential must move the generation, or a worker would go on with revoked rights.
def test_every_write_moves_the_generation(local: Node) -> None:
    def generation() -> int:
        return read_counter(local.look(lambda tx: tx.get(identity.generation_key(ACCOUNT))))

    local.call("CreateUser", {"UserName": "u"})
    key = local.call("CreateAccessKey", {"UserName": "u"})["AccessKey"]["AccessKeyId"]
    local.call("CreateGroup", {"GroupName": "g"})
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA})
    arn = local.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": ALLOW})["Policy"]["Arn"]
    changes = [
        ("AddUserToGroup", {"GroupName": "g", "UserName": "u"}),
        ("PutUserPolicy", {"UserName": "u", "PolicyName": "i", "PolicyDocument": ALLOW}),
        ("DeleteUserPolicy", {"UserName": "u", "PolicyName": "i"}),
        ("AttachRolePolicy", {"RoleName": "r", "PolicyArn": arn}),
        ("CreatePolicyVersion", {"PolicyArn": arn, "PolicyDocument": ALLOW, "SetAsDefault": True}),
        ("SetDefaultPolicyVersion", {"PolicyArn": arn, "VersionId": "v1"}),
        ("PutRolePermissionsBoundary", {"RoleName": "r", "PermissionsBoundary": arn}),
        ("DeleteRolePermissionsBoundary", {"RoleName": "r"}),
        ("TagRole", {"RoleName": "r", "Tags": [{"Key": "k", "Value": "v"}]}),
        ("UpdateAccessKey", {"UserName": "u", "AccessKeyId": key, "Status": "Inactive"}),
        ("DeleteAccessKey", {"UserName": "u", "AccessKeyId": key}),
        ("RemoveUserFromGroup", {"GroupName": "g", "UserName": "u"}),
        ("UpdateUser", {"UserName": "u", "NewUserName": "v"}),
        ("DeleteUser", {"UserName": "v"}),
        ("DetachRolePolicy", {"RoleName": "r", "PolicyArn": arn}),
        ("UpdateAssumeRolePolicy", {"RoleName": "r", "PolicyDocument": TRUST_LAMBDA}),
        ("DeleteRole", {"RoleName": "r"}),
    ]
    for operation, inp in changes:
        before = generation()
        local.call(operation, inp)
        assert generation() > before, operation


# A role's session must lose its rights when the role is deleted, and not get those of a new role of that name.
def test_sessions_end_with_their_role(local: Node) -> None:
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA})
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    given = local.call("AssumeRole", {"RoleArn": role, "RoleSessionName": "s"}, LAMBDA)["Credentials"]
    caller = local.credential(given["AccessKeyId"], given["SessionToken"]).caller
    assert local.policies(caller).exists
    local.call("DeleteRole", {"RoleName": "r"})
    assert not local.policies(caller).exists
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA})
    assert not local.policies(caller).exists


# Temporary credentials end at their time, by node time, and are refused as expired and not as unknown.
def test_sessions_expire(local: Node) -> None:
    given = local.call("GetSessionToken", {"DurationSeconds": 900})["Credentials"]
    found = local.credential(given["AccessKeyId"], given["SessionToken"])
    assert (found.secret, found.expires_ms) == (given["SecretAccessKey"], given["Expiration"])
    assert found.caller.type == "Root"
    local.clock.advance(900_000)
    with pytest.raises(AwsError) as refused:
        local.credential(given["AccessKeyId"], given["SessionToken"])
    assert refused.value.code == "ExpiredToken"


# The packed size of policies and tags bounds the token, which travels in a header with every request.
def test_the_largest_session_fits_a_token(local: Node) -> None:
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA})
    inp: dict[str, object] = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r", "RoleSessionName": "s"}
    tags = [{"Key": f"{at:0128}", "Value": f"{at:0256}"} for at in range(50)]
    out = local.call("AssumeRole", {**inp, "Tags": tags}, LAMBDA)
    assert 0 < out["PackedPolicySize"] <= 100
    given = out["Credentials"]
    assert local.credential(given["AccessKeyId"], given["SessionToken"]).caller.session.tags[f"{7:0128}"] == f"{7:0256}"
    noise = local.ctx().ids
    tags = [{"Key": noise.hex(128), "Value": noise.hex(256)} for _ in range(50)]
    with pytest.raises(AwsError) as refused:
        local.call("AssumeRole", {**inp, "Tags": tags}, LAMBDA)
    assert refused.value.code == "PackedPolicyTooLarge"


# A trust policy means the user that it named, not the next one of that name; AWS shows the old one's id instead.
def test_a_deleted_user_is_not_trusted_again(local: Node) -> None:
    user = local.call("CreateUser", {"UserName": "u"})["User"]
    trust = TRUST_LAMBDA.replace('"Service": "lambda.amazonaws.com"', f'"AWS": "{user["Arn"]}"')
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": trust})
    local.call("DeleteUser", {"UserName": "u"})
    local.call("CreateUser", {"UserName": "u"})
    shown = local.call("GetRole", {"RoleName": "r"})["Role"]["AssumeRolePolicyDocument"]
    assert user["UserId"] in shown
    assert "user%2Fu" not in shown
    local.call("UpdateAssumeRolePolicy", {"RoleName": "r", "PolicyDocument": trust})
    assert "user%2Fu" in local.call("GetRole", {"RoleName": "r"})["Role"]["AssumeRolePolicyDocument"]


# Renaming moves keys, memberships and attachments along: the invariants after the test find what was forgotten.
def test_renaming_keeps_everything(local: Node) -> None:
    local.call("CreateUser", {"UserName": "u", "PermissionsBoundary": ADMIN})
    local.call("CreateGroup", {"GroupName": "g"})
    local.call("AddUserToGroup", {"GroupName": "g", "UserName": "u"})
    local.call("AttachUserPolicy", {"UserName": "u", "PolicyArn": ADMIN})
    local.call("AttachGroupPolicy", {"GroupName": "g", "PolicyArn": ADMIN})
    key = local.call("CreateAccessKey", {"UserName": "u"})["AccessKey"]["AccessKeyId"]
    local.call("UpdateUser", {"UserName": "u", "NewUserName": "v", "NewPath": "/x/"})
    local.call("UpdateGroup", {"GroupName": "g", "NewGroupName": "h"})
    local.call("UpdateUser", {"UserName": "v", "NewUserName": "V"})
    assert local.credential(key).caller.arn == f"arn:aws:iam::{ACCOUNT}:user/x/V"
    assert [user["UserName"] for user in local.call("GetGroup", {"GroupName": "h"})["Users"]] == ["V"]
    used = local.call("ListEntitiesForPolicy", {"PolicyArn": ADMIN})
    assert [user["UserName"] for user in used["PolicyUsers"]] == ["V"]
    assert [group["GroupName"] for group in used["PolicyGroups"]] == ["h"]


# A policy that is attached, or bounds somebody, cannot be deleted, nor can what still has policies, members or keys.
def test_deleting_what_is_in_use_is_refused(local: Node) -> None:
    arn = local.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": ALLOW})["Policy"]["Arn"]
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA, "PermissionsBoundary": arn})
    local.call("CreateInstanceProfile", {"InstanceProfileName": "i"})
    local.call("AddRoleToInstanceProfile", {"InstanceProfileName": "i", "RoleName": "r"})
    assert refusal(local, "DeletePolicy", PolicyArn=arn) == "DeleteConflict"
    assert refusal(local, "DeleteRole", RoleName="r") == "DeleteConflict"
    assert refusal(local, "DeleteInstanceProfile", InstanceProfileName="i") == "DeleteConflict"
    assert refusal(local, "AddRoleToInstanceProfile", InstanceProfileName="i", RoleName="r") == "LimitExceeded"
    local.call("RemoveRoleFromInstanceProfile", {"InstanceProfileName": "i", "RoleName": "r"})
    local.call("DeleteRole", {"RoleName": "r"})
    local.call("DeletePolicy", {"PolicyArn": arn})
    assert refusal(local, "GetPolicy", PolicyArn=arn) == "NoSuchEntity"


# Lists page by name, end exactly, and go on rightly where a path prefix leaves most of them out.
def test_paging(local: Node) -> None:
    for at in range(7):
        local.call("CreateUser", {"UserName": f"u{at}", "Path": "/odd/" if at % 2 else "/"})
    names: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = local.call("ListUsers", {"MaxItems": 2, **marker})
        names += [user["UserName"] for user in page["Users"]]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert names == [f"u{at}" for at in range(7)]
    page = local.call("ListUsers", {"PathPrefix": "/odd/", "MaxItems": 3})
    assert [user["UserName"] for user in page["Users"]] == ["u1", "u3", "u5"]
    assert not page["IsTruncated"]
    assert refusal(local, "ListUsers", Marker="x" * 300) == "ValidationError"


# Customers' policies come before AWS's, and paging through both finds each of them once.
def test_paging_over_both_kinds_of_policies(local: Node) -> None:
    for at in range(3):
        local.call("CreatePolicy", {"PolicyName": f"p{at}", "PolicyDocument": ALLOW})
    whole = [policy["Arn"] for policy in local.call("ListPolicies", {"MaxItems": 1000})["Policies"]]
    for size in (1, 3, 7):
        arns: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = local.call("ListPolicies", {"MaxItems": size, **marker})
            arns += [policy["Arn"] for policy in page["Policies"]]
            if not page["IsTruncated"]:
                break
            marker = {"Marker": page["Marker"]}
        assert arns == whole


# The account's details are four lists in one, paged as one; no page may lose or repeat an entity.
def test_paging_over_the_accounts_details(local: Node) -> None:
    local.call("CreateUser", {"UserName": "u"})
    local.call("CreateGroup", {"GroupName": "g"})
    local.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST_LAMBDA})
    local.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": ALLOW})
    local.call("AttachUserPolicy", {"UserName": "u", "PolicyArn": ADMIN})
    seen: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = local.call("GetAccountAuthorizationDetails", {"MaxItems": 1, **marker})
        for items in (page["UserDetailList"], page["GroupDetailList"], page["RoleDetailList"], page["Policies"]):
            seen += [item["Arn"].rpartition("/")[2] for item in items]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert seen == ["u", "g", "r", "p", "AdministratorAccess"]


# Names of other accounts, paths that do not fit and ARNs that are none must not reach a policy or a role.
def test_arns_that_name_nothing(local: Node) -> None:
    local.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": ALLOW, "Path": "/x/"})
    assert refusal(local, "GetPolicy", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/p") == "NoSuchEntity"
    assert refusal(local, "GetPolicy", PolicyArn="arn:aws:iam::210987654321:policy/x/p") == "NoSuchEntity"
    assert refusal(local, "GetPolicy", PolicyArn="arn:aws:iam::aws:policy/x/p") == "NoSuchEntity"
    assert refusal(local, "GetPolicy", PolicyArn="arn:aws:s3:::policy/x/p") == "InvalidInput"
    assert refusal(local, "GetPolicy", PolicyArn="arn:aws:iam::aws:policy/" + "x" * 2000) == "InvalidInput"
    assert refusal(local, "DeletePolicy", PolicyArn=ADMIN) == "AccessDenied"
    for arn in (f"arn:aws:iam::{ACCOUNT}:role/{'x' * 2000}", f"arn:aws:iam::{'1' * 2000}:role/r", "x" * 20):
        with pytest.raises(AwsError) as refused:
            local.call("AssumeRole", {"RoleArn": arn, "RoleSessionName": "s"}, LAMBDA)
        assert refused.value.code == "AccessDenied"


# A reason for a refusal is readable by the account that it belongs to, and by nobody else.
def test_authorization_messages(local: Node) -> None:
    decision = {"allowed": False, "explicitDeny": True}
    text = local.look(lambda tx: sessions.encode_authorization_message(local.ctx(), tx, decision))
    out = local.call("DecodeAuthorizationMessage", {"EncodedMessage": text})
    assert json.loads(out["DecodedMessage"]) == decision
    stranger = service_caller("x.amazonaws.com", "210987654321")
    with pytest.raises(AwsError):
        local.call("DecodeAuthorizationMessage", {"EncodedMessage": text}, stranger)


# Results of a simulation say where in a policy the statement stands; the text is a customer's, with any layout.
def test_statements_are_found_in_any_layout() -> None:
    one = '{"Effect":"Allow","Action":"a:b","Resource":"*"}'
    for text, expected in (
        (f'{{"Statement": [{one} ,\n {one}], "Version":"2012-10-17"}}', [one, one]),
        (f' {{ "Version" : "2012-10-17","Id":"x" , "Statement" : {one} }}', [one]),
    ):
        assert [text[begin:end] for begin, end in sources.statement_spans(text)] == expected
    assert sources.position("a\nbc", 3) == {"Line": 2, "Column": 2}


# The invariants are only worth something if they see what is broken.
def test_invariants_see_what_is_broken(local: Node) -> None:
    local.call("CreateUser", {"UserName": "u"})

    async def spoil(ctx: object, tx: object, inp: dict[str, object]) -> dict[str, object]:
        tx.set(keys.member(ACCOUNT, "ghosts", "u"), b"")  # type: ignore[attr-defined]
        tx.set(keys.use(ACCOUNT, "aws", "x", "user", "u"), b"u")  # type: ignore[attr-defined]
        tx.set(keys.access_key("AKIAX"), rows.encode(rows.KeyRow("AKIAX", ACCOUNT, "", 0)))  # type: ignore[attr-defined]
        tx.add(keys.count(ACCOUNT, "user"), 1)  # type: ignore[attr-defined]
        return {}

    fresh = Node(more=(spoil,))
    fresh.step(spoil, {})
    broken = " ".join(fresh.broken())
    fresh.close()
    assert all(number in broken for number in ("IAM-1", "IAM-2", "IAM-3", "IAM-4"))


# Every operation must be the model's, and the function must have its name, or neither grep nor the docs would find it.
def test_operations_are_the_models_and_functions_have_their_names() -> None:
    from botocore import xform_name

    from unkai.model.load import load_service

    for service in SERVICES:
        model = load_service(service.name)
        for name, operation in service.operations.items():
            assert name in model.operations
            assert operation.handler.__name__ == xform_name(name)
