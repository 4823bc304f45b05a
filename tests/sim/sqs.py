"""Clients of one queue, and a checker that knows what they were promised.

A message whose send was acknowledged must be received unless its delete was acknowledged; a message whose delete was
acknowledged is never received again; a message is never given to two receivers within its visibility timeout.
"""

from __future__ import annotations

from typing import Any

from tests.sim.world import REGION, World
from unkai.kernel.errors import AwsError

QUEUE = f"http://sim/111111111111/{REGION}-queue"
VISIBILITY_S = 30


class QueueChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: set[str] = set()
        self.attempted: set[str] = set()
        self.deleted: dict[str, float] = {}
        """By body: the loop's time when its delete was acknowledged. A receive that was asked for earlier may still show it."""
        self.maybe_deleted: set[str] = set()
        self.holds: dict[str, list[tuple[int, int]]] = {}
        """By body: when each receive was asked for and when it was answered. The take lies somewhere between."""
        self.received: set[str] = set()
        self.broken: list[str] = []
        self.next_body = 0

    async def set_up(self) -> None:
        await self._insist("CreateQueue", QueueName=QUEUE.rsplit("/", 1)[1])

    async def _insist(self, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried."""
        while True:
            try:
                return await self.world.call(0, "sqs", operation, **inp)
            except AwsError as error:
                if error.code != "ServiceUnavailable":
                    raise

    async def send(self, at: int) -> None:
        self.next_body += 1
        body = f"message {self.next_body}"
        self.attempted.add(body)
        try:
            await self.world.call(at, "sqs", "SendMessage", QueueUrl=QUEUE, MessageBody=body)
        except AwsError as error:
            self._expect_retryable(error)
            return
        self.sent.add(body)

    async def receive(self, at: int) -> None:
        """Receive, and delete most of what comes."""
        asked_ms = self.world.clock.node_ms()
        asked_s = self.world.now_s()
        wait_s = self.world.random.choice([0, 0, 1, 20])
        limit = self.world.random.randint(1, 10)
        try:
            out = await self.world.call(
                at,
                "sqs",
                "ReceiveMessage",
                QueueUrl=QUEUE,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=VISIBILITY_S,
            )
        except AwsError as error:
            self._expect_retryable(error)
            return
        now_ms = self.world.clock.node_ms()
        for message in out.get("Messages", ()):
            body = message["Body"]
            if body not in self.attempted:
                self.broken.append(f"received {body!r}, which nobody sent")
            if asked_s > self.deleted.get(body, asked_s):
                self.broken.append(f"received {body!r} after its delete was acknowledged")
            # Certainly taken after the earlier take, and certainly before that one's timeout.
            if any(
                done < asked_ms and now_ms < asked + VISIBILITY_S * 1000 for asked, done in self.holds.get(body, ())
            ):
                self.broken.append(f"received {body!r} while another receiver holds it")
            self.received.add(body)
            self.holds.setdefault(body, []).append((asked_ms, now_ms))
            if self.world.random.random() < 0.7:
                await self._delete(at, body, message["ReceiptHandle"], asked_ms)

    async def _delete(self, at: int, body: str, handle: str, asked_ms: int) -> None:
        self.maybe_deleted.add(body)
        try:
            await self.world.call(at, "sqs", "DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=handle)
        except AwsError as error:
            self._expect_retryable(error)
            return
        # Only the handle of the latest receive is promised to delete, and this one is the latest until its timeout.
        if self.world.clock.node_ms() < asked_ms + VISIBILITY_S * 1000:
            self.deleted[body] = self.world.now_s()

    def _expect_retryable(self, error: AwsError) -> None:
        if error.code != "ServiceUnavailable":
            self.broken.append(f"a client saw {error.code}: {error.message}")

    async def drain(self) -> None:
        """Let every timeout pass and receive all that is left.

        Twice nothing, with a timeout in between: a receive whose answer was lost has hidden what it took.
        """
        empty = 0
        while empty < 2:
            await self.world.jump((VISIBILITY_S + 1) * 1000)
            out = await self._insist(
                "ReceiveMessage", QueueUrl=QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=VISIBILITY_S
            )
            messages = out.get("Messages", ())
            empty = 0 if messages else empty + 1
            for message in messages:
                self.received.add(message["Body"])
                if message["Body"] in self.deleted:
                    self.broken.append(f"{message['Body']!r} came back after its delete was acknowledged")
                await self._insist("DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])
        if lost := self.sent - self.received - self.maybe_deleted:
            self.broken.append(f"{len(lost)} acknowledged messages were never received: {sorted(lost)[:3]}")
