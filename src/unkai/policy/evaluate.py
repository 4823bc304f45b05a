"""May this principal do this? The policies that apply, put together as IAM does.

An explicit deny anywhere wins. Within one account an Allow on either side is enough, and *whom* a resource policy names decides
what can still hold it back:

    it names                                   limited by
    the user, the session, a service, or `*`   nothing
    the role of the session                    permissions boundary, session policies
    the account                                identity policies, permissions boundary, session policies

Between accounts both sides must allow. Services and anonymous callers have no policies of their own: the resource's decides.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from unkai.policy.match import Wild, matcher, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.caller import Caller
    from unkai.policy.document import Policy, Principals, Statement
    from unkai.policy.match import Context, Test

PolicyType = Literal["identity", "resource", "boundary", "session", "trust", "root"]
MEMO_MAX_ACTIONS = 1024


class Request(msgspec.Struct, frozen=True):
    """One question. `resource` is an ARN, or `*` where the action names none; `resource_account` owns it."""

    principal: Caller
    action: str
    resource: str
    context: Context
    resource_account: str


class Decision(NamedTuple):
    """The answer, the kind of policy that gave it, and the ids of the statements that did."""

    allowed: bool
    explicit_deny: bool
    policy_type: PolicyType
    statements: tuple[Statement, ...] = ()


class Grant(IntEnum):
    """How closely a resource policy names the caller."""

    NONE = 0
    ACCOUNT = 1
    ENTITY = 2
    DIRECT = 3


class CompiledSet:
    """Statements of several policies of one type, found by action. Holds what it found for the last actions asked of it."""

    __slots__ = ("_any", "_exact", "_memo", "_services", "statements")

    def __init__(self, statements: Sequence[Statement]) -> None:
        self.statements = tuple(statements)
        self._exact: dict[str, list[Statement]] = {}
        self._services: dict[str, list[Statement]] = {}
        self._any: list[Statement] = []
        self._memo: dict[str, tuple[tuple[Statement, ...], tuple[Statement, ...]]] = {}
        for statement in self.statements:
            self._index(statement)

    def _index(self, statement: Statement) -> None:
        services = {action.partition(":")[0] for action in statement.actions}
        if statement.not_action or any("*" in service or "?" in service for service in services):
            self._any.append(statement)
        elif not any("*" in action or "?" in action for action in statement.actions):
            for action in dict.fromkeys(statement.actions):
                self._exact.setdefault(action, []).append(statement)
        else:
            for service in services:
                self._services.setdefault(service, []).append(statement)

    def for_action(self, action: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The Deny and the Allow statements that speak of `action`, whatever the resource."""
        found = self._memo.get(action)
        if found is None:
            found = self._find(action)
            if len(self._memo) >= MEMO_MAX_ACTIONS:
                self._memo.clear()
            self._memo[action] = found
        return found

    def _find(self, action: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        lowered = action.lower()
        service = lowered.partition(":")[0]
        some = [*self._any, *self._services.get(service, ())]
        found = [*self._exact.get(lowered, ()), *(each for each in some if _speaks_of(each, lowered))]
        return tuple(each for each in found if not each.allow), tuple(each for each in found if each.allow)


def compile(policies: Sequence[Policy]) -> CompiledSet:
    """All statements of `policies`, ready for `evaluate`. Keep the result: it remembers what it looked up."""
    return CompiledSet([statement for policy in policies for statement in policy.statements])


def _speaks_of(statement: Statement, action: str) -> bool:
    for given in statement.actions:
        parts = [part for part in tokens(given, variables=False) if isinstance(part, (str, Wild))]
        if matcher(parts)(action):
            return not statement.not_action
    return statement.not_action


def evaluate(
    request: Request,
    identity: CompiledSet,
    boundary: CompiledSet | None = None,
    session: CompiledSet | None = None,
    resource: CompiledSet | None = None,
) -> Decision:
    """Whether `request` is allowed. `session` is None where the caller was given no session policies."""
    return _decide(request, identity, boundary, session, resource, trust=False)


def evaluate_trust(
    request: Request,
    identity: CompiledSet,
    boundary: CompiledSet | None,
    session: CompiledSet | None,
    trust: CompiledSet,
) -> Decision:
    """Whether the caller may assume the role whose trust policy is `trust`. That policy must allow it in any case.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"""
    return _decide(request, identity, boundary, session, trust, trust=True)


def _decide(
    request: Request,
    identity: CompiledSet,
    boundary: CompiledSet | None,
    session: CompiledSet | None,
    resource: CompiledSet | None,
    *,
    trust: bool,
) -> Decision:
    principal = request.principal
    resource_type: PolicyType = "trust" if trust else "resource"
    own = principal.type not in ("Service", "Anonymous")
    root = principal.type == "Root"
    bound_by: tuple[tuple[PolicyType, CompiledSet | None], ...] = ()
    if own and not root:
        bound_by = (("identity", identity), ("boundary", boundary), ("session", session))
    for policy_type, policies in bound_by:
        if policies is not None and (denied := _denied(policies, request)) is not None:
            return Decision(False, True, policy_type, (denied,))

    grant = Grant.NONE
    granted_by: tuple[Statement, ...] = ()
    if resource is not None:
        denied = _denied_by_resource(resource, request)
        if denied is not None:
            return Decision(False, True, resource_type, (denied,))
        grant, granted_by = _granted(resource, request)
    if not own:
        return Decision(grant is Grant.DIRECT, False, resource_type, granted_by)
    same_account = principal.account == request.resource_account
    if grant is Grant.NONE and (trust or not same_account):
        # Where both sides lack it, AWS speaks of the caller's own policies first.
        missing = None if root else _missing(request, identity, boundary, session)
        return missing if missing is not None and not trust else Decision(False, False, resource_type)
    if root:
        return Decision(True, False, resource_type if grant else "root", granted_by)
    if same_account and grant is Grant.DIRECT:
        return Decision(True, False, resource_type, granted_by)
    if same_account and grant is Grant.ENTITY:
        missing = _missing_limit(request, boundary, session)
        return missing or Decision(True, False, resource_type, granted_by)
    missing = _missing(request, identity, boundary, session)
    if missing is not None:
        return missing
    allowed = _allowing(identity, request)
    assert allowed is not None
    return Decision(True, False, "identity", (allowed,))


def _missing(
    request: Request, identity: CompiledSet, boundary: CompiledSet | None, session: CompiledSet | None
) -> Decision | None:
    """The refusal of the first of the caller's own policies that does not allow it, or None where all do."""
    if _allowing(identity, request) is None:
        return Decision(False, False, "identity")
    return _missing_limit(request, boundary, session)


def _missing_limit(request: Request, boundary: CompiledSet | None, session: CompiledSet | None) -> Decision | None:
    if boundary is not None and _allowing(boundary, request) is None:
        return Decision(False, False, "boundary")
    if session is None:
        # A federated user has the rights that both its session policies and the user's allow; without any, none.
        # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
        return Decision(False, False, "session") if request.principal.type == "FederatedUser" else None
    return Decision(False, False, "session") if _allowing(session, request) is None else None


def _denied(policies: CompiledSet, request: Request) -> Statement | None:
    for statement in policies.for_action(request.action)[0]:
        if applies(statement, request):
            return statement
    return None


def _allowing(policies: CompiledSet, request: Request) -> Statement | None:
    for statement in policies.for_action(request.action)[1]:
        if applies(statement, request):
            return statement
    return None


def applies(statement: Statement, request: Request) -> bool:
    """Whether a statement that speaks of the action covers the resource too, under its conditions."""
    if statement.resources is not None and not _covers(statement, statement.resources, request):
        return False
    return statement.condition is None or statement.condition(request.context)


def _covers(statement: Statement, resources: Sequence[Test], request: Request) -> bool:
    unresolved = False
    for test in resources:
        answer = test(request.resource, request.context)
        if answer:
            return not statement.not_resource
        unresolved = unresolved or answer is None
    # `NotResource` of something unknown: an Allow must not apply, a Deny had better.
    if unresolved and statement.not_resource and statement.allow:
        return False
    return statement.not_resource


def _denied_by_resource(policies: CompiledSet, request: Request) -> Statement | None:
    for statement in policies.for_action(request.action)[0]:
        if _names(statement, request.principal) is not Grant.NONE and applies(statement, request):
            return statement
    return None


def _granted(policies: CompiledSet, request: Request) -> tuple[Grant, tuple[Statement, ...]]:
    """The closest grant that the resource's policy gives, and the statement that gives it."""
    best = Grant.NONE
    by: tuple[Statement, ...] = ()
    for statement in policies.for_action(request.action)[1]:
        grant = _names(statement, request.principal)
        if grant > best and applies(statement, request):
            best, by = grant, (statement,)
            if best is Grant.DIRECT:
                break
    return best, by


def _names(statement: Statement, principal: Caller) -> Grant:
    principals = statement.principals
    assert principals is not None, "a resource policy names principals"
    if principals.negated:
        return Grant.NONE if _all_listed(principals, principal) else Grant.DIRECT
    return _closeness(principals, principal)


def _closeness(principals: Principals, principal: Caller) -> Grant:
    if principals.everyone:
        return Grant.DIRECT
    if principal.type == "Service":
        return Grant.DIRECT if principal.arn in principals.services else Grant.NONE
    if principal.type == "Anonymous":
        return Grant.NONE
    if principal.shown_arn in principals.arns or principal.shown_arn in principals.federated:
        return Grant.DIRECT
    if principal.arn in principals.arns or principal.arn in principals.federated:
        return Grant.ENTITY
    if principal.account in principals.accounts:
        return Grant.DIRECT if principal.type == "Root" else Grant.ACCOUNT
    return Grant.NONE


def _all_listed(principals: Principals, principal: Caller) -> bool:
    """NotPrincipal spares a caller only if its session, its role or user and its account are all listed.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html"""
    if principals.everyone:
        return True
    if principal.type == "Service":
        return principal.arn in principals.services
    if principal.type == "Anonymous":
        return False
    listed = principals.arns | principals.federated
    entities = {principal.arn, principal.shown_arn} if principal.type != "Root" else set()
    return entities <= listed and principal.account in principals.accounts


_TYPE_WORDS: dict[PolicyType, str] = {
    "identity": "identity-based policy",
    "resource": "resource-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "trust": "role trust policy",
    "root": "identity-based policy",
}


def denied_message(decision: Decision, request: Request) -> str:
    """AWS's sentence for a refusal.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    assert not decision.allowed
    words = _TYPE_WORDS[decision.policy_type]
    who = f"User: {request.principal.shown_arn} is not authorized to perform: {request.action} on resource: {request.resource}"
    if not decision.explicit_deny:
        return f"{who} because no {words} allows the {request.action} action"
    article = {"identity": "an", "trust": "the"}.get(decision.policy_type, "a")
    return f"{who} with an explicit deny in {article} {words}"
