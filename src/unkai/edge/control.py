"""The control API under /_unkai/: what `unkai` itself needs and no AWS API offers. All but health asks for root credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.http import HttpResponse

if TYPE_CHECKING:
    from unkai.edge.pipeline import Door
    from unkai.kernel.http import HttpRequest


def json_response(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], msgspec.json.encode(body))


async def control(request: HttpRequest, door: Door) -> HttpResponse:
    """/_unkai/health: whether this node serves, and what."""
    if request.path == "/_unkai/health":
        return json_response(
            200, {"status": "ok", "services": dict.fromkeys(sorted(door.platform.services), "running")}
        )
    return json_response(404, {"message": f"unkai has no control path {request.path[:200]}"})
