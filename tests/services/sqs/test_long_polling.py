"""Receivers that wait. Time is moved by the clock; nothing here sleeps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


# A waiting receiver gets a message as soon as it is sent; each of many waiters gets one, and none is left waiting.
def test_waiters_are_woken(sqs: Any, queue: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20) for _ in range(8)]
        for at in range(8):
            sqs.send_message(QueueUrl=queue, MessageBody=str(at))
        bodies = sorted(future.result()["Messages"][0]["Body"] for future in waiting)
    assert bodies == [str(at) for at in range(8)]


# A receiver that waits learns when a message that somebody else holds comes back, also where the clock is moved.
def test_a_waiter_sees_a_message_come_back(sqs: Any, queue: str, advance: Callable[[float], None]) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20)
        while not waiting.done():
            advance(1)
        assert waiting.result()["Messages"][0]["Body"] == "x"
