"""The request context: global condition keys, each made when a condition first asks for it.

Most policies ask for none, so building a context must cost next to nothing. Keys are compared in lower case.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from unkai.kernel.clock import format_utc

if TYPE_CHECKING:
    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx

Values = tuple[str, ...]
Pairs = Mapping[str, "str | Sequence[str]"]


class Given:
    """A context of given keys and values: tests, policy simulation."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Pairs) -> None:
        self._keys = {key.lower(): _values(value) for key, value in keys.items()}

    def get(self, key_lower: str, /) -> Values | None:
        return self._keys.get(key_lower)


class RequestContext:
    """What is known of one call: the caller, the call's surroundings, and what the service adds.

    `added` are the action's own keys (Access.context) and the facts of the front door; they may not replace what says who the
    caller is. `principal_tags` are the tags of the user or role; session tags go before them. `request_tags` and
    `resource_tags` become aws:RequestTag/, aws:TagKeys and aws:ResourceTag/.
    """

    __slots__ = (
        "_added",
        "_caller",
        "_ctx",
        "_folded",
        "_principal_tags",
        "_request_tags",
        "_resource_account",
        "_resource_tags",
    )

    def __init__(
        self,
        caller: Caller,
        ctx: Ctx,
        added: Pairs | None = None,
        *,
        principal_tags: Mapping[str, str] | None = None,
        request_tags: Mapping[str, str] | None = None,
        resource_tags: Mapping[str, str] | None = None,
        resource_account: str = "",
    ) -> None:
        self._caller = caller
        self._ctx = ctx
        self._added = added
        self._folded: dict[str, Values] | None = None
        self._principal_tags = principal_tags
        self._request_tags = request_tags
        self._resource_tags = resource_tags
        self._resource_account = resource_account

    def get(self, key_lower: str, /) -> Values | None:
        make = _CALLER_KEYS.get(key_lower)
        if make is not None:
            return make(self._caller)
        make_ctx = _CTX_KEYS.get(key_lower)
        if make_ctx is not None:
            return make_ctx(self._ctx)
        prefix, slash, name = key_lower.partition("/")
        if slash and prefix in ("aws:principaltag", "aws:requesttag", "aws:resourcetag"):
            return self._tag(prefix, name)
        if key_lower == "aws:tagkeys" and self._request_tags is not None:
            return tuple(self._request_tags)
        if key_lower == "aws:resourceaccount":
            return (self._resource_account,) if self._resource_account else None
        return self._fold().get(key_lower)

    def _tag(self, prefix: str, name: str) -> Values | None:
        """Tag keys are compared without regard to case here, as all condition keys are."""
        sources: tuple[Mapping[str, str] | None, ...]
        if prefix == "aws:principaltag":
            session = self._caller.session
            sources = (session.tags if session else None, self._principal_tags)
        else:
            sources = (self._request_tags if prefix == "aws:requesttag" else self._resource_tags,)
        for tags in sources:
            for key, value in (tags or {}).items():
                if key.lower() == name:
                    return (value,)
        return self._fold().get(f"{prefix}/{name}") if prefix != "aws:principaltag" else None

    def _fold(self) -> dict[str, Values]:
        if self._folded is None:
            pairs: Pairs = {**self._ctx.context, **(self._added or {})}
            self._folded = {key.lower(): _values(value) for key, value in pairs.items()}
        return self._folded


def _values(given: str | Sequence[str]) -> Values:
    return (given,) if isinstance(given, str) else tuple(given)


def _present(text: str) -> Values | None:
    return (text,) if text else None


def _boolean(value: bool) -> Values:
    return ("true",) if value else ("false",)


def _is_service(caller: Caller) -> bool:
    return caller.type == "Service"


def _principal_arn(caller: Caller) -> Values | None:
    return None if caller.type in ("Service", "Anonymous") else (caller.arn,)


def _principal_type(caller: Caller) -> Values:
    return ("Account",) if caller.type == "Root" else (caller.type,)


def _user_name(caller: Caller) -> Values | None:
    """Present for IAM users only, and the last part of the path."""
    return (caller.arn.rpartition("/")[2],) if caller.type == "User" else None


def _principal_account(caller: Caller) -> Values | None:
    return None if caller.type in ("Service", "Anonymous") else (caller.account,)


def _issued(caller: Caller) -> Values | None:
    return (format_utc(caller.session.issued_ms, _ISO),) if caller.session else None


def _mfa(caller: Caller) -> Values | None:
    """Absent for long-term keys, which is why policies must use BoolIfExists.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-multifactorauthpresent"""
    return _boolean(caller.session.mfa) if caller.session else None


_ISO = "%Y-%m-%dT%H:%M:%SZ"

_CALLER_KEYS: dict[str, Callable[[Caller], Values | None]] = {
    "aws:principalarn": _principal_arn,
    "aws:principalaccount": _principal_account,
    "aws:principaltype": _principal_type,
    "aws:principalisawsservice": lambda caller: _boolean(_is_service(caller)),
    "aws:principalservicename": lambda caller: (caller.arn,) if _is_service(caller) else None,
    "aws:principalservicenameslist": lambda caller: (caller.arn,) if _is_service(caller) else None,
    "aws:userid": lambda caller: _present(caller.user_id),
    "aws:username": _user_name,
    "aws:sourcearn": lambda caller: _present(caller.source_arn),
    "aws:sourceaccount": lambda caller: _present(caller.source_account),
    "aws:sourceidentity": lambda caller: _present(caller.session.source_identity) if caller.session else None,
    "aws:tokenissuetime": _issued,
    "aws:multifactorauthpresent": _mfa,
    "aws:viaawsservice": lambda caller: _boolean(bool(caller.via_service)),
    "aws:calledvia": lambda caller: _present(caller.via_service),
    "aws:calledviafirst": lambda caller: _present(caller.via_service),
    "aws:calledvialast": lambda caller: _present(caller.via_service),
}

_CTX_KEYS: dict[str, Callable[[Ctx], Values | None]] = {
    "aws:currenttime": lambda ctx: (format_utc(ctx.now_ms, _ISO),),
    "aws:epochtime": lambda ctx: (str(ctx.now_ms // 1000),),
    "aws:requestedregion": lambda ctx: _present(ctx.region),
}
