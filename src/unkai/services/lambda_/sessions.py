"""The session that a function gets from its role: its credentials, and the caller that Lambda is when it acts for the function.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from unkai.kernel.caller import Caller, Session, service_caller
from unkai.kernel.functions import Credentials
from unkai.services.lambda_ import limits

if TYPE_CHECKING:
    from unkai.kernel.ports import Node

PRINCIPAL = "lambda.amazonaws.com"
SESSIONS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class RoleSession:
    credentials: Credentials
    caller: Caller


@dataclass(slots=True)
class _Cache:
    """The sessions that one process of the node holds. They die with it; the next process asks anew."""

    sessions: dict[tuple[str, str], RoleSession] = field(default_factory=dict)


_caches: WeakKeyDictionary[Any, _Cache] = WeakKeyDictionary()


def offset_ms(node: Node) -> int:
    """How far node time is ahead of real time, in whole seconds: the runtime and its lines live in real time."""
    return round((node.clock.node_ms() - node.clock.real_ms()) / 1000) * 1000


async def role_session(node: Node, role: str, account: str, region: str, name: str, arn: str) -> RoleSession:
    """A session of `role` for function `name`, with enough time left for an invocation. Raises STS's AwsError."""
    cache = _caches.setdefault(node, _Cache())
    found = cache.sessions.get((role, arn))
    if found is not None and found.credentials.expires_ms - node.clock.node_ms() > limits.SESSION_LEFT_MS_MIN:
        return found
    session = await assume(node, role, account, region, name, arn)
    if len(cache.sessions) >= SESSIONS_MAX:
        cache.sessions.clear()
    cache.sessions[role, arn] = session
    return session


async def assume(node: Node, role: str, account: str, region: str, name: str, arn: str) -> RoleSession:
    issued_ms = node.clock.node_ms()
    # STS wants 2 to 64 characters; a function's name has 1 to 64.
    session_name = name[:64].ljust(2, "_")
    inp = {"RoleArn": role, "RoleSessionName": session_name, "DurationSeconds": limits.SESSION_S}
    out = await node.call("sts", "AssumeRole", inp, as_=service_caller(PRINCIPAL, account, arn), region=region)
    given, user = out["Credentials"], out["AssumedRoleUser"]
    credentials = Credentials(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"]
    )
    caller = Caller(
        "AssumedRole",
        role.split(":")[4],
        role,
        user_id=user["AssumedRoleId"],
        access_key_id=given["AccessKeyId"],
        session=Session(session_name, issued_ms, given["Expiration"]),
        session_arn=user["Arn"],
    )
    return RoleSession(credentials, caller)
