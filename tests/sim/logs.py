"""Clients that write and read one log group, and a checker that knows what they were promised.

A put that was acknowledged is read, once per event, whatever crashed meanwhile; one whose answer was lost may be there, but
once; and what is read is in order of time. Events are removed by nothing but their retention.
"""

from __future__ import annotations

from typing import Any

from tests.sim.world import World
from unkai.kernel.errors import AwsError

GROUP = "sim"
STREAMS = ("a", "b")
RETENTION_DAYS = 1


class LogsChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.acknowledged: dict[str, int] = {}
        """By message: its timestamp."""
        self.attempted: set[str] = set()
        self.broken: list[str] = []
        self._next = 0

    async def set_up(self) -> None:
        await self._insist("CreateLogGroup", logGroupName=GROUP)
        await self._insist("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=RETENTION_DAYS)
        for name in STREAMS:
            await self._insist("CreateLogStream", logGroupName=GROUP, logStreamName=name)

    async def _insist(self, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried. A creation may have happened in a try whose answer was lost."""
        while True:
            try:
                return await self.world.call(0, "logs", operation, **inp)
            except AwsError as error:
                if error.code == "ResourceAlreadyExistsException":
                    return {}
                if error.code != "ServiceUnavailable":
                    raise

    async def put(self, at: int) -> None:
        rng = self.world.random
        now = self.world.clock.node_ms()
        times = sorted(now - rng.choice([0, 0, 1, 500, 3000]) for _ in range(rng.randint(1, 4)))
        events = []
        for ms in times:
            self._next += 1
            events.append({"timestamp": ms, "message": f"event {self._next}"})
        self.attempted.update(event["message"] for event in events)
        stream = rng.choice(STREAMS)
        try:
            await self.world.call(
                at, "logs", "PutLogEvents", logGroupName=GROUP, logStreamName=stream, logEvents=events
            )
        except AwsError as error:
            if error.code != "ServiceUnavailable":
                self.broken.append(f"a client saw {error.code}: {error.message}")
            return
        self.acknowledged |= {event["message"]: event["timestamp"] for event in events}

    async def read(self, at: int) -> None:
        """Read everything, by pages of a random size, and compare it with what was promised before the first page."""
        promised = dict(self.acknowledged)
        seen: list[tuple[int, str]] = []
        inp: dict[str, Any] = {"logGroupName": GROUP, "limit": self.world.random.choice([1, 5, 1000])}
        while True:
            try:
                out = await self.world.call(at, "logs", "FilterLogEvents", **inp)
            except AwsError as error:
                if error.code != "ServiceUnavailable":
                    self.broken.append(f"a client saw {error.code}: {error.message}")
                return
            seen += [(event["timestamp"], event["message"]) for event in out["events"]]
            if "nextToken" not in out:
                break
            inp["nextToken"] = out["nextToken"]
        self._compare(seen, promised)

    def _compare(self, seen: list[tuple[int, str]], promised: dict[str, int]) -> None:
        messages = [message for _, message in seen]
        if len(set(messages)) != len(messages):
            self.broken.append("an event was read twice")
        if [ms for ms, _ in seen] != sorted(ms for ms, _ in seen):
            self.broken.append("events were read out of order")
        if strange := set(messages) - self.attempted:
            self.broken.append(f"events that nobody put: {sorted(strange)[:3]}")
        kept_from = self.world.clock.node_ms() - RETENTION_DAYS * 86_400_000
        if lost := [message for message, ms in promised.items() if ms >= kept_from and message not in set(messages)]:
            self.broken.append(f"{len(lost)} acknowledged events were not read: {lost[:3]}")

    async def finish(self) -> None:
        await self.read(0)
        # What has ended is gone for good, also after any crash.
        await self.world.jump(2 * RETENTION_DAYS * 86_400_000)
        out = await self._insist("FilterLogEvents", logGroupName=GROUP)
        if out["events"]:
            self.broken.append(f"{len(out['events'])} events outlived their retention")
