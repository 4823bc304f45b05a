"""Handlers as the store's programs: named, with arguments and answers as bytes, so that any process can run them.

The name is `service.function`; the arguments are the context and the input in msgpack. Only functions that a service's table
registers get a name, so a process that speaks to the writer cannot make it run anything else.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (msgspec reads the annotations)
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.caller import Caller  # noqa: TC001
from unkai.kernel.ctx import Ctx
from unkai.kernel.errors import AwsError
from unkai.kernel.ids import Ids
from unkai.kernel.service import Kind
from unkai.layers import tasks
from unkai.store.api import Abandon
from unkai.store.retry import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unkai.kernel.service import Handler, Service
    from unkai.store.api import Program, Tx


class _Args(msgspec.Struct, frozen=True, array_like=True):
    caller: Caller
    account: str
    region: str
    request_id: str
    seed: str
    now_ms: int
    base_url: str
    trace: str
    context: Mapping[str, str]
    inp: Any


class _Answer(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """`out`, or the parts of an AwsError where `code` is set."""

    out: Any = None
    code: str = ""
    message: str = ""
    members: Any = None
    sender_fault: bool = True
    status: int | None = None
    headers: Any = None


_encode = msgspec.msgpack.Encoder().encode
_decode_args = msgspec.msgpack.Decoder(_Args).decode
_decode_answer = msgspec.msgpack.Decoder(_Answer).decode


def program_name(service: str, handler: Handler) -> str:
    name: str = handler.__name__
    return f"{service}.{name}"


def encode_args(ctx: Ctx, inp: Any) -> bytes:
    return _encode(
        _Args(
            ctx.caller,
            ctx.account,
            ctx.region,
            ctx.request_id,
            ctx.ids.seed,
            ctx.now_ms,
            ctx.base_url,
            ctx.trace,
            ctx.context,
            inp,
        )
    )


def decode_answer(data: bytes) -> Any:
    """The handler's output. Raises the AwsError that it raised."""
    answer = _decode_answer(data)
    if answer.code:
        raise AwsError(
            answer.code,
            answer.message,
            members=answer.members,
            sender_fault=answer.sender_fault,
            status=answer.status,
            headers=answer.headers,
        )
    return answer.out


def make_program(handler: Handler, secret: bytes) -> Program:
    """`handler(ctx, tx, inp)` as a program. `secret` is the node's, from which its ids are drawn."""

    async def program(tx: Tx, args: bytes) -> bytes:
        a = _decode_args(args)
        ids = Ids(secret, a.seed)
        ctx = Ctx(a.caller, a.account, a.region, a.request_id, a.now_ms, ids, a.base_url, a.trace, a.context)
        try:
            return _encode(_Answer(await handler(ctx, tx, a.inp)))
        except AwsError as error:
            refusal = _Answer(
                None, error.code, error.message, error.members, error.sender_fault, error.status, error.headers
            )
            raise Abandon(_encode(refusal)) from None

    return program


def programs_of(services: Iterable[Service], secret: bytes) -> dict[str, Program]:
    """Every transaction that the writer may be asked to run."""
    programs: dict[str, Program] = {tasks.SETTLE: tasks.settle_program}
    for service in services:
        handlers = [op.handler for op in service.operations.values() if op.kind in (Kind.WRITE, Kind.SERIAL)]
        for handler in (*handlers, *service.steps, *service.serial_steps):
            name = program_name(service.name, handler)
            assert name not in programs, f"{name} is registered twice"
            programs[name] = make_program(handler, secret)
    return programs


def run_of(program: str, handler: Handler, ctx: Ctx, inp: Any) -> Run:
    """A handler with its context and input, ready for store/retry. `ctx.ids` must be unused: a second run draws the same."""
    return Run(program, lambda tx: handler(ctx, tx, inp), lambda: encode_args(ctx, inp), decode_answer)
