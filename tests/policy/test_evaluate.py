"""Who may do what: AWS's documented cases, and a slow evaluator written straight from the page to compare with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unkai.kernel.caller import Caller, Session, anonymous, service_caller
from unkai.policy.context import Given
from unkai.policy.document import Kind, parse
from unkai.policy.evaluate import CompiledSet, Decision, Request, compile, denied_message, evaluate, evaluate_trust

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = Caller("User", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/ann")
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/examplerole"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/examplerole/s"
ROLE = Caller("AssumedRole", ACCOUNT, ROLE_ARN, session=Session("s", 0, 1), session_arn=SESSION_ARN)
FEDERATED_ARN = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
FEDERATED = Caller("FederatedUser", ACCOUNT, USER.arn, session=Session("bob", 0, 1), session_arn=FEDERATED_ARN)
SNS = service_caller("sns.amazonaws.com", ACCOUNT, f"arn:aws:sns:r:{ACCOUNT}:t")
BUCKET = "arn:aws:s3:::b/k"
ACTION = "s3:GetObject"


def policies(kind: Kind, *statements: dict[str, Any]) -> CompiledSet:
    return compile([parse(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), kind)])


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    given = {"Effect": effect, "Action": "s3:*", "Resource": "*", **more}
    return {key: value for key, value in given.items() if value is not None}


NONE = compile([])
ALLOWS = policies("identity", statement())
DENIES = policies("identity", statement("Deny"))


def ask(
    principal: Caller,
    identity: CompiledSet = NONE,
    boundary: CompiledSet | None = None,
    session: CompiledSet | None = None,
    resource: CompiledSet | None = None,
    *,
    account: str = ACCOUNT,
    context: dict[str, Any] | None = None,
    action: str = ACTION,
    arn: str = BUCKET,
) -> Decision:
    request = Request(principal, action, arn, Given(context or {}), account)
    return evaluate(request, identity, boundary, session, resource)


def bucket_policy(principal: Any, effect: str = "Allow", **more: Any) -> CompiledSet:
    return policies("resource", statement(effect, Principal=principal, **more))


# The default is no; one allow is yes; a deny beats it; a boundary and session policies can only take away.
@pytest.mark.parametrize(
    ("identity", "boundary", "session", "allowed", "policy_type"),
    [
        (NONE, None, None, False, "identity"),
        (ALLOWS, None, None, True, "identity"),
        (ALLOWS, ALLOWS, ALLOWS, True, "identity"),
        (ALLOWS, NONE, None, False, "boundary"),
        (ALLOWS, ALLOWS, NONE, False, "session"),
        (NONE, ALLOWS, ALLOWS, False, "identity"),
        (policies("identity", statement(), statement("Deny", Action="s3:Get*")), None, None, False, "identity"),
        (ALLOWS, DENIES, None, False, "boundary"),
        (ALLOWS, None, DENIES, False, "session"),
    ],
)
def test_own_policies(
    identity: CompiledSet, boundary: CompiledSet | None, session: CompiledSet | None, allowed: bool, policy_type: str
) -> None:
    decision = ask(ROLE, identity, boundary, session)
    assert (decision.allowed, decision.policy_type) == (allowed, policy_type)


# The table "Resource-based policies and implicit denies in other policy types (same account)": each row has no Allow in any
# other policy, and a boundary and session policies that allow nothing.
@pytest.mark.parametrize(
    ("principal", "named", "allowed"),
    [
        (ROLE, {"AWS": ROLE_ARN}, False),
        (ROLE, {"AWS": SESSION_ARN}, True),
        (USER, {"AWS": USER.arn}, True),
        (FEDERATED, {"AWS": USER.arn}, False),
        (FEDERATED, {"AWS": FEDERATED_ARN}, True),
        (ROOT, {"AWS": ROOT.arn}, True),
        (SNS, {"Service": "sns.amazonaws.com"}, True),
        (ROLE, "*", True),
        (ROLE, {"AWS": ACCOUNT}, False),
        (USER, {"AWS": ROOT.arn}, False),
        (USER, {"AWS": ROLE_ARN}, False),
        (anonymous(), "*", True),
        (anonymous(), {"AWS": ACCOUNT}, False),
        (SNS, {"Service": "sqs.amazonaws.com"}, False),
        (SNS, {"AWS": ACCOUNT}, False),
    ],
)
def test_whom_the_resource_policy_names(principal: Caller, named: Any, allowed: bool) -> None:
    assert ask(principal, NONE, NONE, NONE, bucket_policy(named)).allowed is allowed


# A role that the resource's policy names needs no identity policy; the boundary and the session still bind it.
def test_role_arn_is_enough_without_limits() -> None:
    named = bucket_policy({"AWS": ROLE_ARN})
    assert ask(ROLE, resource=named).allowed
    assert ask(ROLE, NONE, ALLOWS, ALLOWS, named).allowed
    assert ask(ROLE, NONE, NONE, ALLOWS, named).policy_type == "boundary"
    assert ask(ROLE, NONE, ALLOWS, NONE, named).policy_type == "session"


# Naming the account hands the decision to the account: its identity policies must allow as well.
def test_account_delegates() -> None:
    named = bucket_policy({"AWS": ACCOUNT})
    assert not ask(USER, NONE, resource=named).allowed
    assert ask(USER, ALLOWS, resource=named).allowed


# Between accounts both sides must allow, however closely the resource's policy names the caller.
@pytest.mark.parametrize("named", [{"AWS": ACCOUNT}, {"AWS": ROLE_ARN}, {"AWS": SESSION_ARN}, "*"])
def test_cross_account(named: Any) -> None:
    assert ask(ROLE, ALLOWS, resource=bucket_policy(named), account=OTHER).allowed
    assert ask(ROLE, NONE, resource=bucket_policy(named), account=OTHER).policy_type == "identity"
    refused = ask(ROLE, ALLOWS, resource=None, account=OTHER)
    assert (refused.allowed, refused.policy_type) == (False, "resource")
    assert not ask(ROLE, ALLOWS, NONE, None, bucket_policy(named), account=OTHER).allowed
    assert not ask(ROLE, ALLOWS, None, NONE, bucket_policy(named), account=OTHER).allowed


def test_root() -> None:
    assert ask(ROOT).allowed
    assert not ask(ROOT, resource=bucket_policy("*", "Deny")).allowed
    assert not ask(ROOT, account=OTHER).allowed
    assert ask(ROOT, resource=bucket_policy({"AWS": ACCOUNT}), account=OTHER).allowed


# The confused deputy: a service acts for a topic, and the queue's policy says for which.
def test_service_with_source() -> None:
    condition = {
        "ArnLike": {"aws:SourceArn": f"arn:aws:sns:*:{ACCOUNT}:t"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }
    policy = bucket_policy({"Service": "sns.amazonaws.com"}, Condition=condition)
    good = {"aws:SourceArn": f"arn:aws:sns:r:{ACCOUNT}:t", "aws:SourceAccount": ACCOUNT}
    assert ask(SNS, resource=policy, context=good).allowed
    assert not ask(SNS, resource=policy, context={**good, "aws:SourceArn": f"arn:aws:sns:r:{OTHER}:t"}).allowed
    assert not ask(SNS, ALLOWS).allowed


# NotPrincipal spares only those listed with their account.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
def test_not_principal() -> None:
    listed = {"AWS": [USER.arn, ACCOUNT]}
    policy = policies("resource", statement("Deny", NotPrincipal=listed, Principal=None))
    assert ask(USER, ALLOWS, resource=policy).allowed
    assert not ask(ROLE, ALLOWS, resource=policy).allowed
    assert not ask(anonymous(), resource=policy).allowed
    roles = {"AWS": [ROLE_ARN, SESSION_ARN, ACCOUNT]}
    assert ask(ROLE, ALLOWS, resource=policies("resource", statement("Deny", NotPrincipal=roles))).allowed
    only_role = {"AWS": [ROLE_ARN, ACCOUNT]}
    assert not ask(ROLE, ALLOWS, resource=policies("resource", statement("Deny", NotPrincipal=only_role))).allowed


# Actions ignore case, resources do not; the Not forms mean all others.
@pytest.mark.parametrize(
    ("given", "action", "arn", "allowed"),
    [
        ({"Action": "S3:GETobject"}, "s3:GetObject", BUCKET, True),
        ({"Action": "s3:Get*"}, "s3:GetObject", BUCKET, True),
        ({"Action": "s3:Put*"}, "s3:GetObject", BUCKET, False),
        ({"Action": "*"}, "sqs:SendMessage", BUCKET, True),
        ({"Action": "*:Get*"}, "s3:GetObject", BUCKET, True),
        ({"Action": "s3:?etObject"}, "s3:GetObject", BUCKET, True),
        ({"Action": None, "NotAction": "s3:Put*"}, "s3:GetObject", BUCKET, True),
        ({"Action": None, "NotAction": ["s3:Put*", "s3:Get*"]}, "s3:GetObject", BUCKET, False),
        ({"Resource": "arn:aws:s3:::B/k"}, "s3:GetObject", BUCKET, False),
        ({"Resource": "arn:aws:s3:::b/*"}, "s3:GetObject", BUCKET, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::b/*"}, "s3:GetObject", BUCKET, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::c/*"}, "s3:GetObject", BUCKET, True),
        ({"Resource": None, "NotResource": "*"}, "s3:GetObject", BUCKET, False),
        ({"Resource": "arn:aws:s3:::b/${aws:username}"}, "s3:GetObject", "arn:aws:s3:::b/ann", True),
        ({"Resource": "arn:aws:s3:::b/${aws:username}"}, "s3:GetObject", "arn:aws:s3:::b/bob", False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, "s3:GetObject", "arn:aws:s3:::b/", False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, "s3:GetObject", BUCKET, False),
    ],
)
def test_actions_and_resources(given: dict[str, Any], action: str, arn: str, allowed: bool) -> None:
    decision = ask(
        USER, policies("identity", statement(**given)), action=action, arn=arn, context={"aws:username": "ann"}
    )
    assert decision.allowed is allowed


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html: Carlos has an
# identity policy for his logs, the bucket's policy lets him list; a deny in the bucket's policy beats both.
def test_carlos() -> None:
    carlos = Caller("User", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/carlossalazar")
    logs = "arn:aws:s3:::amzn-s3-demo-bucket-carlossalazar-logs"
    identity = policies("identity", statement(Action="s3:ListAllMyBuckets"), statement(Resource=[logs, f"{logs}/*"]))
    bucket = bucket_policy({"AWS": carlos.arn}, Action="s3:List*", Resource=logs)
    assert ask(carlos, identity, resource=bucket, action="s3:PutObject", arn=f"{logs}/x").allowed
    assert ask(carlos, NONE, resource=bucket, action="s3:ListBucket", arn=logs).allowed
    assert not ask(carlos, NONE, resource=bucket, action="s3:PutObject", arn=f"{logs}/x").allowed
    denying = bucket_policy({"AWS": carlos.arn}, "Deny")
    assert ask(carlos, identity, resource=denying, action="s3:PutObject", arn=f"{logs}/x").explicit_deny


# A role's trust policy must always allow. Naming the user is enough within the account; naming the account is not.
def test_trust() -> None:
    assume = policies("identity", {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE_ARN})

    def may(principal: Caller, identity: CompiledSet, named: Any, account: str = ACCOUNT, **more: Any) -> Decision:
        trust = policies("trust", {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": named, **more})
        return evaluate_trust(
            Request(principal, "sts:AssumeRole", ROLE_ARN, Given({}), account), identity, None, None, trust
        )

    assert may(USER, NONE, {"AWS": USER.arn}).allowed
    assert may(USER, assume, {"AWS": ACCOUNT}).allowed
    assert not may(USER, NONE, {"AWS": ACCOUNT}).allowed
    refused = may(USER, assume, {"AWS": OTHER})
    assert (refused.allowed, refused.policy_type) == (False, "trust")
    assert not may(USER, NONE, {"AWS": USER.arn}, OTHER).allowed
    assert may(USER, assume, {"AWS": USER.arn}, OTHER).allowed
    assert may(service_caller("lambda.amazonaws.com", ACCOUNT), NONE, {"Service": "lambda.amazonaws.com"}).allowed
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/example.com"
    assert may(Caller("FederatedUser", ACCOUNT, provider), NONE, {"Federated": provider}).allowed
    assert not may(Caller("FederatedUser", ACCOUNT, provider), NONE, {"Federated": "other"}).allowed
    external = {"StringEquals": {"sts:ExternalId": "x"}}
    assert not may(USER, assume, {"AWS": USER.arn}, Condition=external).allowed


# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
def test_denied_messages() -> None:
    who = f"User: {SESSION_ARN} is not authorized to perform: s3:GetObject on resource: {BUCKET}"
    request = Request(ROLE, ACTION, BUCKET, Given({}), ACCOUNT)

    def message(decision: Decision) -> str:
        return denied_message(decision, request)

    assert message(ask(ROLE)) == f"{who} because no identity-based policy allows the s3:GetObject action"
    assert message(ask(ROLE, DENIES)) == f"{who} with an explicit deny in an identity-based policy"
    assert message(ask(ROLE, ALLOWS, NONE)) == f"{who} because no permissions boundary allows the s3:GetObject action"
    assert message(ask(ROLE, ALLOWS, DENIES)) == f"{who} with an explicit deny in a permissions boundary"
    assert message(ask(ROLE, ALLOWS, None, NONE)) == f"{who} because no session policy allows the s3:GetObject action"
    assert message(ask(ROLE, ALLOWS, None, DENIES)) == f"{who} with an explicit deny in a session policy"
    assert (
        message(ask(ROLE, ALLOWS, account=OTHER))
        == f"{who} because no resource-based policy allows the s3:GetObject action"
    )
    denied = ask(ROLE, ALLOWS, resource=bucket_policy("*", "Deny"))
    assert message(denied) == f"{who} with an explicit deny in a resource-based policy"


# --- The slow evaluator: the page's rules over raw JSON, with nothing indexed and nothing remembered. ---


def glob(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def slow_applies(given: dict[str, Any], action: str, arn: str, tag: str | None) -> bool:
    actions = given.get("Action", given.get("NotAction"))
    if any(glob(each.lower(), action.lower()) for each in actions) == ("NotAction" in given):
        return False
    resources = given.get("Resource", given.get("NotResource"))
    if any(glob(each, arn) for each in resources) == ("NotResource" in given):
        return False
    if "Condition" in given:
        ((operator, keys),) = given["Condition"].items()
        wanted = keys["a:tag"]
        equal = tag == wanted
        return {"StringEquals": equal, "StringNotEquals": not equal, "StringEqualsIfExists": tag is None or equal}[
            operator
        ]
    return True


def slow_closeness(given: dict[str, Any], principal: Caller) -> int:
    named = given["Principal"]
    if named == "*":
        return 3
    if principal.type == "Service":
        return 3 if named.get("Service") == principal.arn else 0
    if principal.type == "Anonymous" or "AWS" not in named:
        return 0
    if named["AWS"] == (principal.session_arn or principal.arn) or (
        principal.type == "Root" and named["AWS"] == principal.account
    ):
        return 3
    if named["AWS"] == principal.arn:
        return 2
    return 1 if named["AWS"] == principal.account else 0


def slow_evaluate(
    principal: Caller,
    identity: list[dict[str, Any]],
    boundary: list[dict[str, Any]] | None,
    session: list[dict[str, Any]] | None,
    resource: list[dict[str, Any]] | None,
    same: bool,
    action: str,
    arn: str,
    tag: str | None,
) -> bool:
    def hits(statements: list[dict[str, Any]] | None, effect: str) -> list[dict[str, Any]]:
        return [each for each in statements or [] if each["Effect"] == effect and slow_applies(each, action, arn, tag)]

    own = principal.type not in ("Service", "Anonymous", "Root")
    if own and (hits(identity, "Deny") or hits(boundary, "Deny") or hits(session, "Deny")):
        return False
    if any(slow_closeness(each, principal) for each in hits(resource, "Deny")):
        return False
    grant = max((slow_closeness(each, principal) for each in hits(resource, "Allow")), default=0)
    if principal.type in ("Service", "Anonymous"):
        return grant == 3
    if principal.type == "Root":
        return same or grant > 0
    limits = (boundary is None or bool(hits(boundary, "Allow"))) and (
        bool(hits(session, "Allow")) if session is not None else principal.type != "FederatedUser"
    )
    mine = bool(hits(identity, "Allow")) and limits
    if not same:
        return mine and grant > 0
    return mine or grant == 3 or (grant == 2 and limits)


PRINCIPALS = st.sampled_from([USER, ROLE, ROOT, FEDERATED, SNS, anonymous()])
NAMED = st.sampled_from(
    [
        "*",
        {"Service": "sns.amazonaws.com"},
        *({"AWS": who} for who in (USER.arn, ROLE_ARN, SESSION_ARN, FEDERATED_ARN, ACCOUNT, OTHER)),
    ]
)


@st.composite
def statements(draw: st.DrawFn, principals: bool = False) -> list[dict[str, Any]]:
    out = []
    for _ in range(draw(st.integers(1, 3))):
        given: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
        actions = st.lists(st.sampled_from(["a:x", "a:Y*", "A:?y", "b:*", "*", "*:x", "a:xy"]), min_size=1, max_size=2)
        given[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(actions)
        arns = st.lists(
            st.sampled_from(["*", "arn:p:a:r:1:*", "arn:p:a:r:1:q?", "arn:p:a:r:*:q/*", "arn:p:a:*:1:q"]),
            min_size=1,
            max_size=2,
        )
        given[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(arns)
        if draw(st.booleans()):
            operator = draw(st.sampled_from(["StringEquals", "StringNotEquals", "StringEqualsIfExists"]))
            given["Condition"] = {operator: {"a:tag": draw(st.sampled_from(["1", "2"]))}}
        if principals:
            given["Principal"] = draw(NAMED)
        out.append(given)
    return out


@settings(max_examples=1000, deadline=None)
@given(
    PRINCIPALS,
    statements(),
    st.none() | statements(),
    st.none() | statements(),
    st.none() | statements(principals=True),
    st.booleans(),
    st.sampled_from(["a:x", "a:yy", "a:xy", "b:x"]),
    st.sampled_from(["arn:p:a:r:1:q", "arn:p:a:r:1:q1", "arn:p:a:r:1:q/1", "arn:p:a:r:2:q/1", "*"]),
    st.sampled_from([None, "1", "2"]),
)
def test_equals_the_slow_evaluator(
    principal: Caller,
    identity: list[dict[str, Any]],
    boundary: list[dict[str, Any]] | None,
    session: list[dict[str, Any]] | None,
    resource: list[dict[str, Any]] | None,
    same: bool,
    action: str,
    arn: str,
    tag: str | None,
) -> None:
    expected = slow_evaluate(principal, identity, boundary, session, resource, same, action, arn, tag)
    decision = ask(
        principal,
        policies("identity", *identity),
        None if boundary is None else policies("boundary", *boundary),
        None if session is None else policies("session", *session),
        None if resource is None else policies("resource", *resource),
        account=principal.account if same else OTHER,
        action=action,
        arn=arn,
        context={} if tag is None else {"a:tag": tag},
    )
    assert decision.allowed is expected
