"""Browsers: preflights, and the headers that let a page of another origin read an answer. The only file here that knows HTTP.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from unkai.kernel.errors import AwsError
from unkai.services.s3 import cors

if TYPE_CHECKING:
    from unkai.kernel.http import HttpRequest
    from unkai.store.api import ReadTx

Headers = list[tuple[str, str]]


def _bucket(request: HttpRequest) -> str:
    """The bucket of a path-style request."""
    return unquote(request.path.removeprefix("/").partition("/")[0])


async def cross_origin(tx: ReadTx, request: HttpRequest) -> Headers:
    """What the answer to a request with an Origin carries; nothing where no rule speaks of it."""
    return await cors.cross_origin(tx, _bucket(request), request.headers["origin"], request.method, ()) or []


async def preflight(tx: ReadTx, request: HttpRequest) -> Headers:
    """What the answer to an OPTIONS request consists of. Raises AccessForbidden where no rule allows what is asked for."""
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method")
    if not origin:
        raise AwsError("BadRequest", "Insufficient information. Origin request header needed.", status=400)
    if not method:
        raise AwsError("BadRequest", "Invalid Access-Control-Request-Method: null", status=400)
    asked = [each.strip() for each in request.headers.get("access-control-request-headers", "").split(",")]
    found = await cors.cross_origin(tx, _bucket(request), origin, method, [each for each in asked if each])
    if found is None:
        raise AwsError(
            "AccessForbidden",
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
            "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
            members={"Method": method, "ResourceType": "OBJECT" if request.path.count("/") > 1 else "BUCKET"},
            status=403,
        )
    return found
