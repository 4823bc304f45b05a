"""Temporary credentials: the operations of STS. https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html

How AssumeRole is authorized: its access rule names sts:AssumeRole (with sts:TagSession and sts:SetSourceIdentity where the call
asks for them) on the role's ARN, and `trust.resource_policy` gives the role's trust policy for that ARN. The trust policy must
allow it in any case; the caller's own policies must allow it too, unless the role is of the caller's account and its trust policy
names the caller itself and not just the account. What happens here runs after that decision.

No session has a row in the store, so nothing is written: the credentials are sealed into their token.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.caller import Caller, Session
from unkai.kernel.service import Access
from unkai.policy.document import parse, size_chars
from unkai.services.iam import entities, errors, identity, keys, limits, rows, tokens
from unkai.services.iam.entities import ROLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.services.iam.rows import RoleRow
    from unkai.store.api import ReadTx

_MESSAGE = b"authorization message"


def assume_role_access(ctx: Ctx, inp: Mapping[str, Any]) -> Sequence[Access]:
    """AssumeRole and what it implies, each on the role, each subject to the trust policy."""
    context: dict[str, str | Sequence[str]] = {}
    if name := inp.get("RoleSessionName"):
        context["sts:RoleSessionName"] = name
    if external := inp.get("ExternalId"):
        context["sts:ExternalId"] = external
    if source := inp.get("SourceIdentity"):
        context["sts:SourceIdentity"] = source
    if transitive := inp.get("TransitiveTagKeys"):
        context["sts:TransitiveTagKeys"] = transitive
    role, tags = inp["RoleArn"], _given_tags(inp)
    # What the caller's own session passes on needs the right too.
    before = ctx.caller.session
    actions = ["sts:AssumeRole"]
    if tags or transitive or (before is not None and before.transitive_tags):
        actions.append("sts:TagSession")
    if source or (before is not None and before.source_identity):
        actions.append("sts:SetSourceIdentity")
    return tuple(Access(action, role, context, tags) for action in actions)


def federation_access(ctx: Ctx, inp: Mapping[str, Any]) -> Sequence[Access]:
    arn = str(Arn("sts", "", ctx.account, f"federated-user/{inp['Name']}"))
    tags = _given_tags(inp)
    actions = ["sts:GetFederationToken", *(["sts:TagSession"] if tags else [])]
    return tuple(Access(action, arn, request_tags=tags) for action in actions)


def _given_tags(inp: Mapping[str, Any]) -> dict[str, str] | None:
    tags = {tag["Key"]: tag["Value"] for tag in inp.get("Tags", ()) if "Key" in tag and "Value" in tag}
    return tags or None


async def assume_role(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    caller = ctx.caller
    if caller.type == "Root":
        raise errors.root_may_not_assume()
    if inp.get("SerialNumber") or inp.get("TokenCode"):
        raise errors.no_mfa()
    account, role = await _assumable(ctx, tx, inp["RoleArn"])
    duration_s = inp.get("DurationSeconds", limits.SESSION_S_DEFAULT)
    if caller.session is not None and duration_s > limits.CHAINED_S_MAX:
        raise errors.chained_too_long()
    if duration_s > role.session_s_max:
        raise errors.session_too_long()
    name = inp["RoleSessionName"]
    inherited, transitive = _inherited(caller)
    tags = _merge_tags(inherited, inp.get("Tags", ()))
    source_identity = _source_identity(caller, inp.get("SourceIdentity", ""))
    policies, percent = await _session_policies(tx, account, inp, tags)
    session = Session(
        name=name,
        issued_ms=ctx.now_ms,
        expires_ms=_expires_ms(ctx, duration_s),
        policies=policies,
        tags=tags,
        source_identity=source_identity,
        transitive_tags=_transitive(tags, transitive, inp.get("TransitiveTagKeys", ())),
    )
    arn = str(Arn("sts", "", account, f"assumed-role/{role.name}/{name}"))
    user_id = f"{role.id}:{name}"
    assumed = Caller(
        type="AssumedRole",
        account=account,
        arn=entities.arn_of(account, ROLE, role),
        user_id=user_id,
        access_key_id=_access_key_id(ctx),
        session=session,
        session_arn=arn,
    )

    out: dict[str, Any] = {
        "Credentials": await _credentials(ctx, tx, assumed),
        "AssumedRoleUser": {"AssumedRoleId": user_id, "Arn": arn},
    }
    if percent:
        out["PackedPolicySize"] = percent
    if source_identity:
        out["SourceIdentity"] = source_identity
    return out


async def _assumable(ctx: Ctx, tx: ReadTx, arn: str) -> tuple[str, RoleRow]:
    """The role and its account. A role that is not there is refused like one that does not trust the caller."""
    parsed = Arn.parse(arn)
    if parsed is not None and parsed.service == "iam" and parsed.resource.startswith("role/"):
        row: RoleRow | None = await entities.find(tx, parsed.account, ROLE, parsed.resource.rpartition("/")[2])
        if row is not None and entities.arn_of(parsed.account, ROLE, row) == arn:
            return parsed.account, row
    raise errors.not_authorized(ctx.caller.shown_arn, "sts:AssumeRole", arn)


def _inherited(caller: Caller) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tags that the caller's own session passes on, and their keys."""
    if caller.session is None:
        return {}, ()
    keys_lower = {key.lower() for key in caller.session.transitive_tags}
    tags = {key: value for key, value in caller.session.tags.items() if key.lower() in keys_lower}
    return tags, caller.session.transitive_tags


def _merge_tags(inherited: Mapping[str, str], given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """A tag that came down the chain cannot be replaced.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_role-chaining"""
    tags = entities.tags_of(given)
    fixed = {key.lower() for key in inherited}
    for key in tags:
        if key.lower() in fixed:
            raise errors.transitive_tag(key)
    return entities.tags_within_limit(dict(inherited) | tags)


def _transitive(tags: Mapping[str, str], inherited: tuple[str, ...], asked: Sequence[str]) -> tuple[str, ...]:
    present = {key.lower() for key in tags}
    for key in asked:
        if key.lower() not in present:
            raise errors.unknown_transitive_tag(key)
    return tuple(dict.fromkeys((*inherited, *asked)))


def _source_identity(caller: Caller, given: str) -> str:
    """Once set it stays through the whole chain.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html"""
    before = caller.session.source_identity if caller.session is not None else ""
    if before and given and before != given:
        raise errors.source_identity_is_set()
    return given or before


async def _session_policies(
    tx: ReadTx, account: str, inp: Mapping[str, Any], tags: Mapping[str, str]
) -> tuple[tuple[str, ...], int]:
    """The session policies (a text, and ARNs of managed ones), and the share of the packed limit that they take with the tags."""
    policies: list[str] = []
    if text := inp.get("Policy"):
        if size_chars(text) > limits.SESSION_POLICY_SIZE_CHARS_MAX:
            raise errors.packed_policy_too_large(100 * size_chars(text) // limits.SESSION_POLICY_SIZE_CHARS_MAX)
        parse(text, "session")
        policies.append(_compact(text))
    for given in inp.get("PolicyArns", ()):
        arn = given.get("arn", "")
        if await identity.managed_text(tx, account, arn) is None:
            raise errors.session_policy_not_found(arn)
        policies.append(arn)
    if not policies and not tags:
        return (), 0
    packed = len(zlib.compress(json.dumps([policies, dict(tags)]).encode()))
    percent = max(1, 100 * packed // limits.PACKED_SIZE_BYTES_MAX)
    if packed > limits.PACKED_SIZE_BYTES_MAX:
        raise errors.packed_policy_too_large(percent)
    return tuple(policies), percent


def _compact(text: str) -> str:
    """Without white space, which is free in AWS's count but not in a token."""
    return json.dumps(json.loads(text), separators=(",", ":"))


async def get_session_token(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The caller's own rights for a while, without its long-term key."""
    caller = _long_term(ctx, "GetSessionToken")
    duration_s = inp.get("DurationSeconds", limits.SESSION_TOKEN_S_DEFAULT)
    if inp.get("SerialNumber") or inp.get("TokenCode"):
        raise errors.no_mfa()
    if caller.type == "Root":
        duration_s = min(duration_s, limits.ROOT_SESSION_S_MAX)
    session = Session("", ctx.now_ms, _expires_ms(ctx, duration_s))
    return {"Credentials": await _credentials(ctx, tx, _with_session(ctx, caller, session))}


def _with_session(ctx: Ctx, caller: Caller, session: Session) -> Caller:
    return Caller(caller.type, caller.account, caller.arn, caller.user_id, _access_key_id(ctx), session)


async def get_federation_token(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """A user from elsewhere, with what both the calling user and the session policies allow."""
    caller = _long_term(ctx, "GetFederationToken")
    duration_s = inp.get("DurationSeconds", limits.SESSION_TOKEN_S_DEFAULT)
    if caller.type == "Root":
        duration_s = min(duration_s, limits.ROOT_SESSION_S_MAX)
    tags = entities.tags_of(inp.get("Tags", ()))
    policies, percent = await _session_policies(tx, ctx.account, inp, tags)
    name = inp["Name"]
    issuer = caller.arn if caller.type == "Root" else f"{caller.arn}#{caller.user_id}"
    session = Session(name, ctx.now_ms, _expires_ms(ctx, duration_s), policies, tags, issuer=issuer)
    arn = str(Arn("sts", "", ctx.account, f"federated-user/{name}"))
    federated = Caller("FederatedUser", ctx.account, arn, f"{ctx.account}:{name}", _access_key_id(ctx), session, arn)

    out: dict[str, Any] = {
        "Credentials": await _credentials(ctx, tx, federated),
        "FederatedUser": {"FederatedUserId": federated.user_id, "Arn": arn},
    }
    if percent:
        out["PackedPolicySize"] = percent
    return out


def _long_term(ctx: Ctx, operation: str) -> Caller:
    """These two are for users and root with their long-term keys only.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html"""
    if ctx.caller.type not in ("User", "Root") or ctx.caller.session is not None:
        raise errors.temporary_may_not(operation)
    return ctx.caller


def _access_key_id(ctx: Ctx) -> str:
    return "ASIA" + ctx.ids.base32(16)


def _expires_ms(ctx: Ctx, duration_s: int) -> int:
    # Clients see whole seconds; the session must not end before what they were told.
    return (ctx.now_ms // 1000 + duration_s) * 1000


async def _credentials(ctx: Ctx, tx: ReadTx, caller: Caller) -> dict[str, Any]:
    assert caller.session is not None
    seal = await identity.load_seal(tx)
    return {
        "AccessKeyId": caller.access_key_id,
        "SecretAccessKey": tokens.secret_of(seal, caller.access_key_id),
        "SessionToken": tokens.seal_session(ctx, seal, caller),
        "Expiration": caller.session.expires_ms,
    }


async def get_caller_identity(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """Needs no right: an explicit deny does not hold it back either."""
    if ctx.caller.type == "Anonymous":
        raise errors.missing_token()
    return {"UserId": ctx.caller.user_id, "Account": ctx.caller.account, "Arn": ctx.caller.shown_arn}


async def get_access_key_info(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The account of a key of any account here. AWS reads it out of the id itself, so it knows temporary keys too; here only
    the caller's own temporary key is known."""
    access_key_id = inp["AccessKeyId"]
    if access_key_id == ctx.caller.access_key_id:
        return {"Account": ctx.caller.account}
    value = await tx.get(keys.access_key(access_key_id))
    if value is None:
        raise errors.unknown_access_key()
    return {"Account": rows.decode_key(value).account}


async def encode_authorization_message(ctx: Ctx, tx: ReadTx, decision: Mapping[str, Any]) -> str:
    """Why a call was refused, sealed: for services whose AccessDenied carries an encoded message. Only this account can open it."""
    purpose = _MESSAGE + ctx.account.encode()
    return tokens.seal_bytes(ctx, await identity.load_seal(tx), purpose, json.dumps(decision).encode())


async def decode_authorization_message(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    purpose = _MESSAGE + ctx.account.encode()
    plain = tokens.open_bytes(await identity.load_seal(tx), purpose, inp["EncodedMessage"])
    if plain is None:
        raise errors.invalid_authorization_message()
    return {"DecodedMessage": plain.decode()}
