"""Policy documents: from JSON text to statements that are ready to be evaluated, or to the refusal that IAM gives.

IAM's grammar decides what is legal: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
The kinds differ: a resource or trust policy names principals, an identity policy must not; a trust policy names no resource.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from unkai.kernel.errors import AwsError
from unkai.policy.conditions import Condition, compile_conditions
from unkai.policy.match import Test, arn_pattern, is_arn_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["identity", "resource", "trust", "session", "boundary"]

VERSION = "2012-10-17"
VERSIONS = (VERSION, "2008-10-17")
SIZE_MAX_CHARS = 131_072
"""A bound for any document; the limits of each service are its own."""

_SYNTAX = "Syntax errors in policy."
_ACTION = re.compile(r"(?:[A-Za-z0-9-]+|\*):[A-Za-z0-9_*?-]+\Z").match
_SID = re.compile(r"[0-9A-Za-z]*\Z").match
_ACCOUNT = re.compile(r"[0-9]{12}\Z", re.ASCII).match
# A service may be named by its region (states.us-east-1.amazonaws.com); it is the same principal.
_REGIONAL = re.compile(r"\.[a-z]{2}(?:-[a-z]{1,16}){1,3}-[0-9]\.amazonaws\.com\Z")
_FIELDS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_PRINCIPAL_TYPES = ("AWS", "Service", "Federated", "CanonicalUser")


@dataclass(frozen=True, slots=True)
class Principals:
    """Who a statement speaks of. `accounts` are account ids, whichever way they were written; `everyone` is `*`."""

    everyone: bool
    arns: frozenset[str]
    accounts: frozenset[str]
    services: frozenset[str]
    federated: frozenset[str]
    canonical: frozenset[str]
    negated: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One compiled statement. `resources` is None where it speaks of all; `actions` are lower-case patterns."""

    sid: str
    allow: bool
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[Test, ...] | None
    not_resource: bool
    condition: Condition | None
    principals: Principals | None


@dataclass(frozen=True, slots=True)
class Policy:
    kind: Kind
    version: str
    id: str
    statements: tuple[Statement, ...]


def parse(text: str, kind: Kind, *, size_max_chars: int = SIZE_MAX_CHARS) -> Policy:
    """The policy in `text`. Raises MalformedPolicyDocument (for resource policies MalformedPolicy) or LimitExceeded."""
    if len(text) > 4 * SIZE_MAX_CHARS or size_chars(text) > size_max_chars:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for PolicySize: {size_max_chars}", status=409)
    document = _load(text, kind)
    if not isinstance(document, dict) or not document.keys() <= {"Version", "Id", "Statement"}:
        _refuse(kind, _SYNTAX)
    version = document.get("Version", "2008-10-17")
    if version not in VERSIONS:
        _refuse(kind, "The policy must contain a valid version string")
    policy_id = document.get("Id", "")
    given = document.get("Statement")
    statements = [given] if isinstance(given, dict) else given
    if not isinstance(statements, list) or not statements or not isinstance(policy_id, str):
        _refuse(kind, _SYNTAX)
    parsed = tuple(_statement(statement, kind, variables=version == VERSION) for statement in statements)
    sids = [statement.sid for statement in parsed if statement.sid]
    if len(sids) != len(set(sids)):
        _refuse(kind, "Statement IDs (SID) in a single policy must be unique.")
    return Policy(kind, version, policy_id, parsed)


def size_chars(text: str) -> int:
    """The size that IAM counts: white space does not.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    return len(text) - sum(map(text.count, " \t\n\r"))


def _load(text: str, kind: Kind) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # The two wordings are IAM's: CreateRole's differs from CreatePolicy's.
        _refuse(kind, "This policy contains invalid Json" if kind == "trust" else _SYNTAX)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key given twice would let the second hide the first from whoever reviews the policy."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _statement(given: Any, kind: Kind, *, variables: bool) -> Statement:
    if not isinstance(given, dict) or not given.keys() <= _FIELDS:
        _refuse(kind, _SYNTAX)
    sid, effect = given.get("Sid", ""), given.get("Effect")
    if effect not in ("Allow", "Deny") or not isinstance(sid, str):
        _refuse(kind, _SYNTAX)
    if kind not in ("resource",) and not _SID(sid):
        _refuse(
            kind,
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        )
    allow = effect == "Allow"
    actions, not_action = _actions(given, kind)
    resources, not_resource = _resources(given, kind, variables=variables)
    principals = _principals(given, kind, allow=allow)
    try:
        condition = compile_conditions(_block(given.get("Condition", {}), kind), variables=variables, allow=allow)
    except ValueError as error:
        _refuse(kind, str(error) if str(error).startswith("Invalid Condition") else _SYNTAX)
    return Statement(sid, allow, actions, not_action, resources, not_resource, condition, principals)


def _actions(given: Mapping[str, Any], kind: Kind) -> tuple[tuple[str, ...], bool]:
    values, negated = _one_of(given, "Action", kind)
    if not values:
        _refuse(
            kind, "Missing required field Action" if kind == "resource" else "Policy statement must contain actions."
        )
    for value in values:
        if value != "*" and not _ACTION(value):
            _refuse(kind, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        if kind == "trust" and value != "*" and not value.lower().startswith("sts:"):
            _refuse(kind, "AssumeRole policy may only specify STS AssumeRole actions.")
    return tuple(value.lower() for value in values), negated


def _resources(given: Mapping[str, Any], kind: Kind, *, variables: bool) -> tuple[tuple[Test, ...] | None, bool]:
    values, negated = _one_of(given, "Resource", kind)
    if kind == "trust":
        if values is not None:
            _refuse(kind, "Has prohibited field Resource")
        return None, False
    if not values:
        if kind == "resource":
            # Queue and function policies may leave it out: it is the resource that they are attached to.
            return None, False
        _refuse(kind, "Policy statement must contain resources.")
    for value in values:
        if not is_arn_pattern(value):
            message = f'Resource {value} must be in ARN format or "*".'
            _refuse(kind, "Policy has invalid resource" if kind == "resource" else message)
    if "*" in values and not negated:
        return None, False
    return tuple(arn_pattern(value, variables=variables) for value in values), negated


def _one_of(given: Mapping[str, Any], name: str, kind: Kind) -> tuple[tuple[str, ...] | None, bool]:
    """The values of an element or of its `Not` twin, of which there may be one only."""
    negative = f"Not{name}"
    if name in given and negative in given:
        _refuse(kind, _SYNTAX)
    for key in (name, negative):
        if key in given:
            return _strings(given[key], kind), key == negative
    return None, False


def _strings(given: Any, kind: Kind) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    if not all(isinstance(value, str) for value in values):
        _refuse(kind, _SYNTAX)
    return tuple(values)


def _principals(given: Mapping[str, Any], kind: Kind, *, allow: bool) -> Principals | None:
    named = [name for name in ("Principal", "NotPrincipal") if name in given]
    if kind not in ("resource", "trust"):
        if named:
            _refuse(kind, "Policy document should not specify a principal.")
        return None
    if len(named) != 1:
        _refuse(kind, "Missing required field Principal")
    negated = named[0] == "NotPrincipal"
    if negated and (allow or kind == "trust"):
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
        _refuse(
            kind,
            "NotPrincipal is only supported with Deny." if kind == "resource" else "Has prohibited field NotPrincipal",
        )
    block = given[named[0]]
    if block == "*":
        block = {"AWS": "*"}
    if not isinstance(block, dict) or not block or not block.keys() <= set(_PRINCIPAL_TYPES):
        _refuse(kind, "Invalid principal in policy")
    values = {name: _strings(block.get(name, []), kind) for name in _PRINCIPAL_TYPES}
    return _sorted_principals(values, kind, negated=negated)


def _sorted_principals(values: Mapping[str, Sequence[str]], kind: Kind, *, negated: bool) -> Principals:
    arns: set[str] = set()
    accounts: set[str] = set()
    everyone = False
    for value in values["AWS"]:
        if value == "*":
            everyone = True
        elif _ACCOUNT(value):
            accounts.add(value)
        elif value.startswith("arn:") and len(parts := value.split(":", 5)) == 6 and "*" not in value:
            if parts[5] == "root" and parts[2] == "iam":
                accounts.add(parts[4])
            else:
                arns.add(value)
        elif re.fullmatch(r"A[A-Z0-9]{15,127}", value):
            # The unique id that an ARN became when its principal was deleted. It matches nobody.
            arns.add(value)
        else:
            _refuse(kind, f'Invalid principal in policy: "AWS":"{value[:256]}"')
    for value in values["Service"]:
        if not re.fullmatch(r"[a-z0-9.-]{3,128}", value):
            _refuse(kind, f'Invalid principal in policy: "SERVICE":"{value[:256]}"')
    return Principals(
        everyone,
        frozenset(arns),
        frozenset(accounts),
        frozenset(_REGIONAL.sub(".amazonaws.com", name) for name in values["Service"]),
        frozenset(values["Federated"]),
        frozenset(values["CanonicalUser"]),
        negated,
    )


def _block(given: Any, kind: Kind) -> dict[str, dict[str, tuple[str, ...]]]:
    """The Condition element with every value a list of strings; JSON's booleans and numbers are written as text."""
    if not isinstance(given, dict):
        _refuse(kind, _SYNTAX)
    block: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, keys in given.items():
        if not isinstance(keys, dict):
            _refuse(kind, _SYNTAX)
        block[name] = {key: _condition_values(values, kind) for key, values in keys.items()}
    return block


def _condition_values(given: Any, kind: Kind) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    out = []
    for value in values:
        if isinstance(value, bool):
            out.append("true" if value else "false")
        elif isinstance(value, (str, int, float)):
            out.append(str(value))
        else:
            _refuse(kind, _SYNTAX)
    return tuple(out)


def _refuse(kind: Kind, message: str) -> NoReturn:
    """Services that hold resource policies put this into their own words and codes."""
    raise AwsError("MalformedPolicy" if kind == "resource" else "MalformedPolicyDocument", message, status=400)
