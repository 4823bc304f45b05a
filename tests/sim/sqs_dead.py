"""A queue whose messages nobody can process, its dead-letter queue, and moves back.

Nobody deletes anything, so at every moment each acknowledged message is in the queue or in its dead-letter queue: never in
both, never in neither.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.sim.world import ACCOUNT, REGION, World
from unkai.kernel.errors import AwsError
from unkai.services.sqs import keys, rows
from unkai.store.engines.memory import MemorySnapshot

QUEUE, DEAD = "work", "work-dead"
DEAD_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD}"
RECEIVES_MAX = 2


class DeadLetterChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: set[str] = set()
        self.broken: list[str] = []
        self.next_body = 0

    async def set_up(self) -> None:
        policy = json.dumps({"deadLetterTargetArn": DEAD_ARN, "maxReceiveCount": RECEIVES_MAX})
        await self._insist("CreateQueue", QueueName=DEAD)
        await self._insist("CreateQueue", QueueName=QUEUE, Attributes={"RedrivePolicy": policy})

    async def _insist(self, operation: str, **inp: Any) -> dict[str, Any]:
        while True:
            try:
                return await self.world.call(0, "sqs", operation, **inp)
            except AwsError as error:
                if error.code != "ServiceUnavailable":
                    raise

    async def _try(self, at: int, operation: str, **inp: Any) -> bool:
        """Whether the call was acknowledged."""
        try:
            await self.world.call(at, "sqs", operation, **inp)
        except AwsError as error:
            if error.code != "ServiceUnavailable" and "already a task running" not in error.message:
                self.broken.append(f"{operation} saw {error.code}: {error.message}")
            return False
        return True

    async def send(self, at: int) -> None:
        self.next_body += 1
        body = f"job {self.next_body}"
        if await self._try(at, "SendMessage", QueueUrl=QUEUE, MessageBody=body):
            self.sent.add(body)

    async def receive(self, at: int) -> None:
        """Receive and forget; sometimes move back what is dead."""
        if self.world.random.random() < 0.1:
            rate = {"MaxNumberOfMessagesPerSecond": 20} if self.world.random.random() < 0.5 else {}
            await self._try(at, "StartMessageMoveTask", SourceArn=DEAD_ARN, **rate)
            return
        timeout_s = self.world.random.choice([0, 0, 1])
        await self._try(at, "ReceiveMessage", QueueUrl=QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=timeout_s)

    async def check(self) -> list[str]:
        """Where every message is, looked up on the disk itself."""
        found: Counter[str] = Counter()
        acknowledged = set(self.sent)
        snapshot = MemorySnapshot(self.world.store.disk)
        try:
            for name in (QUEUE, DEAD):
                value = await snapshot.get(keys.queue(ACCOUNT, REGION, name))
                assert value is not None
                pairs = await snapshot.get_range(*keys.all_of(rows.decode_queue(value).id, "b"))
                found.update(rows.decode_message(row).body for _, row in pairs)
        finally:
            snapshot.close()
        broken = [f"{body!r} is in neither queue" for body in acknowledged if not found[body]]
        return broken + [f"{body!r} is there {count} times" for body, count in found.items() if count > 1]

    async def drain(self) -> None:
        """A last move brings everything back, at any rate."""
        await self.world.jump(60_000)
        while not await self._try(0, "StartMessageMoveTask", SourceArn=DEAD_ARN):
            await self.world.jump(1000)
            await self.world.rest()
        for _ in range(50):
            await self.world.jump(1000)
            await self.world.rest()
            listed = await self._insist("ListMessageMoveTasks", SourceArn=DEAD_ARN)
            if listed["Results"][0]["Status"] != "RUNNING":
                break
        if listed["Results"][0]["Status"] != "COMPLETED":
            self.broken.append(f"a move did not end: {listed['Results'][0]}")
        shown = await self._insist("GetQueueAttributes", QueueUrl=DEAD, AttributeNames=["ApproximateNumberOfMessages"])
        if shown["Attributes"]["ApproximateNumberOfMessages"] != "0":
            self.broken.append("a move that completed left messages")
