"""The control API under /_unkai/: what `unkai` itself needs and no AWS API offers.

    GET  /_unkai/health          whether this node serves, and what; needs no signature
    GET  /_unkai/clock           {"node_ms", "real_ms", "movable"}
    POST /_unkai/clock/advance   {"ms": n}; answers when everything that fell due on the way is done

All but health is signed like any AWS request (service name `unkai`) with root's key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.auth import errors as auth_errors
from unkai.auth import sigv4
from unkai.auth.claim import parse
from unkai.kernel.clock import MovableClock
from unkai.kernel.errors import AwsError, access_denied
from unkai.kernel.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.edge.pipeline import Door
    from unkai.kernel.http import HttpRequest

BODY_SIZE_BYTES_MAX = 64 * 1024
ADVANCE_MS_MAX = 10 * 366 * 24 * 3600 * 1000
"""Ten years: more is a slip of the keyboard, and time never goes back."""


class _Advance(msgspec.Struct):
    ms: int


def json_response(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], msgspec.json.encode(body))


async def control(request: HttpRequest, door: Door) -> HttpResponse:
    if request.method in ("GET", "HEAD") and request.path == "/_unkai/health":
        services = dict.fromkeys(sorted(door.platform.services), "running")
        return json_response(200, {"status": "ok", "services": services})
    handler = _ROUTES.get((request.method, request.path))
    if handler is None:
        raise AwsError("NotFound", f"unkai has no control path {request.method} {request.path[:200]}", status=404)
    body = await request.read(BODY_SIZE_BYTES_MAX)
    await _require_root(request, door, body)
    return await handler(door, body)


async def _require_root(request: HttpRequest, door: Door, body: bytes) -> None:
    claim = parse(request)
    if claim is None:
        raise auth_errors.missing_token("json")
    clock = door.platform.clock
    snapshot = door.platform.engine.snapshot()
    try:
        credential = await door.platform.authorizer.credential(
            snapshot, claim.access_key_id, claim.session_token, clock.node_ms()
        )
    finally:
        snapshot.close()
    if credential is None:
        raise auth_errors.unknown_access_key(claim.dialect, claim.access_key_id)
    digest = hashlib.sha256(body).hexdigest()
    sigv4.verify(claim, request, credential.secret, (clock.real_ms(), clock.node_ms()), digest)
    if credential.caller.type != "Root":
        raise access_denied("Only root may use the control API.")


async def _clock(door: Door, body: bytes) -> HttpResponse:
    clock = door.platform.clock
    movable = isinstance(clock, MovableClock)
    return json_response(200, {"node_ms": clock.node_ms(), "real_ms": clock.real_ms(), "movable": movable})


async def _advance(door: Door, body: bytes) -> HttpResponse:
    clock = door.platform.clock
    if not isinstance(clock, MovableClock):
        raise AwsError(
            "ClockNotMovable",
            "This data directory's time cannot be moved. Make one with: unkai up --clock movable",
            status=409,
        )
    try:
        ms = msgspec.json.decode(body, type=_Advance).ms
    except msgspec.MsgspecError as error:
        raise AwsError("ValidationException", str(error), status=400) from None
    if not 0 <= ms <= ADVANCE_MS_MAX:
        raise AwsError("ValidationException", "ms must be from 0 to ten years.", status=400)
    return json_response(200, {"node_ms": await door.advance(ms)})


_ROUTES: dict[tuple[str, str], Callable[[Door, bytes], Awaitable[HttpResponse]]] = {
    ("GET", "/_unkai/clock"): _clock,
    ("POST", "/_unkai/clock/advance"): _advance,
}


def error_response(error: AwsError) -> HttpResponse:
    """Refusals of the control API are JSON, whatever else the client speaks."""
    return json_response(error.status or 400, {"code": error.code, "message": error.message})
