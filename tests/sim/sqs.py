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
        self.deleted: set[str] = set()
        self.maybe_deleted: set[str] = set()
        self.hidden_until_ms: dict[str, int] = {}
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
            if body in self.deleted:
                self.broken.append(f"received {body!r} after its delete was acknowledged")
            if self.hidden_until_ms.get(body, 0) > now_ms:
                self.broken.append(f"received {body!r} while another receiver holds it")
            self.received.add(body)
            # The message is hidden from some moment after the call was made: the promise that is certain.
            self.hidden_until_ms[body] = asked_ms + VISIBILITY_S * 1000
            if self.world.random.random() < 0.7:
                await self._delete(at, body, message["ReceiptHandle"])

    async def _delete(self, at: int, body: str, handle: str) -> None:
        self.maybe_deleted.add(body)
        held = self.hidden_until_ms[body] > self.world.clock.node_ms()
        try:
            await self.world.call(at, "sqs", "DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=handle)
        except AwsError as error:
            self._expect_retryable(error)
            return
        if held and self.hidden_until_ms[body] > self.world.clock.node_ms():
            self.deleted.add(body)

    def _expect_retryable(self, error: AwsError) -> None:
        if error.code != "ServiceUnavailable":
            self.broken.append(f"a client saw {error.code}: {error.message}")

    async def drain(self) -> None:
        """Let every timeout pass and receive all that is left."""
        while True:
            await self.world.jump((VISIBILITY_S + 1) * 1000)
            out = await self._insist(
                "ReceiveMessage", QueueUrl=QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=VISIBILITY_S
            )
            messages = out.get("Messages", ())
            if not messages:
                break
            for message in messages:
                self.received.add(message["Body"])
                if message["Body"] in self.deleted:
                    self.broken.append(f"{message['Body']!r} came back after its delete was acknowledged")
                await self._insist("DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])
        if lost := self.sent - self.received - self.maybe_deleted:
            self.broken.append(f"{len(lost)} acknowledged messages were never received: {sorted(lost)[:3]}")
