"""What would be allowed: the policies that apply, evaluated exactly as for a real request, with a context that the caller makes up.

One result per action; with several resources it is the most restrictive of theirs, which stand in ResourceSpecificResults.
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.caller import Caller
from unkai.kernel.errors import AwsError
from unkai.policy.context import RequestContext
from unkai.policy.document import parse
from unkai.policy.evaluate import Request, compile, evaluate
from unkai.services.iam import aws_managed, entities, errors, identity, limits, paging, sources
from unkai.services.iam.entities import GROUP, HOLDERS, USER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.policy.document import Kind, Policy, Statement
    from unkai.policy.evaluate import Decision
    from unkai.store.api import ReadTx

PAIRS_MAX = 10_000
_RANK = {"allowed": 0, "implicitDeny": 1, "explicitDeny": 2}


@dataclass(frozen=True, slots=True)
class Source:
    """A policy of the simulation: its text, and how results name it."""

    id: str
    type: str
    text: str


class _Compiled:
    """Sources ready for evaluation, and where each of their statements stands."""

    def __init__(self, given: Sequence[Source], kind: Kind) -> None:
        self.places: dict[int, tuple[Source, sources.Span]] = {}
        policies = []
        for source in given:
            policy = _parse(source.text, kind)
            policies.append(policy)
            spans = sources.statement_spans(source.text)
            for statement, span in zip(policy.statements, spans, strict=True):
                self.places[id(statement)] = (source, span)
        self.set = compile(policies)


class _Given:
    """The context: what the caller of the simulation gave, before what is known of the principal. Notes what is missing."""

    def __init__(self, entries: Mapping[str, tuple[str, ...]], known: RequestContext) -> None:
        self._entries = entries
        self._known = known
        self.missing: set[str] = set()

    def get(self, key_lower: str, /) -> tuple[str, ...] | None:
        values = self._entries.get(key_lower) or self._known.get(key_lower)
        if values is None:
            self.missing.add(key_lower)
        return values


@dataclass(frozen=True, slots=True)
class _Simulation:
    ctx: Ctx
    principal: Caller
    tags: Mapping[str, str]
    identity: _Compiled
    boundary: _Compiled | None
    resource: _Compiled | None
    resource_owner: str
    entries: Mapping[str, tuple[str, ...]]
    spellings: Mapping[str, str]


async def simulate_custom_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    arn = inp.get("CallerArn") or identity.iam_arn(ctx.account, "user", "/", "simulated")
    return _simulate(ctx, inp, _principal(arn, ""), {}, [], None)


async def simulate_principal_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row, kind = await _holder(ctx, tx, inp["PolicySourceArn"])
    held = await _sources(tx, ctx.account, row, kind)
    boundary = None
    if arn := getattr(row, "boundary", ""):
        text = await identity.managed_text(tx, ctx.account, arn)
        boundary = Source(arn.rpartition("/")[2], "user-managed", text) if text is not None else None
    if kind is GROUP:
        principal = _principal(identity.iam_arn(ctx.account, "user", "/", "simulated"), "")
    else:
        principal = _principal(inp.get("CallerArn") or inp["PolicySourceArn"], row.id)
    return _simulate(ctx, inp, principal, getattr(row, "tags", {}), held, boundary)


async def get_context_keys_for_custom_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return {"ContextKeyNames": _keys_of(inp["PolicyInputList"])}


async def get_context_keys_for_principal_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    row, kind = await _holder(ctx, tx, inp["PolicySourceArn"])
    held = [source.text for source in await _sources(tx, ctx.account, row, kind)]
    return {"ContextKeyNames": _keys_of([*inp.get("PolicyInputList", ()), *held])}


def _parse(text: str, kind: Kind) -> Policy:
    """Malformed policies are InvalidInput here."""
    try:
        return parse(text, kind)
    except AwsError as error:
        raise errors.invalid_input(error.message) from None


def _bound(texts: Sequence[str]) -> None:
    if sum(map(len, texts)) > limits.SIMULATED_SIZE_CHARS_MAX:
        raise errors.invalid_input(f"The policies together exceed {limits.SIMULATED_SIZE_CHARS_MAX} characters.")


def _keys_of(texts: Sequence[str]) -> list[str]:
    _bound(texts)
    found: dict[str, None] = {}
    for text in texts:
        _parse(text, "identity")
        found |= dict.fromkeys(sources.context_keys(text))
    return list(found)


async def _holder(ctx: Ctx, tx: ReadTx, arn: str) -> tuple[Any, entities.Kind]:
    parsed = Arn.parse(arn)
    kind = HOLDERS.get(parsed.resource.partition("/")[0]) if parsed is not None and parsed.service == "iam" else None
    if parsed is None or kind is None or parsed.account != ctx.account:
        raise errors.invalid_input(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    row = await entities.load(ctx, tx, kind, parsed.resource.rpartition("/")[2])
    if entities.arn_of(ctx.account, kind, row) != arn:
        raise errors.no_such_entity(kind.name, parsed.resource.rpartition("/")[2])
    return row, kind


async def _sources(tx: ReadTx, account: str, row: Any, kind: entities.Kind) -> list[Source]:
    """All policies of a user (its groups' too), group or role."""
    found = [Source(f"{kind.name}_{row.name}_{name}", kind.name, text) for name, text in row.inline.items()]
    for arn in row.attached:
        text = await identity.managed_text(tx, account, arn)
        if text is not None:
            owner = entities.policy_key(arn)[0]
            managed = "aws-managed" if owner == aws_managed.OWNER else "user-managed"
            found.append(Source(arn.rpartition("/")[2], managed, text))
    if kind is USER:
        for name in row.groups:
            group = await entities.find(tx, account, GROUP, name)
            if group is not None:
                found += await _sources(tx, account, group, GROUP)
    return found


def _principal(arn: str, unique_id: str) -> Caller:
    parsed = Arn.parse(arn)
    if parsed is None or len(parsed.account) != limits.ACCOUNT_SIZE_CHARS:
        raise errors.invalid_input(f"Invalid Entity Arn: {arn}")
    if parsed.resource == "root":
        return Caller("Root", parsed.account, arn, parsed.account)
    if parsed.resource.startswith("role/"):
        return Caller("AssumedRole", parsed.account, arn, f"{unique_id}:simulated" if unique_id else "")
    if parsed.resource.startswith("user/"):
        return Caller("User", parsed.account, arn, unique_id)
    raise errors.invalid_input(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")


def _simulate(
    ctx: Ctx,
    inp: Mapping[str, Any],
    principal: Caller,
    tags: Mapping[str, str],
    held: Sequence[Source],
    boundary: Source | None,
) -> dict[str, Any]:
    if inp.get("OrderedOrganizationPolicyInputList"):
        raise errors.invalid_input(
            "OrderedOrganizationPolicyInputList is not supported: there are no organizations here."
        )
    if inp.get("PolicyExclusionList"):
        raise errors.invalid_input("PolicyExclusionList is not supported.")
    if bounds := inp.get("PermissionsBoundaryPolicyInputList"):
        boundary = Source("PermissionsBoundaryPolicyInputList.1", "none", bounds[0])
    named = [Source(f"PolicyInputList.{at}", "none", text) for at, text in enumerate(inp.get("PolicyInputList", ()), 1)]
    given = [Source("ResourcePolicy", "resource", inp["ResourcePolicy"])] if inp.get("ResourcePolicy") else []
    every = [*held, *named, *given, *([boundary] if boundary is not None else [])]
    _bound([source.text for source in every])
    actions, more = paging.page_by_position(list(dict.fromkeys(inp["ActionNames"])), inp)
    resources = list(dict.fromkeys(inp.get("ResourceArns") or ["*"]))
    if len(actions) * len(resources) > PAIRS_MAX:
        raise errors.invalid_input(f"A simulation has at most {PAIRS_MAX} pairs of an action and a resource.")
    simulation = _Simulation(
        ctx=dataclasses.replace(ctx, context={}),
        principal=principal,
        tags=tags,
        identity=_Compiled([*held, *named], "identity"),
        boundary=_Compiled([boundary], "boundary") if boundary is not None else None,
        resource=_Compiled(given, "resource") if given else None,
        resource_owner=inp.get("ResourceOwner", "").rpartition("::")[2].removesuffix(":root"),
        entries={
            entry["ContextKeyName"].lower(): tuple(entry.get("ContextKeyValues", ()))
            for entry in inp.get("ContextEntries", ())
            if "ContextKeyName" in entry
        },
        spellings={key.lower(): key for source in every for key in sources.context_keys(source.text)},
    )
    return {"EvaluationResults": [_of_action(simulation, action, resources) for action in actions], **more}


def _of_action(simulation: _Simulation, action: str, resources: Sequence[str]) -> dict[str, Any]:
    results = [_of_pair(simulation, action, resource) for resource in resources]
    worst = max(results, key=lambda result: _RANK[result["EvalDecision"]])
    if list(resources) == ["*"]:
        return {"EvalActionName": action, **worst}
    # The whole names no resource; AWS shows the action's ARN template there, or `*` where it knows none.
    out: dict[str, Any] = {"EvalActionName": action, **worst, "EvalResourceName": "*", "MissingContextValues": []}
    matched: list[dict[str, Any]] = []
    for result in results:
        if result["EvalDecision"] == worst["EvalDecision"]:
            matched += [each for each in result["MatchedStatements"] if each not in matched]
    out["MatchedStatements"] = matched
    out["ResourceSpecificResults"] = [
        {("EvalResourceDecision" if name == "EvalDecision" else name): value for name, value in result.items()}
        for result in results
    ]
    return out


def _of_pair(simulation: _Simulation, action: str, resource: str) -> dict[str, Any]:
    service, colon, name = action.partition(":")
    if not colon or not service or not name or "*" in action or "?" in action:
        raise errors.invalid_input(f"Invalid action: {action[:128]}")
    parsed = Arn.parse(resource)
    principal = simulation.principal
    owner = simulation.resource_owner or (parsed.account if parsed is not None else "") or principal.account
    known = RequestContext(principal, simulation.ctx, principal_tags=simulation.tags, resource_account=owner)
    context = _Given(simulation.entries, known)
    request = Request(principal, action, resource, context, owner)
    boundary = simulation.boundary
    resource_set = simulation.resource.set if simulation.resource is not None else None
    decision = evaluate(
        request, simulation.identity.set, boundary.set if boundary is not None else None, None, resource_set
    )
    out: dict[str, Any] = {
        "EvalResourceName": resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": _matched(simulation, decision.statements),
        "MissingContextValues": sorted(simulation.spellings.get(key, key) for key in context.missing),
    }
    if boundary is not None:
        alone = evaluate(request, boundary.set, None, None, None)
        out["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": alone.allowed}
    return out


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit_deny else "implicitDeny"


def _matched(simulation: _Simulation, statements: Sequence[Statement]) -> list[dict[str, Any]]:
    out = []
    for statement in statements:
        for compiled in (simulation.identity, simulation.boundary, simulation.resource):
            if compiled is None or id(statement) not in compiled.places:
                continue
            source, (begin, end) = compiled.places[id(statement)]
            out.append(
                {
                    "SourcePolicyId": source.id,
                    "SourcePolicyType": source.type,
                    "StartPosition": sources.position(source.text, begin),
                    "EndPosition": sources.position(source.text, end),
                }
            )
    return out
