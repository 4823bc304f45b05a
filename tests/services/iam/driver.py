"""Runs handlers on the memory engine, every write twice: first where its commit conflicts, then on the writer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from unkai.calls.programs import make_program, programs_of, run_of
from unkai.kernel.caller import Caller
from unkai.kernel.clock import ManualClock
from unkai.kernel.ctx import Ctx
from unkai.kernel.ids import Ids
from unkai.kernel.service import Kind
from unkai.services.iam import SERVICES, identity
from unkai.store import retry
from unkai.store.api import Conflict
from unkai.store.engines.memory import open_memory

if TYPE_CHECKING:
    from unkai.store.api import Commit

ACCOUNT = "123456789012"
ROOT_KEY, ROOT_SECRET = "AKIAROOTROOTROOTROOT", "r" * 40
SECRET = b"node secret for tests"
ROOT = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT_KEY)


class Conflicting:
    """An engine whose every first commit conflicts, so that each write handler runs a second time on the writer."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit) -> bytes:
        raise Conflict


class Node:
    """IAM and STS without a front door: no authorization, no wire. `call` is one operation or step."""

    def __init__(self, more: tuple[Any, ...] = ()) -> None:
        self.clock = ManualClock()
        programs = programs_of(SERVICES, SECRET)
        programs |= {f"iam.{each.__name__}": make_program(each, SECRET) for each in more}
        self.engine = Conflicting(open_memory(programs))
        self._requests = 0
        self._loop = asyncio.new_event_loop()
        self.step(identity.bootstrap, {"account": ACCOUNT, "access_key_id": ROOT_KEY, "secret": ROOT_SECRET})

    def ctx(self, caller: Caller = ROOT) -> Ctx:
        self._requests += 1
        ids = Ids(SECRET, f"request-{self._requests}")
        return Ctx(caller, caller.account, "us-east-1", f"request-{self._requests}", self.clock.node_ms(), ids)

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def step(self, handler: Any, inp: Any, caller: Caller = ROOT, service: str = "iam") -> Any:
        run = run_of(f"{service}.{handler.__name__}", handler, self.ctx(caller), inp)
        return self.wait(retry.run(self.engine, run))

    def call(self, operation: str, inp: dict[str, Any] | None = None, caller: Caller = ROOT) -> Any:
        service = next(each for each in SERVICES if operation in each.operations)
        op = service.operations[operation]
        if op.kind is Kind.READ:
            return self.read(op.handler, inp or {}, caller)
        return self.step(op.handler, inp or {}, caller, service.name)

    def read(self, handler: Any, inp: Any, caller: Caller = ROOT) -> Any:
        return self.look(lambda tx: handler(self.ctx(caller), tx, inp))

    def look(self, read: Any) -> Any:
        """`await read(snapshot)`."""
        snapshot = self.engine.snapshot()
        try:
            return self.wait(read(snapshot))
        finally:
            snapshot.close()

    def credential(self, access_key_id: str, token: str = "") -> Any:
        return self.look(lambda tx: identity.credential(tx, access_key_id, token, self.clock.node_ms()))

    def policies(self, caller: Caller) -> Any:
        return self.look(lambda tx: identity.principal_policies(tx, caller))

    def broken(self) -> list[str]:
        found: list[str] = []
        for service in SERVICES:
            for check in service.invariants:
                found += self.look(check)
        return found

    def close(self) -> None:
        self.wait(self.engine.close())
        self._loop.close()
