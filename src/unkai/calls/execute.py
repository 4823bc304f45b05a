"""Runs one authorized, decoded operation to its committed answer, and the node port through which effects and tasks act.

    input -> valid? -> handler in a transaction -> output

`Platform` holds what one process of the node knows: services, engine, clock, secret. It is made once, by `app`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.calls.programs import program_name, run_of
from unkai.kernel.ctx import Ctx
from unkai.kernel.errors import AwsError, not_implemented, service_unavailable
from unkai.kernel.ids import Ids, new_request_id
from unkai.kernel.service import Kind
from unkai.layers.outbound import is_public
from unkai.model.load import load_service
from unkai.store.api import StoreUnavailable
from unkai.store.retry import run, run_serial
from unkai.wire.validate import validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from unkai.calls.authorize import Authorizer
    from unkai.kernel.caller import Caller
    from unkai.kernel.clock import Clock
    from unkai.kernel.ports import Blobs, Runner
    from unkai.kernel.service import Access, Operation, Service
    from unkai.layers.outbound import Allowed
    from unkai.store.api import Engine, ReadTx, Snapshot, Watch

CLOCK_CHANNEL = b"clock"
"""Nobody signals it; a jump of the clock wakes all watches."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An operation of a service's table, ready to run."""

    service: Service
    name: str
    operation: Operation
    program: str


class Platform:
    """One process's view of the node: kernel.ports.Node for handlers, and `execute` for those who call them."""

    def __init__(
        self,
        services: Sequence[Service],
        engine: Engine,
        clock: Clock,
        secret: bytes,
        authorizer: Authorizer,
        blobs: Blobs,
        outbound_allowed: Allowed = is_public,
        runner: Runner | None = None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.secret = secret
        self.authorizer = authorizer
        self.blobs = blobs
        self._runner = runner
        self.outbound_allowed = outbound_allowed
        self.services = {service.name: service for service in services}
        self._bound = {
            (service.name, name): Bound(service, name, operation, program_name(service.name, operation.handler))
            for service in services
            for name, operation in service.operations.items()
        }
        self._steps: Mapping[Any, tuple[str, Kind]] = {
            step: (program_name(service.name, step), kind)
            for service in services
            for kind, steps in (
                (Kind.WRITE, service.steps),
                (Kind.SERIAL, service.serial_steps),
                (Kind.READ, service.read_steps),
            )
            for step in steps
        }

    def bound(self, service: str, operation: str) -> Bound:
        """Raises NotImplemented, naming what is missing."""
        found = self._bound.get((service, operation))
        if found is None:
            raise not_implemented(service, operation)
        return found

    async def execute(
        self, bound: Bound, ctx: Ctx, inp: dict[str, Any], snapshot: Snapshot, finishing: bytes = b""
    ) -> dict[str, Any]:
        """The handler's committed answer. Closes `snapshot` where it would stay open across a wait."""
        operation = bound.operation
        kind = operation.kind
        handler = operation.handler
        out: dict[str, Any]
        try:
            if kind is Kind.READ:
                out = await handler(ctx, snapshot, inp)
            elif kind is Kind.WRITE:
                task = run_of(bound.program, handler, ctx, inp)
                out = await run(self.engine, task, snapshot=snapshot, finishing=finishing)
            elif kind is Kind.SERIAL:
                snapshot.close()
                out = await run_serial(self.engine, run_of(bound.program, handler, ctx, inp), finishing=finishing)
            else:
                snapshot.close()
                out = await handler(ctx, self, inp)
        except StoreUnavailable as error:
            raise service_unavailable(str(error)) from None
        return out

    # --- kernel.ports.Node

    @property
    def runner(self) -> Runner:
        assert self._runner is not None, "this platform was made without a runner"
        return self._runner

    async def run(self, ctx: Ctx, step: Callable[..., Awaitable[Any]], inp: Any, *, ending: bool = False) -> Any:
        program, kind = self._steps[step]
        inner = Ctx(
            ctx.caller,
            ctx.account,
            ctx.region,
            ctx.request_id,
            self.clock.node_ms(),
            ctx.ids.child(),
            ctx.base_url,
            ctx.trace,
            ctx.context,
        )
        if kind is Kind.READ:
            snapshot = self.engine.snapshot()
            try:
                return await step(inner, snapshot, inp)
            finally:
                snapshot.close()
        task = run_of(program, step, inner, inp)
        finishing = b""
        if ending:
            finishing, ctx.finishing = ctx.finishing, b""
        return await (run_serial if kind is Kind.SERIAL else run)(self.engine, task, finishing=finishing)

    async def require(self, ctx: Ctx, service: str, needed: Sequence[Access]) -> None:
        snapshot = self.engine.snapshot()
        try:
            await self.authorizer.check(snapshot, self.services[service], ctx, needed)
        finally:
            snapshot.close()

    async def watch(self, channel: bytes) -> NodeWatch:
        return NodeWatch(await self.engine.watch(channel), self.clock)

    async def sleep_until(self, node_ms: int) -> None:
        while self.clock.node_ms() < node_ms:
            watch = await self.watch(CLOCK_CHANNEL)
            try:
                await watch.wait(node_ms)
            finally:
                watch.close()

    async def call(
        self,
        service: str,
        operation: str,
        inp: Mapping[str, Any],
        *,
        as_: Caller,
        region: str,
        finishing: bytes | None = None,
    ) -> dict[str, Any]:
        bound = self.bound(service, operation)
        request_id = new_request_id()
        ctx = self.make_ctx(as_, as_.source_account or as_.account, region, request_id)
        values = dict(inp)
        snapshot = self.engine.snapshot()
        try:
            await self.authorize(snapshot, bound, ctx, values)
            validate(load_service(service).operations[operation], values, bound.service.wording)
            if bound.operation.kind is Kind.EFFECT:
                ctx.finishing = finishing or b""
            out = await self.execute(bound, ctx, values, snapshot, finishing or b"")
        finally:
            snapshot.close()
        if finishing and (bound.operation.kind is Kind.READ or ctx.finishing):
            raise AssertionError(f"{service}:{operation} cannot end a task in its transaction")
        return out

    # --- used by the front door and by background work

    def make_ctx(
        self,
        caller: Caller,
        account: str,
        region: str,
        request_id: str,
        base_url: str = "",
        trace: str = "",
        context: Mapping[str, str] | None = None,
    ) -> Ctx:
        ids = Ids(self.secret, request_id)
        return Ctx(caller, account, region, request_id, self.clock.node_ms(), ids, base_url, trace, context or {})

    async def authorize(self, tx: ReadTx, bound: Bound, ctx: Ctx, inp: dict[str, Any], session_token: str = "") -> None:
        """Raise AccessDenied unless the caller may do all that the operation needs on what the input names."""
        rule = bound.operation.access
        if rule is None:
            return
        try:
            needed = rule(ctx, inp)
        except KeyError as missing:
            # The input lacks the very member that names the resource; validation words that better.
            validate(load_service(bound.service.name).operations[bound.name], inp, bound.service.wording)
            raise AwsError("ValidationException", f"Missing {missing}", status=400) from None
        await self.authorizer.check(tx, bound.service, ctx, needed, session_token)


class NodeWatch:
    """kernel.ports.Watch: a store watch that waits by node time."""

    def __init__(self, watch: Watch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock

    async def wait(self, until_node_ms: int | None) -> bool:
        if until_node_ms is None:
            return await self._watch.wait(None)
        return await self._watch.wait(max(0.0, (until_node_ms - self._clock.node_ms()) / 1000))

    def close(self) -> None:
        self._watch.close()
