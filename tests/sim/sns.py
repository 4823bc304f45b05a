"""Publishers of a standard and a FIFO topic, and a checker of what their subscribers were promised.

Every acknowledged publish reaches every queue whose filter it matches, and no other. In this node it does so exactly once: a queue
row and the end of its delivery are one transaction. (A publish whose answer was lost may have happened; it arrives at most once.)
On the FIFO topic each group's messages arrive in the order in which they were published, and a repeated deduplication id is
delivered once.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from tests.sim.world import ACCOUNT, REGION, World
from unkai.kernel.errors import AwsError

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:sim"
FIFO_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:sim.fifo"
QUEUES = ("all", "even", "ordered.fifo")
FILTER = '{"parity":["even"]}'
GROUPS = 3


class TopicChecker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.published: set[str] = set()
        self.attempted: set[str] = set()
        self.fifo_attempted: list[list[str]] = [[] for _ in range(GROUPS)]
        self.fifo_published: set[str] = set()
        self.broken: list[str] = []
        self.next_body = 0
        self.busy_groups: set[int] = set()

    async def set_up(self) -> None:
        await self._insist("sns", "CreateTopic", Name="sim")
        fifo = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
        await self._insist("sns", "CreateTopic", Name="sim.fifo", Attributes=fifo)
        for name in QUEUES:
            arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:sim-{name}"
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            }
            attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
            if name.endswith(".fifo"):
                attributes["FifoQueue"] = "true"
            await self._insist("sqs", "CreateQueue", QueueName=f"sim-{name}", Attributes=attributes)
            # Raw, since signatures are made in a thread, which no seed orders; FIFO envelopes are not signed.
            subscription = {} if name.endswith(".fifo") else {"RawMessageDelivery": "true"}
            if name == "even":
                subscription["FilterPolicy"] = FILTER
            topic = FIFO_TOPIC if name.endswith(".fifo") else TOPIC
            await self._insist(
                "sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=subscription
            )

    async def _insist(self, service: str, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried."""
        while True:
            try:
                return await self.world.call(0, service, operation, **inp)
            except AwsError as error:
                if error.code != "ServiceUnavailable":
                    raise

    async def publish(self, at: int) -> None:
        self.next_body += 1
        body = str(self.next_body)
        self.attempted.add(body)
        parity = "even" if self.next_body % 2 == 0 else "odd"
        attributes = {"parity": {"DataType": "String", "StringValue": parity}}
        if await self._ask(at, TopicArn=TOPIC, Message=body, MessageAttributes=attributes):
            self.published.add(body)

    async def publish_in_order(self, at: int) -> None:
        """One publisher per group, which goes on only when it knows that a message was taken: the order is then certain."""
        group = self.world.random.randrange(GROUPS)
        if group in self.busy_groups:
            return
        self.busy_groups.add(group)
        self.next_body += 1
        body = str(self.next_body)
        self.fifo_attempted[group].append(body)
        try:
            for _ in range(20):
                if await self._ask(at, TopicArn=FIFO_TOPIC, Message=body, MessageGroupId=str(group)):
                    self.fifo_published.add(body)
                    return
        finally:
            self.busy_groups.discard(group)

    async def _ask(self, at: int, **inp: Any) -> bool:
        try:
            await self.world.call(at, "sns", "Publish", **inp)
        except AwsError as error:
            if error.code != "ServiceUnavailable":
                self.broken.append(f"a publisher saw {error.code}: {error.message}")
            return False
        return True

    async def drain(self) -> None:
        """Let every retry happen, and compare what the queues hold with what was promised."""
        for _ in range(10):
            await self.world.jump(25_000)
            await asyncio.sleep(0.5)
        everything = Counter(await self._received("all"))
        self._compare("all", everything, self.published, self.attempted)
        even = {body for body in self.attempted if int(body) % 2 == 0}
        self._compare("even", Counter(await self._received("even")), self.published & even, even)
        ordered = [json.loads(body)["Message"] for body in await self._received("ordered.fifo")]
        attempted = {body for group in self.fifo_attempted for body in group}
        self._compare("ordered.fifo", Counter(ordered), self.fifo_published, attempted)
        for group in self.fifo_attempted:
            mine = [body for body in ordered if body in group]
            if mine != sorted(mine, key=int):
                self.broken.append(f"a group arrived out of order: {mine}")

    def _compare(self, queue: str, came: Counter[str], promised: set[str], possible: set[str]) -> None:
        if lost := promised - came.keys():
            self.broken.append(f"{queue}: {len(lost)} acknowledged publishes never arrived: {sorted(lost)[:3]}")
        if strange := came.keys() - possible:
            self.broken.append(f"{queue}: received what it should not: {sorted(strange)[:3]}")
        if twice := [body for body, count in came.items() if count > 1]:
            self.broken.append(f"{queue}: received more than once: {sorted(twice)[:3]}")

    async def _received(self, queue: str) -> list[str]:
        out: list[str] = []
        url = f"http://sim/{ACCOUNT}/sim-{queue}"
        empty = 0
        while empty < 2:
            page = await self._insist("sqs", "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
            messages = page.get("Messages", ())
            empty = 0 if messages else empty + 1
            if not messages:
                await self.world.jump(31_000)  # what a receive took whose answer was lost comes back
            for message in messages:
                out.append(message["Body"])
                await self._insist("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return out
