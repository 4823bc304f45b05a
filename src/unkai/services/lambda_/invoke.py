"""Invoking: synchronous, asynchronous, dry, streamed. https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.functions import Invocation
from unkai.layers.tasks import add_task
from unkai.services.lambda_ import errors, limits, loading, running
from unkai.services.lambda_.events import INVOKE, Event
from unkai.services.lambda_.names import FunctionRef, ref_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.functions import StreamedResult
    from unkai.kernel.http import BodyStream
    from unkai.kernel.ports import Node
    from unkai.services.lambda_.running import Chosen
    from unkai.store.api import Tx

_is_json = msgspec.json.Decoder().decode


async def invoke(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Synchronously nothing is kept: where the process dies the client sees a broken connection, and the function may have run.
    Asynchronously the event is a task before the client sees 202, and runs at least once from then on."""
    ref = ref_of(ctx, inp)
    kind = inp.get("InvocationType", "RequestResponse")
    payload = inp.get("Payload") or b"{}"
    check_payload(payload, kind)
    if inp.get("TenantId") or inp.get("DurableExecutionName"):
        raise errors.unsupported("TenantId" if inp.get("TenantId") else "DurableExecutionName")
    if kind == "Event":
        await enqueue(ctx, node, ref, payload, inp.get("ClientContext", ""))
        return {"StatusCode": 202}
    chosen: Chosen = await node.run(ctx, running.choose, _question(ctx, ref))
    if kind == "DryRun":
        return {"StatusCode": 204}

    running.check_reserved(chosen)
    spec = await running.spec_of(node, chosen)
    invocation = Invocation(
        request_id=ctx.request_id,
        payload=payload,
        invoked_arn=ref.qualified_arn,
        trace_header=ctx.trace,
        client_context=_client_context(inp),
    )
    result = await running.translated(node.runner.invoke(spec, invocation))
    out: dict[str, Any] = {
        "StatusCode": 200,
        "ExecutedVersion": chosen.version.version,
        "Payload": result.payload,
    }
    if result.function_error:
        out["FunctionError"] = result.function_error
    if inp.get("LogType") == "Tail":
        out["LogResult"] = base64.b64encode(result.log_tail).decode()
    return out


def _question(ctx: Ctx, ref: FunctionRef) -> dict[str, Any]:
    return {"Ref": [ref.account, ref.region, ref.name, ref.qualifier], "RequestId": ctx.request_id}


def check_payload(payload: bytes, kind: str) -> None:
    limit = limits.EVENT_SIZE_BYTES_MAX if kind == "Event" else limits.PAYLOAD_SIZE_BYTES_MAX
    if len(payload) > limit:
        raise errors.payload_too_large(len(payload), kind, limit)
    try:
        _is_json(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise errors.payload_not_json() from None


def _client_context(inp: dict[str, Any]) -> str:
    """Base64 of JSON in the header, JSON for the runtime."""
    given = inp.get("ClientContext", "")
    if not given:
        return ""
    try:
        text = base64.b64decode(given, validate=True).decode()
        _is_json(text)
    except (ValueError, msgspec.DecodeError):
        raise errors.invalid_parameter("Client context must be a valid Base64-encoded JSON object.") from None
    return text


async def enqueue(ctx: Ctx, node: Node, ref: FunctionRef, payload: bytes, client_context: str = "") -> None:
    event = Event(
        ref.account,
        ref.region,
        ref.name,
        ref.qualifier,
        payload,
        ctx.request_id,
        ctx.now_ms,
        ctx.trace,
        _client_context({"ClientContext": client_context}),
    )
    await node.run(ctx, insert_event, msgspec.msgpack.encode(event), ending=True)


async def insert_event(ctx: Ctx, tx: Tx, inp: bytes) -> None:
    """The function and its qualifier must be there now; what they are is looked at when the event runs."""
    event = msgspec.msgpack.decode(inp, type=Event)
    ref = event.ref
    function = await loading.load_ref(ctx, tx, ref)
    await loading.resolve(tx, function, ref)
    add_task(ctx, tx, INVOKE, inp)


async def invoke_async(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """The older form of an asynchronous invocation. What holds after a crash is as for `invoke`."""
    args: bytes | BodyStream = inp["InvokeArgs"]
    payload = b""
    if isinstance(args, bytes):
        payload = args
    else:
        async for piece in args:
            payload += piece
            if len(payload) > limits.EVENT_SIZE_BYTES_MAX:
                break
    check_payload(payload or b"{}", "Event")
    await enqueue(ctx, node, ref_of(ctx, inp), payload or b"{}")
    return {"Status": 202}


async def invoke_with_response_stream(ctx: Ctx, node: Node, inp: dict[str, Any]) -> dict[str, Any]:
    """Nothing is kept, as for a synchronous `invoke`."""
    ref = ref_of(ctx, inp)
    payload = inp.get("Payload") or b"{}"
    check_payload(payload, "RequestResponse")
    chosen: Chosen = await node.run(ctx, running.choose, _question(ctx, ref))
    if inp.get("InvocationType") == "DryRun":
        return {"StatusCode": 204, "EventStream": _nothing()}

    stream = await start_stream(ctx, node, chosen, payload, _client_context(inp))
    return {
        "StatusCode": 200,
        "ExecutedVersion": chosen.version.version,
        "ResponseStreamContentType": stream.content_type,
        "EventStream": _events(stream, tail=inp.get("LogType") == "Tail"),
    }


async def start_stream(
    ctx: Ctx, node: Node, chosen: Chosen, payload: bytes, client_context: str = ""
) -> StreamedResult:
    running.check_reserved(chosen)
    spec = await running.spec_of(node, chosen)
    invocation = Invocation(
        request_id=ctx.request_id,
        payload=payload,
        invoked_arn=chosen.ref.qualified_arn,
        trace_header=ctx.trace,
        client_context=client_context,
        streaming=True,
    )
    return await running.translated(node.runner.invoke_streaming(spec, invocation))


async def _nothing() -> AsyncIterator[dict[str, Any]]:
    none: tuple[dict[str, Any], ...] = ()
    for event in none:
        yield event


async def _events(stream: StreamedResult, *, tail: bool) -> AsyncIterator[dict[str, Any]]:
    async for piece in stream:
        yield {"PayloadChunk": {"Payload": piece}}
    result = await running.translated(stream.finish())
    complete: dict[str, Any] = {}
    if result.function_error:
        complete = {"ErrorCode": result.function_error, "ErrorDetails": result.payload.decode(errors="replace")}
    if tail:
        complete["LogResult"] = base64.b64encode(result.log_tail).decode()
    yield {"InvokeComplete": complete}
