"""The way of a request, as one function that reads like the list in DESIGN.md. Each step is a plain function.

HttpRequest -> target -> Caller -> input -> allowed? -> valid? -> handler in a transaction -> output -> bytes
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from unkai.auth import errors as auth_errors
from unkai.auth import sigv4
from unkai.auth.claim import parse
from unkai.edge.bodies import covered_body
from unkai.edge.control import control, error_response
from unkai.edge.routing import bucket_of_host, data_plane_of, service_of, targets_of
from unkai.kernel.caller import Caller, anonymous
from unkai.kernel.clock import monotonic_ns
from unkai.kernel.errors import AwsError, internal_failure, not_implemented
from unkai.kernel.http import HttpResponse
from unkai.kernel.ids import new_request_id
from unkai.model.load import load_service
from unkai.wire.bindings import streams_input
from unkai.wire.codec import codec_for
from unkai.wire.compression import inflate, is_compressed
from unkai.wire.validate import validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from unkai.auth.claim import Claim
    from unkai.calls.execute import Platform
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel
    from unkai.store.api import Snapshot
    from unkai.wire.codec import Codec

log = logging.getLogger(__name__)

BODY_SIZE_BYTES_MAX = 70 * 1024 * 1024
"""The largest body of an operation that does not stream: Lambda's CreateFunction with a zip of 50 MB in base64."""
DEFAULT_REGION = "us-east-1"
CONTROL_PREFIX = "/_unkai/"


@dataclass(slots=True)
class Record:
    """What one request was: the single source of metrics, access log, usage and cost."""

    request_id: str
    service: str = ""
    operation: str = ""
    account: str = ""
    region: str = ""
    status: int = 0
    error_code: str = ""
    latency_ns: int = 0


@dataclass(frozen=True)
class Door:
    """What the pipeline needs of the node. `record` is told of every request."""

    platform: Platform
    record: Callable[[Record], None]
    advance: Callable[[int], Awaitable[int]]
    """Move node time forward by milliseconds, carrying out what falls due; the new node time."""
    default_account: str = ""
    unsigned_services: frozenset[str] = field(default=frozenset({"s3", "sqs", "sns", "sts"}))
    """Services whose resource policies may let anybody in; the others refuse a missing signature as such."""

    @cached_property
    def targets(self) -> Mapping[str, str]:
        """The service of each X-Amz-Target prefix. Made at the first request, since it loads every service's model."""
        return targets_of(self.platform.services)


@dataclass(slots=True)
class _Target:
    """What is known so far of where a request goes; errors are encoded with it."""

    model: ServiceModel | None = None
    codec: Codec | None = None
    operation: Operation | None = None


async def handle(door: Door, request: HttpRequest) -> HttpResponse:
    """Never raises: every refusal and every defect becomes a response here."""
    started_ns = monotonic_ns()
    record = Record(new_request_id())
    target = _Target()
    try:
        if request.path.startswith(CONTROL_PREFIX):
            record.service = "unkai"
            response = await _control(door, request)
        elif (service := data_plane_of(request)) is not None and service in door.platform.services:
            record.service = service
            response = await _data_plane(door, request, record)
        else:
            response = await _respond(door, request, record, target)
    except AwsError as error:
        record.error_code = error.code
        response = _encode_error(target, error, record.request_id, request)
    except Exception:
        log.exception("request failed", extra={"request_id": record.request_id, "operation": record.operation})
        record.error_code = "InternalFailure"
        response = _encode_error(target, internal_failure(), record.request_id, request)
    if "origin" in request.headers and target.model is not None and request.method != "OPTIONS":
        await _allow_origin(door, request, target.model, response)
    record.status = response.status
    record.latency_ns = monotonic_ns() - started_ns
    door.record(record)
    return response


async def _allow_origin(door: Door, request: HttpRequest, model: ServiceModel, response: HttpResponse) -> None:
    """Let the page that a browser asks for read the answer, also a refusal, where the service's rules say so."""
    allow = door.platform.services[model.name].cross_origin
    if allow is None:
        return
    snapshot = door.platform.engine.snapshot()
    try:
        response.headers.extend(await allow(snapshot, _addressed(request, _bucket_of_host(request, model))))
    finally:
        snapshot.close()


async def _preflight(door: Door, addressed: HttpRequest, model: ServiceModel) -> HttpResponse | None:
    """The answer to a browser that asks whether it may ask; None where the service knows no other origins."""
    ask = door.platform.services[model.name].preflight
    if ask is None:
        return None
    snapshot = door.platform.engine.snapshot()
    try:
        return HttpResponse(200, await ask(snapshot, addressed))
    finally:
        snapshot.close()


async def _control(door: Door, request: HttpRequest) -> HttpResponse:
    try:
        return await control(request, door)
    except AwsError as error:
        return error_response(error)


async def _data_plane(door: Door, request: HttpRequest, record: Record) -> HttpResponse:
    """The second door: a service answers the raw request. Who signed it is found out only if the service asks."""
    service = door.platform.services[record.service]
    ctx = _ctx(door, anonymous(), None, request, record)

    async def authenticate(body: bytes) -> Caller:
        claim = parse(request)
        if claim is not None:
            snapshot = door.platform.engine.snapshot()
            try:
                ctx.caller, secret = await _authenticate(door, claim, request, body, snapshot, service.name, "")
            finally:
                snapshot.close()
            covered_body(claim, request, body, secret)
        return ctx.caller

    response: HttpResponse = await service.dataplane(ctx, door.platform, request, authenticate)
    return response


async def _respond(door: Door, request: HttpRequest, record: Record, target: _Target) -> HttpResponse:
    platform = door.platform
    claim = parse(request)
    _route(door, request, claim, target, record)
    model, codec = target.model, target.codec
    assert model is not None
    assert codec is not None

    bucket = _bucket_of_host(request, model)
    addressed = _addressed(request, bucket)
    if request.method == "OPTIONS" and (answer := await _preflight(door, addressed, model)) is not None:
        return answer
    body = request.body
    if not codec.protocol.startswith("rest-"):  # where the body names the operation, it is needed first
        body = await request.read(BODY_SIZE_BYTES_MAX)
    plain = inflate(body, BODY_SIZE_BYTES_MAX) if isinstance(body, bytes) and is_compressed(model, request) else body
    operation = target.operation = codec.operation_of(model, addressed, plain if isinstance(plain, bytes) else b"")
    record.operation = operation.name
    if not isinstance(body, bytes) and not streams_input(operation):
        body = plain = await request.read(BODY_SIZE_BYTES_MAX)

    # No wait for the outside from here to the handler: the snapshot is open.
    snapshot = platform.engine.snapshot()
    try:
        caller, secret = await _authenticate(door, claim, request, body, snapshot, model.name, bucket)
        covered = covered_body(claim, request, plain, secret)
        if covered.headers is not request.headers:
            addressed = replace(addressed, headers=covered.headers)
        inp = codec.decode(operation, addressed, covered.body)
        ctx = _ctx(door, caller, claim, request, record)
        bound = platform.bound(model.name, operation.name)
        await platform.authorize(snapshot, bound, ctx, inp, claim.session_token if claim is not None else "")
        validate(operation, inp, bound.service.wording)
        out = await platform.execute(bound, ctx, inp, snapshot)
    finally:
        snapshot.close()
    return codec.encode(operation, out, record.request_id)


def _route(door: Door, request: HttpRequest, claim: Claim | None, target: _Target, record: Record) -> None:
    """Which service, and which of its protocols."""
    name = service_of(request, claim.service if claim is not None else "", door.targets)
    record.service = name
    if name not in door.platform.services:
        raise not_implemented(name, "*")
    target.model = load_service(name)
    target.codec = codec_for(target.model, request)


def _bucket_of_host(request: HttpRequest, model: ServiceModel) -> str:
    """The bucket of a virtual-hosted S3 request, "" where there is none."""
    return (bucket_of_host(request.headers.get("host", "")) or "") if model.name == "s3" else ""


def _addressed(request: HttpRequest, bucket: str) -> HttpRequest:
    """The request as the codec reads it: a bucket in the host name moves into the path. Signatures cover the original."""
    return replace(request, path=f"/{bucket}{request.path}") if bucket else request


_TOKEN_REFUSALS = {"ExpiredToken": auth_errors.expired_token, "InvalidToken": auth_errors.invalid_token}


async def _authenticate(
    door: Door, claim: Claim | None, request: HttpRequest, body: Any, snapshot: Snapshot, service: str, bucket: str
) -> tuple[Caller, str]:
    """Who signed the request, and the secret, which also covers the chunks of its body."""
    if claim is None:
        if service not in door.unsigned_services:
            raise auth_errors.missing_token(auth_errors.dialect_of(request, service))
        return anonymous(), ""
    clock = door.platform.clock
    now_ms = clock.node_ms()
    try:
        credential = await door.platform.authorizer.credential(
            snapshot, claim.access_key_id, claim.session_token, now_ms
        )
    except AwsError as error:
        raise _TOKEN_REFUSALS[error.code](claim.dialect, claim.session_token) from None
    if credential is None:
        raise auth_errors.unknown_access_key(claim.dialect, claim.access_key_id)
    digest = None
    if isinstance(body, bytes) and claim.payload in ("body", "declared"):
        digest = hashlib.sha256(body).hexdigest()
    # Version 2 signatures, which presigned URLs may still have, do not cover the host: the bucket in it is added.
    sigv4.verify(claim, request, credential.secret, (clock.real_ms(), now_ms), digest, host_bucket=bucket)
    return credential.caller, credential.secret


def _ctx(door: Door, caller: Caller, claim: Claim | None, request: HttpRequest, record: Record) -> Ctx:
    headers = request.headers
    host = headers.get("host", "")
    record.account = caller.account if claim is not None else door.default_account
    record.region = claim.region if claim is not None else DEFAULT_REGION
    context = {
        "aws:SourceIp": request.source_ip,
        "aws:SecureTransport": "true" if request.scheme == "https" else "false",
    }
    if "user-agent" in headers:
        context["aws:UserAgent"] = headers["user-agent"]
    if "referer" in headers:
        context["aws:Referer"] = headers["referer"]
    return door.platform.make_ctx(
        caller,
        record.account,
        record.region,
        record.request_id,
        f"{request.scheme}://{host}",
        headers.get("x-amzn-trace-id", ""),
        context,
    )


def _encode_error(target: _Target, error: AwsError, request_id: str, request: HttpRequest) -> HttpResponse:
    """In the protocol that the client speaks, as far as that is known."""
    codec = target.codec
    if codec is None:
        model = load_service("sqs" if "x-amz-target" in request.headers else "s3")
        codec = codec_for(model, request)
    return codec.encode_error(target.model, target.operation, error, request_id)
