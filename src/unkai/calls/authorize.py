"""Is this call allowed? Policies from the store, compiled once per principal and generation, and the decision.

Each request reads its account's IAM generation in its own snapshot, so a right that was revoked is gone with the next request
on any worker; only where the generation has moved is anything loaded and compiled again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from unkai.kernel.arn import Arn
from unkai.kernel.errors import AwsError
from unkai.kernel.ports import ResourcePolicy
from unkai.policy.context import RequestContext
from unkai.policy.document import parse
from unkai.policy.evaluate import CompiledSet, Request, compile, denied_message, evaluate, evaluate_trust

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Credential, PrincipalPolicies
    from unkai.kernel.service import Access, Service
    from unkai.store.api import ReadTx

CACHE_ENTRIES_MAX = 10_000
POLICY_TEXTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """What the composition root takes from IAM: three plain functions."""

    generation_key: Callable[[str], bytes]
    credential: Callable[[ReadTx, str, str, int], Awaitable[Credential | None]]
    principal_policies: Callable[[ReadTx, Caller], Awaitable[PrincipalPolicies]]


@dataclass(frozen=True, slots=True)
class Rights:
    """A principal's policies, compiled."""

    identity: CompiledSet
    boundary: CompiledSet | None
    session: CompiledSet | None
    principal_tags: Mapping[str, str] | None
    exists: bool


@dataclass(slots=True)
class _Entry:
    generation: bytes | None
    generation_key: bytes
    credential: Credential
    rights: Rights | None = None


NO_RIGHTS = Rights(compile(()), None, None, None, True)


@lru_cache(maxsize=POLICY_TEXTS_MAX)
def _compiled_resource_policy(text: str, kind: Literal["resource", "trust"]) -> CompiledSet:
    return compile((parse(text, kind),))


class Authorizer:
    """The cache of credentials and rights of one process, and the decision."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._entries: dict[tuple[str, str], _Entry] = {}

    async def credential(self, tx: ReadTx, access_key_id: str, session_token: str, now_ms: int) -> Credential | None:
        """What an access key stands for now; None where there is none. Raises AwsError where it has expired."""
        entry = self._entries.get((access_key_id, session_token))
        if entry is not None:
            generation = await tx.get(entry.generation_key)
            expires_ms = entry.credential.expires_ms
            if entry.generation == generation and (expires_ms is None or expires_ms > now_ms):
                return entry.credential
        credential = await self._identity.credential(tx, access_key_id, session_token, now_ms)
        if credential is None:
            self._entries.pop((access_key_id, session_token), None)
            return None
        generation_key = self._identity.generation_key(credential.caller.account)
        generation = await tx.get(generation_key)
        if len(self._entries) >= CACHE_ENTRIES_MAX:
            self._entries.clear()
        self._entries[access_key_id, session_token] = _Entry(generation, generation_key, credential)
        return credential

    async def rights(self, tx: ReadTx, caller: Caller, session_token: str = "") -> Rights:
        """The caller's compiled policies; from the cache where `credential` has just looked the caller up."""
        if caller.type in ("Service", "Anonymous", "Root"):
            return NO_RIGHTS
        entry = self._entries.get((caller.access_key_id, session_token))
        if entry is None or entry.credential.caller is not caller:
            return _compile(await self._identity.principal_policies(tx, caller))
        if entry.rights is None:
            entry.rights = _compile(await self._identity.principal_policies(tx, caller))
        return entry.rights

    async def check(
        self, tx: ReadTx, service: Service, ctx: Ctx, needed: Sequence[Access], session_token: str = ""
    ) -> None:
        """Raise AccessDenied, in AWS's words, unless the caller may do all that is needed."""
        rights = await self.rights(tx, ctx.caller, session_token)
        if not rights.exists:
            raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)
        for declared in needed:
            access = declared if service.complete is None else await service.complete(tx, declared)
            resource_account, policy = await _resource_side(tx, service, ctx, access.resource)
            context = RequestContext(
                ctx.caller,
                ctx,
                access.context,
                principal_tags=rights.principal_tags,
                request_tags=access.request_tags,
                resource_tags=access.resource_tags,
                resource_account=resource_account,
            )
            request = Request(ctx.caller, access.action, access.resource, context, resource_account)
            # STS has operations on what is no role, which have no trust policy (and a role always has one).
            if policy is not None and service.resource_policy_kind == "trust":
                decision = evaluate_trust(request, rights.identity, rights.boundary, rights.session, policy)
            else:
                decision = evaluate(request, rights.identity, rights.boundary, rights.session, policy)
            if not decision.allowed:
                raise AwsError(service.access_denied_code, denied_message(decision, request), status=403)


async def _resource_side(tx: ReadTx, service: Service, ctx: Ctx, arn: str) -> tuple[str, CompiledSet | None]:
    """Who owns the resource, and its policy."""
    parsed = Arn.parse(arn) if arn != "*" else None
    # AWS's managed policies (account "aws") are every account's own.
    account = parsed.account if parsed is not None and parsed.account not in ("", "aws") else ctx.account
    if service.resource_policy is None or parsed is None:
        return account, None
    found = await service.resource_policy(tx, arn)
    if isinstance(found, ResourcePolicy):
        account, text = found.account, found.text
    else:
        text = found or ""
    return account, _compiled_resource_policy(text, service.resource_policy_kind) if text else None


def _compile(policies: PrincipalPolicies) -> Rights:
    return Rights(
        identity=compile([parse(text, "identity") for text in policies.identity]),
        boundary=compile((parse(policies.boundary, "boundary"),)) if policies.boundary is not None else None,
        session=compile([parse(text, "session") for text in policies.session]) if policies.session else None,
        principal_tags=policies.principal_tags,
        exists=policies.exists,
    )
