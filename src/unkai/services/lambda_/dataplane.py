"""Requests to function URLs and to packages: by host `<id>.lambda-url.<region>.<anything>`, or by path below the node's address.

https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html: a URL of type NONE is open as far as the function's policy allows
everybody; one of type AWS_IAM wants a signature and both lambda:InvokeFunctionUrl and lambda:InvokeFunction.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.kernel.functions import Invocation
from unkai.kernel.http import FileBody, HttpResponse
from unkai.kernel.ports import BlobMissing
from unkai.kernel.service import Access
from unkai.services.lambda_ import keys, limits, loading, packages, rows, running, urlevents
from unkai.services.lambda_.invoke import start_stream
from unkai.services.lambda_.names import FunctionRef
from unkai.services.lambda_.urls import HOST_LABEL, URL_PATH_PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.functions import StreamedResult
    from unkai.kernel.http import HttpRequest
    from unkai.kernel.ports import Node
    from unkai.store.api import Tx

    Authenticate = Callable[[bytes], Awaitable[Caller]]

log = logging.getLogger(__name__)

PRELUDE_SIZE_BYTES_MAX = 64 * 1024


def _plain(status: int, message: str, request_id: str, code: str = "") -> HttpResponse:
    """How function URLs refuse: a JSON body with one member."""
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)]
    if code:
        headers.append(("x-amzn-ErrorType", code))
    return HttpResponse(status, headers, json.dumps({"Message": message}).encode())


async def handle(ctx: Ctx, node: Node, request: HttpRequest, authenticate: Authenticate) -> HttpResponse:
    """Nothing is kept: a crash ends the connection, and the function may have run."""
    host = request.headers.get("host", "")
    if f".{HOST_LABEL}." in host:
        url_id, path = host.partition(".")[0], request.path
    elif request.path.startswith(URL_PATH_PREFIX):
        url_id, _, rest = request.path.removeprefix(URL_PATH_PREFIX).partition("/")
        path = f"/{rest}"
    elif request.path.startswith(packages.URL_PREFIX):
        return await _send_package(ctx, node, request)
    else:
        return _plain(404, "Not Found", ctx.request_id)
    found = await node.run(ctx, find_url, url_id.lower()) if len(url_id) <= 64 else None
    if found is None:
        return _plain(403, "Forbidden", ctx.request_id, "AccessDeniedException")
    return await _visit(ctx, node, request, authenticate, _Url(url_id.lower(), path, *found))


@dataclass(frozen=True, slots=True)
class _Url:
    """The URL that a request is for: whose it is, and what is set for it."""

    id: str
    path: str
    ref: FunctionRef
    setting: dict[str, Any]

    @property
    def auth_type(self) -> str:
        return str(self.setting["AuthType"])

    @property
    def streams(self) -> bool:
        return bool(self.setting["InvokeMode"] == "RESPONSE_STREAM")

    @property
    def cors(self) -> dict[str, Any]:
        return self.setting.get("Cors") or {}


async def find_url(ctx: Ctx, tx: Tx, inp: str) -> tuple[FunctionRef, dict[str, Any]] | None:
    """A step that only reads."""
    value = await tx.get(keys.url(inp))
    if value is None:
        return None
    row = rows.decode_url(value)
    ref = FunctionRef(row.account, row.region, row.name, row.qualifier)
    function = await loading.find(tx, ref)
    setting = await loading.get_setting(tx, function, keys.URL, ref.qualifier) if function is not None else None
    return None if setting is None else (ref, setting.value)


async def _visit(ctx: Ctx, node: Node, request: HttpRequest, authenticate: Authenticate, url: _Url) -> HttpResponse:
    origin = request.headers.get("origin", "")
    if url.cors and request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        asked = [name.strip() for name in request.headers.get("access-control-request-headers", "").split(",") if name]
        return HttpResponse(200, urlevents.cors_headers(url.cors, origin, preflight=True, asked=asked))
    ctx.account, ctx.region = url.ref.account, url.ref.region
    try:
        body = await request.read(limits.PAYLOAD_SIZE_BYTES_MAX)
        signer = await _admit(ctx, node, authenticate, url, body)
        response = await _run(ctx, node, request, body, url, signer)
    except AwsError as error:
        response = _refusal(ctx, error)
    if url.cors:
        names = {name.lower() for name, _ in response.headers}
        more = urlevents.cors_headers(url.cors, origin, preflight=False)
        response.headers.extend((name, value) for name, value in more if name.lower() not in names)
    return response


async def _admit(ctx: Ctx, node: Node, authenticate: Authenticate, url: _Url, body: bytes) -> Caller | None:
    """Who signed the request, where the URL asks for that. Raises AwsError unless it may pass."""
    signer = await authenticate(body) if url.auth_type == "AWS_IAM" else None
    arn, auth_type = url.ref.qualified_arn, url.auth_type
    needed = [
        Access("lambda:InvokeFunctionUrl", arn, {"lambda:FunctionUrlAuthType": auth_type}),
        Access("lambda:InvokeFunction", arn, {"lambda:InvokedViaFunctionUrl": "true"}),
    ]
    await node.require(ctx, "lambda", needed)
    return signer


def _refusal(ctx: Ctx, error: AwsError) -> HttpResponse:
    if error.status == 413:
        return _plain(413, "Request Too Long", ctx.request_id, error.code)
    if error.code == "TooManyRequestsException":
        return _plain(429, "Too Many Requests", ctx.request_id, error.code)
    if not error.sender_fault:
        return _plain(502, "Internal Server Error", ctx.request_id, error.code)
    return _plain(403, "Forbidden", ctx.request_id, "AccessDeniedException")


async def _run(
    ctx: Ctx, node: Node, request: HttpRequest, body: bytes, url: _Url, signer: Caller | None
) -> HttpResponse:
    ref = url.ref
    chosen = await node.run(
        ctx,
        running.choose,
        {"Ref": [ref.account, ref.region, ref.name, ref.qualifier], "RequestId": ctx.request_id},
    )
    event = urlevents.event_of(
        ctx,
        request,
        body,
        path=url.path,
        url_id=url.id,
        domain=request.headers.get("host", "").partition(":")[0],
        account=ref.account,
        caller=signer,
    )
    payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        if url.streams:
            return await _streamed(ctx, await start_stream(ctx, node, chosen, payload))
        running.check_reserved(chosen)
        spec = await running.spec_of(node, chosen)
        invocation = Invocation(ctx.request_id, payload, ref.qualified_arn, ctx.trace)
        result = await running.translated(node.runner.invoke(spec, invocation))
        if result.function_error:
            raise urlevents.BadAnswer
        status, headers, data = urlevents.response_of(result.payload)
    except urlevents.BadAnswer:
        return _plain(502, "Internal Server Error", ctx.request_id, "InternalServerErrorException")
    return HttpResponse(status, [*headers, ("x-amzn-RequestId", ctx.request_id)], data)


async def _streamed(ctx: Ctx, stream: StreamedResult) -> HttpResponse:
    """The answer as it is made. A prelude of JSON and eight NULs, where the content type says so, is status and headers."""
    status, headers = 200, [("Content-Type", stream.content_type or "application/octet-stream")]
    pieces = aiter(stream)
    rest = b""
    if stream.content_type == urlevents.PRELUDE_TYPE:
        prelude, rest = await _prelude(pieces)
        status, headers = urlevents.head_of(prelude)
    headers.append(("x-amzn-RequestId", ctx.request_id))
    return HttpResponse(status, headers, _pieces(stream, pieces, rest))


async def _prelude(pieces: AsyncIterator[bytes]) -> tuple[dict[str, Any], bytes]:
    data = b""
    async for piece in pieces:
        data += piece
        head, found, rest = data.partition(urlevents.PRELUDE_END)
        if found:
            break
        if len(data) > PRELUDE_SIZE_BYTES_MAX:
            raise urlevents.BadAnswer
    else:
        raise urlevents.BadAnswer
    try:
        prelude = json.loads(head)
    except (ValueError, RecursionError):
        raise urlevents.BadAnswer from None
    if not isinstance(prelude, dict):
        raise urlevents.BadAnswer
    return prelude, rest


async def _pieces(stream: StreamedResult, pieces: AsyncIterator[bytes], first: bytes) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in pieces:
        yield piece
    result = await stream.finish()
    if result.function_error:
        log.info("a streamed answer ended in an error", extra={"error": result.function_error})


# --- packages


async def _send_package(ctx: Ctx, node: Node, request: HttpRequest) -> HttpResponse:
    """A deployment package, for whoever has a URL that GetFunction signed less than ten minutes ago."""
    name = request.path.removeprefix(packages.URL_PREFIX)
    query = dict(part.partition("=")[::2] for part in request.query.split("&")[:16])
    key: bytes | None = await node.run(ctx, find_url_key, None)
    signed = key is not None and packages.is_signed(
        key, name, query.get("Expires", ""), query.get("Signature", ""), ctx.now_ms
    )
    if not signed or request.method != "GET":
        return _plain(403, "Request has expired or its signature does not match", ctx.request_id)
    try:
        fd = node.blobs.open(bytes.fromhex(name))
    except (BlobMissing, ValueError):
        return _plain(404, "Not Found", ctx.request_id)
    size_bytes = os.fstat(fd).st_size
    headers = [("Content-Type", "application/zip")]
    return HttpResponse(200, headers, FileBody(fd, 0, size_bytes), size_bytes)


async def find_url_key(ctx: Ctx, tx: Tx, inp: None) -> bytes | None:
    return await tx.get(keys.url_key())
