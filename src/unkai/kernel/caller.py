"""Who makes a call. Built by `auth` from a verified signature, or by a service that acts on somebody's behalf."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (msgspec reads these annotations when a caller crosses processes)
from dataclasses import dataclass, field
from typing import Literal

PrincipalType = Literal["Root", "User", "AssumedRole", "FederatedUser", "Service", "Anonymous"]


@dataclass(frozen=True, slots=True)
class Session:
    """What temporary credentials add to their principal.

    `policies` are session policies: JSON texts, or ARNs of managed policies (PrincipalPolicies.session has their texts).
    `issuer` is the ARN of the principal that asked for a federated user's credentials. `transitive_tags` are the keys of the
    tags that go on to the next role of a chain.
    """

    name: str
    issued_ms: int
    expires_ms: int
    policies: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    source_identity: str = ""
    mfa: bool = False
    issuer: str = ""
    transitive_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of one request.

    `arn` is what aws:PrincipalArn compares with (a role's own ARN for a session); `session_arn` is what
    GetCallerIdentity shows. For services `arn` is the service principal (`sns.amazonaws.com`) and `source_arn` and
    `source_account` name the resource on whose behalf it calls (the confused deputy's cure).
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """

    type: PrincipalType
    account: str
    arn: str
    user_id: str = ""
    access_key_id: str = ""
    session: Session | None = None
    session_arn: str = ""
    source_arn: str = ""
    source_account: str = ""
    via_service: str = ""

    @property
    def shown_arn(self) -> str:
        """The ARN that error messages and GetCallerIdentity show."""
        return self.session_arn or self.arn


def anonymous() -> Caller:
    return Caller("Anonymous", "anonymous", "anonymous", user_id="anonymous")


def service_caller(principal: str, account: str, source_arn: str = "") -> Caller:
    """A service acting by itself for a resource of `account`, for instance SNS delivering from a topic."""
    return Caller("Service", account, principal, source_arn=source_arn, source_account=account)
