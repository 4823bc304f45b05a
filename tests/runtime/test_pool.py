"""The pool's rules POOL-1 to POOL-4, against random programs of arrivals, ends, crashes, drains and passing time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from unkai.runtime.pool import Assigned, Demand, Pool, Throttled

FUNCTIONS = ("a", "b", "c")
RESERVED = {"a": 2, "b": None, "c": None}
UNRESERVED = 4
ENVIRONMENTS_MAX = 5
IDLE_MS = 1000


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(ENVIRONMENTS_MAX, IDLE_MS)
        self.now = 0
        self.revisions = dict.fromkeys(FUNCTIONS, 1)
        self.working: dict[int, Demand] = {}
        self.resting: dict[int, tuple[Demand, int]] = {}
        self.born: dict[int, Demand] = {}
        self.drained: set[int] = set()

    def stopped(self, numbers: tuple[int, ...]) -> None:
        """What the keeper does with environments to stop; they must have been at rest."""
        for number in numbers:
            assert number in self.resting
            del self.resting[number], self.born[number]
            self.pool.lost(number)

    @rule(
        function=st.sampled_from(FUNCTIONS), version=st.sampled_from(("1", "2")), life=st.sampled_from((8_000, 60_000))
    )
    def arrive(self, function: str, version: str, life: int) -> None:
        demand = Demand(
            "acct",
            function,
            version,
            str(self.revisions[function]),
            3000,
            self.now + life,
            RESERVED[function],
            UNRESERVED,
        )
        running = [
            other
            for other in self.working.values()
            if (other.arn == function if RESERVED[function] else RESERVED[other.arn] is None)
        ]
        limit = RESERVED[function] or UNRESERVED
        answer = self.pool.acquire(demand, self.now)
        if isinstance(answer, Throttled):
            # POOL-2, or every place on the machine is taken by work.
            assert len(running) >= limit or len(self.working) >= ENVIRONMENTS_MAX
            return
        assert isinstance(answer, Assigned)
        assert len(running) < limit
        self.stopped(answer.stop)
        number = answer.environment
        assert number not in self.working, "POOL-1"
        if answer.cold:
            assert number not in self.born
            self.born[number] = demand
            self.pool.started(number)
        else:
            origin, _ = self.resting.pop(number)
            assert (origin.arn, origin.version, origin.revision) == (function, version, demand.revision), (
                "POOL-1, POOL-3"
            )
            assert number not in self.drained, "POOL-3"
            assert origin.expires_ms >= self.now + demand.timeout_ms, "POOL-4"
        self.working[number] = demand

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.working)))
        del self.working[number]
        self.resting[number] = (self.born[number], self.now)
        if not self.pool.release(number, self.now):
            assert number in self.drained
            self.stopped((number,))

    @precondition(lambda self: self.born)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.born)))
        self.working.pop(number, None)
        self.resting.pop(number, None)
        del self.born[number]
        self.pool.lost(number)

    @rule(function=st.sampled_from(FUNCTIONS))
    def update(self, function: str) -> None:
        self.revisions[function] += 1

    @rule(function=st.sampled_from(FUNCTIONS))
    def drain(self, function: str) -> None:
        self.drained |= {number for number, demand in self.born.items() if demand.arn == function}
        self.stopped(self.pool.drain(function))
        assert not [number for number in self.resting if self.born[number].arn == function]

    @rule(ms=st.integers(1, 2000))
    def wait(self, ms: int) -> None:
        self.now += ms
        self.stopped(self.pool.reap(self.now))
        assert all(self.now - since < IDLE_MS for _, since in self.resting.values())

    @invariant()
    def counts_agree(self) -> None:
        assert self.pool.size == len(self.born) <= ENVIRONMENTS_MAX
        assert self.pool.busy == len(self.working)
        assert all(self.pool.is_idle(number) for number in self.resting)


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_most_recently_used_environment_is_taken() -> None:
    # So that surplus environments age and are reaped.
    pool = Pool(10, IDLE_MS)
    demand = Demand("acct", "f", "1", "1", 1000, 10**9, None, 10)
    first, second = (pool.acquire(demand, 0) for _ in range(2))
    assert isinstance(first, Assigned)
    assert isinstance(second, Assigned)
    for at, assigned in enumerate((first, second)):
        pool.started(assigned.environment)
        assert pool.release(assigned.environment, at)
    assert pool.acquire(demand, 5) == Assigned(second.environment, cold=False)
