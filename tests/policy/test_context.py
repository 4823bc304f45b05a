"""Global condition keys: who has which, and that nobody can claim another's."""

from __future__ import annotations

import pytest

from unkai.kernel.caller import Caller, Session, anonymous, service_caller
from unkai.kernel.ctx import Ctx
from unkai.kernel.ids import Ids
from unkai.policy.context import RequestContext

USER = Caller("User", "111122223333", "arn:aws:iam::111122223333:user/div/ann", user_id="AIDA1", access_key_id="AKIA1")
SESSION = Session("s", 1_700_000_000_000, 1_700_003_600_000, tags={"Team": "red"}, mfa=True)
ROLE = Caller("AssumedRole", "111122223333", "arn:aws:iam::111122223333:role/r", user_id="AROA1:s", session=SESSION)
TOPIC = "arn:aws:sns:us-east-1:111122223333:t"


def value(caller: Caller, key: str, **more: object) -> tuple[str, ...] | None:
    seen = {"aws:SourceIp": "127.0.0.1", "aws:SecureTransport": "false"}
    ctx = Ctx(caller, "111122223333", "eu-west-1", "id", 1_700_000_000_000, Ids(b"", "id"), context=seen)
    return RequestContext(caller, ctx, **more).get(key.lower())  # type: ignore[arg-type]


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
@pytest.mark.parametrize(
    ("caller", "key", "expected"),
    [
        (USER, "aws:PrincipalArn", ("arn:aws:iam::111122223333:user/div/ann",)),
        (USER, "aws:username", ("ann",)),
        (ROLE, "aws:username", None),
        (ROLE, "aws:userid", ("AROA1:s",)),
        (ROLE, "aws:PrincipalType", ("AssumedRole",)),
        (Caller("Root", "1", "arn:aws:iam::1:root"), "aws:PrincipalType", ("Account",)),
        (USER, "aws:MultiFactorAuthPresent", None),
        (ROLE, "aws:MultiFactorAuthPresent", ("true",)),
        (USER, "aws:TokenIssueTime", None),
        (ROLE, "aws:TokenIssueTime", ("2023-11-14T22:13:20Z",)),
        (ROLE, "aws:PrincipalTag/team", ("red",)),
        (USER, "aws:PrincipalTag/team", None),
        (USER, "aws:CurrentTime", ("2023-11-14T22:13:20Z",)),
        (USER, "aws:EpochTime", ("1700000000",)),
        (USER, "aws:RequestedRegion", ("eu-west-1",)),
        (USER, "aws:SourceIp", ("127.0.0.1",)),
        (USER, "aws:SecureTransport", ("false",)),
        (USER, "aws:SourceArn", None),
        (USER, "aws:PrincipalIsAWSService", ("false",)),
        (service_caller("sns.amazonaws.com", "111122223333", TOPIC), "aws:SourceArn", (TOPIC,)),
        (service_caller("sns.amazonaws.com", "111122223333", TOPIC), "aws:SourceAccount", ("111122223333",)),
        (service_caller("sns.amazonaws.com", "111122223333", TOPIC), "aws:PrincipalIsAWSService", ("true",)),
        (service_caller("sns.amazonaws.com", "111122223333", TOPIC), "aws:PrincipalArn", None),
        (anonymous(), "aws:PrincipalAccount", None),
        (USER, "svc:Unknown", None),
    ],
)
def test_keys(caller: Caller, key: str, expected: tuple[str, ...] | None) -> None:
    assert value(caller, key) == expected


def test_tags() -> None:
    tags = {"Env": "prod", "Cost": "1"}
    assert value(USER, "aws:TagKeys", request_tags=tags) == ("Env", "Cost")
    assert value(USER, "aws:RequestTag/env", request_tags=tags) == ("prod",)
    assert value(USER, "aws:ResourceTag/cost", resource_tags=tags) == ("1",)
    assert value(ROLE, "aws:PrincipalTag/team", principal_tags={"Team": "blue"}) == ("red",)  # the session's goes first


# Keys that a service adds must not say who the caller is.
def test_added_keys_do_not_impersonate() -> None:
    added = {"aws:PrincipalArn": "x", "aws:SourceArn": "x", "aws:PrincipalTag/team": "x", "s3:Prefix": ["a", "b"]}
    assert value(USER, "aws:PrincipalArn", added=added) == (USER.arn,)
    assert value(USER, "aws:SourceArn", added=added) is None
    assert value(USER, "aws:PrincipalTag/team", added=added) is None
    assert value(USER, "s3:prefix", added=added) == ("a", "b")
