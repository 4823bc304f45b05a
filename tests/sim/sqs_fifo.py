"""Clients of a FIFO queue, and a checker of what they were promised.

A send is retried under the same deduplication id until it is acknowledged, whatever dies meanwhile: its message is there exactly
once. Of a group nobody receives a message before those that were sent earlier and not deleted.
"""

from __future__ import annotations

from typing import Any

from tests.sim.world import World
from unkai.kernel.errors import AwsError

QUEUE = "orders.fifo"
VISIBILITY_S = 30
GROUPS = "abc"


class FifoChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sequence: dict[str, str] = {}
        """By body: the sequence number that the acknowledgement gave."""
        self.acknowledged_s: dict[str, float] = {}
        self.ids: dict[str, str] = {}
        self.maybe_deleted: set[str] = set()
        self.deleted: dict[str, float] = {}
        self.received: set[str] = set()
        self.broken: list[str] = []
        self.next_body = 0

    async def set_up(self) -> None:
        await self._insist(0, "CreateQueue", QueueName=QUEUE, Attributes={"FifoQueue": "true"})

    async def _insist(self, at: int, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried."""
        while True:
            try:
                return await self.world.call(at, "sqs", operation, **inp)
            except AwsError as error:
                if error.code != "ServiceUnavailable":
                    raise

    async def send(self, at: int) -> None:
        group = self.world.random.choice(GROUPS)
        self.next_body += 1
        body = f"{group}{self.next_body}"
        before = max((number for known, number in self.sequence.items() if known[0] == group), default="")
        out = await self._insist(
            at, "SendMessage", QueueUrl=QUEUE, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=body
        )
        if out["SequenceNumber"] <= before:
            self.broken.append(f"{body!r} got a sequence number that is not after an earlier one")
        self.sequence[body] = out["SequenceNumber"]
        self.acknowledged_s[body] = self.world.now_s()

    async def receive(self, at: int) -> None:
        asked_s = self.world.now_s()
        asked_ms = self.world.clock.node_ms()
        try:
            out = await self.world.call(
                at,
                "sqs",
                "ReceiveMessage",
                QueueUrl=QUEUE,
                MaxNumberOfMessages=self.world.random.randint(1, 10),
                WaitTimeSeconds=self.world.random.choice([0, 0, 1, 20]),
                VisibilityTimeout=VISIBILITY_S,
                MessageSystemAttributeNames=["All"],
            )
        except AwsError as error:
            self._expect_retryable(error)
            return
        messages = out.get("Messages", [])
        self.check_received(messages, asked_s)
        for message in messages:
            if self.world.random.random() < 0.7:
                await self._delete(at, message, asked_ms)

    def check_received(self, messages: list[dict[str, Any]], asked_s: float) -> None:
        earlier_here: set[str] = set()
        for message in messages:
            body, number = message["Body"], message["Attributes"]["SequenceNumber"]
            if self.ids.setdefault(body, message["MessageId"]) != message["MessageId"]:
                self.broken.append(f"{body!r} is there twice")
            if self.sequence.get(body, number) != number:
                self.broken.append(f"{body!r} has another sequence number than was acknowledged")
            if asked_s > self.deleted.get(body, asked_s):
                self.broken.append(f"received {body!r} after its delete was acknowledged")
            # What was acknowledged before this receive was asked for, and nobody has tried to delete, is in front of it.
            overtaken = [
                other
                for other, earlier in self.sequence.items()
                if other[0] == body[0]
                and earlier < number
                and self.acknowledged_s[other] < asked_s
                and other not in self.maybe_deleted | earlier_here
            ]
            if overtaken:
                self.broken.append(f"{body!r} overtook {overtaken[:3]}")
            earlier_here.add(body)
            self.received.add(body)

    async def _delete(self, at: int, message: dict[str, Any], asked_ms: int) -> None:
        body = message["Body"]
        self.maybe_deleted.add(body)
        try:
            await self.world.call(at, "sqs", "DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])
        except AwsError as error:
            is_late = self.world.clock.node_ms() >= asked_ms + VISIBILITY_S * 1000
            if not (is_late and "expired" in error.message):
                self._expect_retryable(error)
            return
        self.deleted[body] = self.world.now_s()

    def _expect_retryable(self, error: AwsError) -> None:
        if error.code != "ServiceUnavailable":
            self.broken.append(f"a FIFO client saw {error.code}: {error.message}")

    async def drain(self) -> None:
        """Let every timeout pass and receive all that is left, in order."""
        while True:
            await self.world.jump((VISIBILITY_S + 1) * 1000)
            asked_s = self.world.now_s()
            inp = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
            messages = (await self._insist(0, "ReceiveMessage", QueueUrl=QUEUE, **inp)).get("Messages", [])
            if not messages:
                break
            self.check_received(messages, asked_s)
            for message in messages:
                self.maybe_deleted.add(message["Body"])
                await self._insist(0, "DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])
        if lost := self.sequence.keys() - self.received - self.maybe_deleted:
            self.broken.append(f"{len(lost)} acknowledged FIFO messages were never received: {sorted(lost)[:3]}")
