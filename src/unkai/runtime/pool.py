"""Which environment serves which invocation: a pure state machine. No I/O, no clock of its own; the keeper acts on its answers.

Rules, as Lambda documents them (https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html):
  POOL-1  an environment serves one event at a time, of the function version and revision that it was started for
  POOL-2  a function with reserved concurrency never runs more at once, over all its versions; the others of an account together
          never more than what is left unreserved
  POOL-3  environments of an old revision, or of a drained function, take no new event and go when idle
  POOL-4  an environment takes no event that could outlast its credentials
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["starting", "busy", "idle"]
_CREDENTIALS_MARGIN_MS = 5_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What an invocation asks for."""

    account: str
    arn: str
    version: str
    revision: str
    timeout_ms: int
    expires_ms: int
    reserved: int | None
    unreserved: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """`stop` are environments to end first, to make room. `cold`: the environment has to be started."""

    environment: int
    cold: bool
    stop: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Throttled:
    reason: str


@dataclass(slots=True)
class _Environment:
    number: int
    account: str
    arn: str
    version: str
    revision: str
    expires_ms: int
    state: State
    reserved: bool
    idle_since_ms: int = 0
    draining: bool = False


@dataclass(slots=True)
class Pool:
    environments_max: int
    idle_ms: int
    _environments: dict[int, _Environment] = field(default_factory=dict)
    _idle: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By ARN and version, the most recently used last: reusing that one lets the others age."""
    _running_by_arn: dict[str, int] = field(default_factory=dict)
    _running_unreserved: dict[str, int] = field(default_factory=dict)
    _last: int = 0

    def acquire(self, demand: Demand, now_ms: int) -> Assigned | Throttled:
        reason = self._throttle_reason(demand)
        if reason:
            return Throttled(reason)
        stop = self._outdate(demand)
        warm = self._take_idle(demand, now_ms)
        if warm is not None:
            self._count(warm, demand.reserved is not None, +1)
            return Assigned(warm.number, cold=False, stop=stop)
        if len(self._environments) - len(stop) >= self.environments_max:
            victim = self._oldest_idle(set(stop))
            if victim is None:
                return Throttled("ConcurrentInvocationLimitExceeded")
            stop = (*stop, victim.number)
            self._leave_idle(victim)
            victim.draining = True
        self._last += 1
        born = _Environment(
            self._last,
            demand.account,
            demand.arn,
            demand.version,
            demand.revision,
            demand.expires_ms,
            "starting",
            False,
        )
        self._environments[born.number] = born
        self._count(born, demand.reserved is not None, +1)
        return Assigned(born.number, cold=True, stop=stop)

    def started(self, number: int) -> None:
        """Its init is over; it works on the event that it was started for."""
        environment = self._environments[number]
        assert environment.state == "starting"
        environment.state = "busy"

    def release(self, number: int, now_ms: int) -> bool:
        """Its event is over. False: it must be stopped now."""
        environment = self._environments[number]
        assert environment.state == "busy"
        self._count(environment, environment.reserved, -1)
        environment.state, environment.idle_since_ms = "idle", now_ms
        if environment.draining:
            return False
        self._idle.setdefault((environment.arn, environment.version), []).append(number)
        return True

    def lost(self, number: int) -> None:
        """It is gone, whatever it was doing. Unknown numbers are ignored: a stop and a crash may cross."""
        environment = self._environments.pop(number, None)
        if environment is None:
            return
        if environment.state == "idle":
            self._leave_idle(environment)
        else:
            self._count(environment, environment.reserved, -1)

    def drain(self, arn: str) -> tuple[int, ...]:
        """Let a function's environments go; gives those to stop now."""
        stop = []
        for environment in self._environments.values():
            if environment.arn == arn and not environment.draining:
                environment.draining = True
                if environment.state == "idle":
                    self._leave_idle(environment)
                    stop.append(environment.number)
        return tuple(stop)

    def reap(self, now_ms: int) -> tuple[int, ...]:
        """Environments idle for too long; gives those to stop now."""
        stop = []
        for numbers in list(self._idle.values()):
            for number in list(numbers):
                environment = self._environments[number]
                if now_ms - environment.idle_since_ms >= self.idle_ms or environment.expires_ms <= now_ms:
                    self._leave_idle(environment)
                    environment.draining = True
                    stop.append(number)
        return tuple(stop)

    def is_idle(self, number: int) -> bool:
        """Idle and open to events: the keeper may freeze it."""
        environment = self._environments.get(number)
        return environment is not None and environment.state == "idle" and not environment.draining

    @property
    def size(self) -> int:
        return len(self._environments)

    @property
    def busy(self) -> int:
        return sum(environment.state != "idle" for environment in self._environments.values())

    # --- rules

    def _throttle_reason(self, demand: Demand) -> str:
        if demand.reserved is not None:
            running = self._running_by_arn.get(demand.arn, 0)
            return "ReservedFunctionConcurrentInvocationLimitExceeded" if running >= demand.reserved else ""
        running = self._running_unreserved.get(demand.account, 0)
        return "ConcurrentInvocationLimitExceeded" if running >= demand.unreserved else ""

    def _outdate(self, demand: Demand) -> tuple[int, ...]:
        """A newer revision has arrived: idle environments of the older one go now (POOL-3)."""
        key = (demand.arn, demand.version)
        old = [number for number in self._idle.get(key, ()) if self._environments[number].revision != demand.revision]
        for number in old:
            environment = self._environments[number]
            self._leave_idle(environment)
            environment.draining = True
        return tuple(old)

    def _take_idle(self, demand: Demand, now_ms: int) -> _Environment | None:
        for number in reversed(self._idle.get((demand.arn, demand.version), ())):
            environment = self._environments[number]
            if environment.expires_ms - _CREDENTIALS_MARGIN_MS >= now_ms + demand.timeout_ms:
                self._leave_idle(environment)
                environment.state = "busy"
                return environment
        return None

    def _oldest_idle(self, without: set[int]) -> _Environment | None:
        candidates = [
            self._environments[number] for numbers in self._idle.values() for number in numbers if number not in without
        ]
        return min(candidates, key=lambda environment: environment.idle_since_ms, default=None)

    def _leave_idle(self, environment: _Environment) -> None:
        key = (environment.arn, environment.version)
        numbers = self._idle.get(key, [])
        if environment.number in numbers:
            numbers.remove(environment.number)
            if not numbers:
                del self._idle[key]

    def _count(self, environment: _Environment, reserved: bool, by: int) -> None:
        """What was counted as reserved at the beginning is uncounted so, whatever the reservation is by then."""
        environment.reserved = reserved
        counts, key = (
            (self._running_by_arn, environment.arn) if reserved else (self._running_unreserved, environment.account)
        )
        counts[key] = counts.get(key, 0) + by
        assert counts[key] >= 0
        if counts[key] == 0:
            del counts[key]
