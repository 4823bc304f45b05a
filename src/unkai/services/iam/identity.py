"""Who signs a request, and which policies bind them: what the front door asks of IAM with every call.

The front door keeps what it gets under the account's generation (`generation_key`), which every change of a right or a credential
bumps in its own transaction; a request whose snapshot shows the same number needs no other read, and a right that was taken
away is gone with the next request on any worker. What is kept for temporary credentials is kept by key *and* token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.caller import Caller
from unkai.kernel.errors import AwsError
from unkai.kernel.ports import Credential, PrincipalPolicies
from unkai.services.iam import aws_managed, keys, limits, rows, tokens

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

ACCESS_KEY_SIZE_CHARS_MAX = 128
ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# What temporary credentials of a user may never do, unless MFA was used.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
_SESSION_TOKEN_LIMITS = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:*","Resource":"*"},'
    '{"Effect":"Deny","Action":["sts:GetFederationToken","sts:GetSessionToken","sts:AssumeRoleWith*","sts:AssumeRoot",'
    '"sts:DecodeAuthorizationMessage"],"Resource":"*"}]}'
)
_FEDERATED_LIMITS = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:*","Resource":"*"},'
    '{"Effect":"Deny","Action":["sts:Assume*","sts:Get*Token","sts:DecodeAuthorizationMessage"],"Resource":"*"}]}'
)


def generation_key(account: str) -> bytes:
    """The account's counter: `read_counter(await tx.get(generation_key(account)))`."""
    return keys.generation(account)


def iam_arn(account: str, kind: str, path: str, name: str) -> str:
    return str(Arn("iam", "", account, f"{kind}{path}{name}"))


async def credential(tx: ReadTx, access_key_id: str, session_token: str, now_ms: int) -> Credential | None:
    """What an access key (and the token beside it) stands for.

    None: there is no such key, or it is inactive. Raises ExpiredToken where the session is over, and InvalidToken where the
    token was not given out with this key; the front door words both for the service that was called.
    """
    if len(access_key_id) > ACCESS_KEY_SIZE_CHARS_MAX:
        return None
    if access_key_id.startswith("ASIA"):
        return await _temporary(tx, access_key_id, session_token, now_ms) if session_token else None
    value = await tx.get(keys.access_key(access_key_id))
    if value is None:
        return None
    row = rows.decode_key(value)
    if not row.active:
        return None
    if session_token:
        raise _invalid_token()
    if not row.user:
        root = Caller("Root", row.account, root_arn(row.account), row.account, access_key_id)
        return Credential(root, row.secret)
    user = await get_user(tx, row.account, row.user)
    if user is None or user.id != row.user_id:
        return None
    arn = iam_arn(row.account, "user", user.path, user.name)
    return Credential(Caller("User", row.account, arn, user.id, access_key_id), row.secret)


async def _temporary(tx: ReadTx, access_key_id: str, token: str, now_ms: int) -> Credential:
    seal = await load_seal(tx)
    caller = tokens.open_session(seal, access_key_id, token)
    if caller is None:
        raise _invalid_token()
    assert caller.session is not None
    if caller.session.expires_ms <= now_ms:
        raise AwsError("ExpiredToken", "The security token included in the request is expired", status=403)
    return Credential(caller, tokens.secret_of(seal, access_key_id), caller.session.expires_ms)


def _invalid_token() -> AwsError:
    return AwsError("InvalidToken", "The security token included in the request is invalid.", status=403)


def root_arn(account: str) -> str:
    return str(Arn("iam", "", account, "root"))


async def load_seal(tx: ReadTx) -> bytes:
    seal = await tx.get(keys.seal())
    assert seal is not None, "bootstrap makes the sealing key before the first request"
    return seal


async def get_user(tx: ReadTx, account: str, name: str) -> rows.UserRow | None:
    value = await tx.get(keys.entity(account, "user", name))
    return None if value is None else rows.decode_user(value)


async def get_role(tx: ReadTx, account: str, name: str) -> rows.RoleRow | None:
    value = await tx.get(keys.entity(account, "role", name))
    return None if value is None else rows.decode_role(value)


async def managed_text(tx: ReadTx, account: str, arn: str) -> str | None:
    """The default version of the managed policy that `arn` names, as `account` sees it."""
    parsed = Arn.parse(arn)
    if parsed is None or not parsed.resource.startswith("policy/"):
        return None
    if parsed.account == "aws":
        return aws_managed.text_of(arn)
    path, _, name = parsed.resource.removeprefix("policy").rpartition("/")
    if parsed.account != account or len(name) > limits.NAME_SIZE_CHARS_MAX:
        return None
    value = await tx.get(keys.entity(account, "policy", name))
    if value is None:
        return None
    row = rows.decode_policy(value)
    return row.versions[row.default].document if (row.path, row.name) == (f"{path}/", name) else None


async def principal_policies(tx: ReadTx, caller: Caller) -> PrincipalPolicies:
    """All policies that apply to `caller`, as texts. `exists` is False where the user or role is gone: nothing is allowed then,
    to a session that outlives its role as little as to a role made again under its name."""
    session = caller.session
    texts = [await _session_text(tx, caller.account, given) for given in session.policies] if session else []
    if caller.type == "AssumedRole":
        role = await get_role(tx, caller.account, caller.arn.rpartition("/")[2])
        if role is None or role.id != caller.user_id.partition(":")[0]:
            return PrincipalPolicies(exists=False)
        return await _of_entity(tx, caller.account, role, texts, [])
    if caller.type == "User":
        user = await get_user(tx, caller.account, caller.arn.rpartition("/")[2])
        if user is None or user.id != caller.user_id:
            return PrincipalPolicies(exists=False)
        limits = [_SESSION_TOKEN_LIMITS] if session and not session.mfa else []
        return await _of_entity(tx, caller.account, user, texts, limits)
    if caller.type == "FederatedUser":
        return await _of_federated(tx, caller, texts)
    return PrincipalPolicies(session=texts)


async def _of_federated(tx: ReadTx, caller: Caller, texts: list[str]) -> PrincipalPolicies:
    """A federated user has what both its session policies and the user who asked for it allow."""
    assert caller.session is not None
    issuer = caller.session.issuer
    if issuer == root_arn(caller.account):
        return PrincipalPolicies([ALLOW_ALL, _FEDERATED_LIMITS], session=texts)
    name, _, user_id = issuer.rpartition("/")[2].partition("#")
    user = await get_user(tx, caller.account, name)
    if user is None or user.id != user_id:
        return PrincipalPolicies(exists=False)
    return await _of_entity(tx, caller.account, user, texts, [_FEDERATED_LIMITS])


async def _session_text(tx: ReadTx, account: str, given: str) -> str:
    """A session policy is a text, or the ARN of a managed policy; one that was deleted since allows nothing."""
    if not given.startswith("arn:"):
        return given
    return await managed_text(tx, account, given) or _NOTHING


_NOTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"*","Resource":"*"}]}'


async def _of_entity(
    tx: ReadTx, account: str, entity: rows.UserRow | rows.RoleRow, session: list[str], more: list[str]
) -> PrincipalPolicies:
    inline = [*more, *entity.inline.values()]
    arns = dict.fromkeys(entity.attached)
    if isinstance(entity, rows.UserRow):
        for name in entity.groups:
            value = await tx.get(keys.entity(account, "group", name))
            if value is not None:
                group = rows.decode_group(value)
                inline += group.inline.values()
                arns |= dict.fromkeys(group.attached)
    texts = [await managed_text(tx, account, arn) for arn in arns]
    boundary = None
    if entity.boundary:
        # A boundary that cannot be found must bind, not vanish.
        boundary = await managed_text(tx, account, entity.boundary) or _NOTHING
    return PrincipalPolicies(
        identity=[*inline, *(text for text in texts if text is not None)],
        boundary=boundary,
        session=session,
        principal_tags=entity.tags,
    )


async def bootstrap(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Make the account, root's access key and the node's sealing key. Run at every start; what is there stays.

    What the operator starts the node with counts: a key that is new replaces root's others, and one that was deleted or made
    inactive works again.
    """
    account, access_key_id, secret = inp["account"], inp["access_key_id"], inp["secret"]
    if await tx.get(keys.seal()) is None:
        tx.set(keys.seal(), ctx.ids.token(tokens.SEAL_SIZE_BYTES))
    value = await tx.get(keys.account(account))
    row = rows.decode_account(value) if value is not None else rows.AccountRow(account, ctx.now_ms, [])
    found = await tx.get(keys.access_key(access_key_id))
    current = rows.decode_key(found) if found is not None else None
    if current is not None and (current.account != account or current.user):
        raise AwsError("EntityAlreadyExists", "The access key id belongs to another principal.", status=409)
    is_same = current is not None and current.secret == secret and current.active
    if is_same and access_key_id in row.root_keys:
        return {}

    created_ms = current.created_ms if current is not None else ctx.now_ms
    for old in row.root_keys:
        if old != access_key_id:
            tx.clear(keys.access_key(old))
    tx.set(keys.access_key(access_key_id), rows.encode(rows.KeyRow(access_key_id, account, secret, created_ms)))
    tx.set(keys.account(account), rows.encode(rows.AccountRow(account, row.created_ms, [access_key_id], row.alias)))
    tx.add(keys.generation(account), 1)

    return {}
