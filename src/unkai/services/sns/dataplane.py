"""The one thing that SNS serves besides its API: the certificate that message signatures are checked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.http import HttpRequest, HttpResponse
from unkai.services.sns.signing import PATH_PREFIX, signing_key

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node


async def certificate(ctx: Ctx, node: Node, request: HttpRequest, authenticate: object) -> HttpResponse:
    """GET /SimpleNotificationService-<name>.pem, without a signature: it is public."""
    key = await signing_key(ctx, node)
    if request.method not in ("GET", "HEAD") or request.path != f"{PATH_PREFIX}{key.name}.pem":
        return HttpResponse(404, [("Content-Type", "text/plain")], b"No such certificate.\n")
    body = b"" if request.method == "HEAD" else key.certificate
    return HttpResponse(200, [("Content-Type", "application/x-pem-file"), ("Cache-Control", "max-age=86400")], body)
