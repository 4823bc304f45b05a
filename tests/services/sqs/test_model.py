"""SQS against a model of a page: what a queue gives, in which order, and what it refuses, whatever clients do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.services.sqs.sqs_driver import Pure, arn
from unkai.kernel.errors import AwsError

RECEIVES_MAX = 2
HOURS_12_MS = 12 * 3600 * 1000
FIVE_MINUTES_MS = 300_000


@dataclass
class Message:
    body: str
    group: str
    order: int
    visible_ms: int
    id: str = ""
    count: int = 0
    counted_before: int = 0
    received_ms: int = 0
    handle: str = ""


@dataclass
class Queue:
    name: str
    fifo: bool
    dead: Queue | None = None
    messages: list[Message] = field(default_factory=list)
    sent: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By deduplication id: until when it is remembered, and the id of its message."""

    def candidates(self, now_ms: int) -> list[Message]:
        """What may be received, in order: of each FIFO group what is visible before the first hidden one."""
        if not self.fifo:
            visible = [message for message in self.messages if message.visible_ms <= now_ms]
            return sorted(visible, key=lambda message: (message.visible_ms, message.order))
        groups: dict[str, list[Message]] = {}
        for message in sorted(self.messages, key=lambda message: message.order):
            groups.setdefault(message.group, []).append(message)
        out: list[Message] = []
        for group in sorted(groups.values(), key=lambda group: (group[0].visible_ms, group[0].order)):
            for message in group:
                if message.visible_ms > now_ms:
                    break
                out.append(message)
        return out


class SqsMachine(RuleBasedStateMachine):
    @initialize(conflicts=st.booleans(), fifo=st.booleans(), scope=st.sampled_from(["queue", "messageGroup"]))
    def start(self, conflicts: bool, fifo: bool, scope: str) -> None:
        self.pure = Pure()
        self.pure.engine.conflicts = conflicts
        self.by_group = scope == "messageGroup"
        self.order = 0
        self.handles: list[tuple[Queue, str, Message]] = []
        suffix = ".fifo" if fifo else ""
        fixed = {"FifoQueue": "true"} if fifo else {}
        more = {"DeduplicationScope": scope} if fifo else {}
        self.dead = self.create(f"d{suffix}", fifo, None, fixed)
        self.main = self.create(f"q{suffix}", fifo, self.dead, fixed | more)

    def create(self, name: str, fifo: bool, dead: Queue | None, more: dict[str, str]) -> Queue:
        attributes = {"MessageRetentionPeriod": "1209600", **more}
        if dead is not None:
            policy = {"deadLetterTargetArn": arn(dead.name), "maxReceiveCount": RECEIVES_MAX}
            attributes["RedrivePolicy"] = json.dumps(policy)
        self.pure.call("CreateQueue", QueueName=name, Attributes=attributes)
        return Queue(name, fifo, dead)

    @property
    def now_ms(self) -> int:
        return self.pure.clock.node_ms()

    def next_order(self) -> int:
        self.order += 1
        return self.order

    @rule(entries=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=1, max_size=4))
    def send(self, entries: list[tuple[str, int]]) -> None:
        """A batch; the number is a deduplication id in a FIFO queue and a delay in a standard one."""
        queue = self.main
        asked: list[dict[str, Any]] = []
        for place, (group, number) in enumerate(entries):
            entry: dict[str, Any] = {"Id": str(place), "MessageBody": f"{self.order} {place}", "MessageGroupId": group}
            entry |= {"MessageDeduplicationId": str(number)} if queue.fifo else {"DelaySeconds": number * (number > 6)}
            asked.append(entry)
        out = self.pure.call("SendMessageBatch", QueueUrl=queue.name, Entries=asked)
        assert not out["Failed"]
        numbers: list[str] = []
        for (group, number), entry, told in zip(entries, asked, out["Successful"], strict=True):
            known = f"{group if self.by_group else ''} {number}"
            until_ms, message_id = queue.sent.get(known, (0, ""))
            if queue.fifo and until_ms > self.now_ms:
                assert told["MessageId"] == message_id
                continue
            queue.sent[known] = (self.now_ms + FIVE_MINUTES_MS, told["MessageId"])
            visible_ms = self.now_ms + entry.get("DelaySeconds", 0) * 1000
            queue.messages.append(
                Message(entry["MessageBody"], group, self.next_order(), visible_ms, id=told["MessageId"])
            )
            numbers.append(told.get("SequenceNumber", ""))
        if queue.fifo:
            assert numbers == sorted(set(numbers))
            assert all(len(number) == 20 for number in numbers)

    @rule(
        from_main=st.sampled_from([True, True, True, False]),
        limit=st.sampled_from([1, 2, 3, 10]),
        timeout_s=st.sampled_from([0, 1, 30, 30, 30, 43_200]),
    )
    def receive(self, from_main: bool, limit: int, timeout_s: int) -> None:
        queue = self.main if from_main else self.dead
        inp = {"MaxNumberOfMessages": limit, "VisibilityTimeout": timeout_s, "AttributeNames": ["All"]}
        got = self.pure.call("ReceiveMessage", QueueUrl=queue.name, WaitTimeSeconds=0, **inp).get("Messages", [])

        expected: list[Message] = []
        for message in queue.candidates(self.now_ms):
            if len(expected) == limit:
                break
            if queue.dead is not None and message.count >= RECEIVES_MAX:
                queue.messages.remove(message)
                moved = Message(message.body, message.group, self.next_order(), self.now_ms, id=message.id)
                moved.counted_before = message.counted_before + message.count
                queue.dead.messages.append(moved)
                continue
            message.visible_ms = self.now_ms + timeout_s * 1000
            message.count += 1
            message.received_ms = self.now_ms
            expected.append(message)
        assert [message["Body"] for message in got] == [message.body for message in expected]
        for shown, message in zip(got, expected, strict=True):
            assert shown["MessageId"] == message.id
            assert shown["Attributes"]["ApproximateReceiveCount"] == str(message.counted_before + message.count)
            message.handle = shown["ReceiptHandle"]
            self.handles.append((queue, message.handle, message))

    def refusal(self, operation: str, **inp: Any) -> str:
        try:
            self.pure.call(operation, **inp)
        except AwsError as error:
            return error.code
        return ""

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        queue, handle, message = data.draw(st.sampled_from(self.handles[-12:]))
        refused = self.refusal("DeleteMessage", QueueUrl=queue.name, ReceiptHandle=handle)
        is_there = message in queue.messages
        is_held = message.handle == handle and message.visible_ms > self.now_ms
        assert refused == ("InvalidParameterValue" if queue.fifo and is_there and not is_held else "")
        if is_there and message.handle == handle and not refused:
            queue.messages.remove(message)

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), timeout_s=st.sampled_from([0, 1, 60, 43_200]))
    def change_visibility(self, data: st.DataObject, timeout_s: int) -> None:
        queue, handle, message = data.draw(st.sampled_from(self.handles[-12:]))
        refused = self.refusal(
            "ChangeMessageVisibility", QueueUrl=queue.name, ReceiptHandle=handle, VisibilityTimeout=timeout_s
        )
        visible_ms = self.now_ms + timeout_s * 1000
        if message not in queue.messages or message.handle != handle:
            assert refused == "InvalidParameterValue"
        elif message.visible_ms <= self.now_ms:
            assert refused == "MessageNotInflight"
        elif visible_ms - message.received_ms > HOURS_12_MS:
            assert refused == "InvalidParameterValue"
        else:
            assert refused == ""
            message.visible_ms = visible_ms

    @rule(ms=st.sampled_from([1, 999, 1000, 30_000, FIVE_MINUTES_MS, HOURS_12_MS]))
    def pass_time(self, ms: int) -> None:
        self.pure.clock.advance(ms)

    @rule()
    def sweep(self) -> None:
        """What falls due in the next five minutes runs, and changes nothing that clients see."""
        self.pure.advance(FIVE_MINUTES_MS)

    @invariant()
    def counts_are_right(self) -> None:
        """Right to the second in which a timeout ends."""
        if not hasattr(self, "main"):
            return
        second = self.now_ms // 1000
        for queue in (self.main, self.dead):
            out = self.pure.call("GetQueueAttributes", QueueUrl=queue.name, AttributeNames=["All"])["Attributes"]
            hidden = [message for message in queue.messages if message.visible_ms // 1000 > second]
            in_flight = sum(message.count > 0 for message in hidden)
            assert out["ApproximateNumberOfMessagesNotVisible"] == str(in_flight)
            assert out["ApproximateNumberOfMessagesDelayed"] == str(len(hidden) - in_flight)
            assert out["ApproximateNumberOfMessages"] == str(len(queue.messages) - len(hidden))

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "pure"):
            assert self.pure.broken() == []

    def teardown(self) -> None:
        if hasattr(self, "pure"):
            self.pure.close()


SqsMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_sqs_does_as_the_model = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(
    SqsMachine.TestCase
)
