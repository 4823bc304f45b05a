"""Timeouts, memory, concurrency, reuse and rest: what Lambda promises of an execution environment."""

# ruff: noqa: E501 -- functions' sources are lines of text; other processes are waited for

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.runtime.conftest import Node
from unkai.runtime.api import Credentials, TooManyRequests

if TYPE_CHECKING:
    from pathlib import Path

PID = "import os, time\nBORN = time.time_ns()\ndef handler(e, c):\n    time.sleep(e or 0)\n    return BORN"


def test_timeout(node: Node) -> None:
    # The caller gets Sandbox.Timedout, the log the old familiar line; the environment is replaced.
    spec = node.function("import time\ndef handler(e, c):\n    print('begun')\n    time.sleep(60)", timeout_s=1)
    invocation = node.invocation(spec)
    result = node.run(node.client.invoke(spec, invocation))
    expected = f"RequestId: {invocation.request_id} Error: Task timed out after 1.00 seconds"
    assert json.loads(result.payload) == {"errorType": "Sandbox.Timedout", "errorMessage": expected}
    assert result.function_error == "Unhandled"
    assert (result.report.status, result.report.duration_ms) == ("timeout", 1000.0)
    tail = result.log_tail.decode()
    assert "begun\n" in tail
    assert f"Z {invocation.request_id} Task timed out after 1.00 seconds\n" in tail
    assert tail.rstrip().endswith("\tStatus: timeout")


@pytest.mark.slow
def test_an_init_of_more_than_ten_seconds_is_run_again_within_the_timeout(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html: "suppressed init" at the first invocation.
    spec = node.function("import time\ntime.sleep(11)\ndef handler(e, c): return 'late'", timeout_s=20)
    assert node.value(spec) == "late"
    lines = "\n".join(node.logged(spec, "REPORT RequestId"))
    assert "Phase: init\tStatus: timeout" in lines


def test_memory_limit_kills(node: Node) -> None:
    spec = node.function("def handler(e, c):\n    x = bytearray(300_000_000)\n    return len(x)", memory_mb=128)
    result = node.invoke(spec)
    document = json.loads(result.payload)
    assert document["errorType"] == "Runtime.OutOfMemory"
    assert document["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert result.report.error_type == "Runtime.OutOfMemory"
    assert "Status: error\tError Type: Runtime.OutOfMemory" in result.log_tail.decode()
    # With enough memory the same code runs, and the report says what it took.
    roomy = node.function("def handler(e, c):\n    x = bytearray(300_000_000)\n    return len(x)", memory_mb=512)
    assert 286 <= node.invoke(roomy).report.memory_used_mb <= 512


def test_tmp_is_a_disk_and_not_memory(node: Node) -> None:
    # 300 MB into /tmp with 128 MB of memory: a tmpfs would have killed the function.
    source = "def handler(e, c):\n    with open('/tmp/x', 'wb') as f:\n        for _ in range(300): f.write(b'x' * 1_000_000)\n    return f.tell() if not f.closed else 'done'"
    assert node.value(node.function(source)) == "done"


def test_an_environment_is_reused_one_event_at_a_time(node: Node) -> None:
    spec = node.function(PID)
    assert len({node.value(spec) for _ in range(3)}) == 1

    async def at_once() -> list[bytes]:
        results = await asyncio.gather(*(node.invoke_async(spec, 0.2) for _ in range(3)))
        return [result.payload for result in results]

    assert len(set(node.run(at_once()))) == 3


def test_reserved_concurrency(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    spec = node.function(PID, reserved_concurrency=1)

    async def two() -> list[object]:
        calls = [node.invoke_async(spec, 0.2) for _ in range(2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    kinds = sorted(type(outcome).__name__ for outcome in node.run(two()))
    assert kinds == ["Result", "TooManyRequests"]
    with pytest.raises(TooManyRequests, match="ReservedFunctionConcurrentInvocationLimitExceeded"):
        node.invoke(replace(spec, reserved_concurrency=0))


def test_a_new_revision_and_a_drain_replace_environments(node: Node) -> None:
    spec = node.function(PID)
    first = node.value(spec)
    second = node.value(replace(spec, revision="2"))
    assert second != first
    node.run(node.client.drain(spec.arn))
    assert node.value(replace(spec, revision="2")) != second


def test_credentials_about_to_expire_are_not_used(node: Node) -> None:
    # An environment whose session would end before the event's deadline is replaced by one with new credentials.
    soon = Credentials("AKIDOLD", "s", "t", 1)
    spec = node.function("import os\ndef handler(e, c): return os.environ['AWS_ACCESS_KEY_ID']", credentials=soon)
    assert node.value(spec) == "AKIDOLD"
    assert node.value(replace(spec, credentials=Credentials("AKIDNEW", "s", "t", 2**50))) == "AKIDNEW"


def test_an_idle_environment_is_frozen_and_thawed(node: Node) -> None:
    # A thread that counts makes no progress between two events that are far apart.
    spec = node.function(
        "import threading, time\nn = 0\ndef count():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n"
        "threading.Thread(target=count, daemon=True).start()\ndef handler(e, c): return n"
    )
    before = node.value(spec)

    async def frozen() -> None:
        async with asyncio.timeout(5):
            while (await node.client.stats()).frozen == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)

    node.run(frozen())
    assert node.value(spec) - before < 250


def test_what_processes_leave_behind_is_gone_with_the_environment(node: Node) -> None:
    # A child that outlives the event is frozen and killed with its environment; the next revision sees no trace of it.
    source = "import subprocess\ndef handler(e, c):\n    open('/tmp/left', 'w').close()\n    subprocess.Popen(['sleep', '1000'])\n    return 1"
    spec = node.function(source)
    node.value(spec)
    look = "import os\ndef handler(e, c): return [os.listdir('/tmp'), [p for p in os.listdir('/proc') if p.isdigit()]]"
    files, pids = node.value(node.function(look))
    assert files == []
    assert len(pids) == 2  # init, and the runtime itself


def test_idle_environments_are_reaped(tmp_path: Path, node: Node) -> None:
    # After the idle time an environment goes, with everything of it.
    own = Node(tmp_path, idle_ms=300)
    own.start()
    try:
        own.value(own.function(PID))

        async def gone() -> None:
            async with asyncio.timeout(5):
                while (await own.client.stats()).environments:
                    await asyncio.sleep(0.02)

        own.run(gone())
    finally:
        own.stop()


def test_secrets_are_not_shown() -> None:
    credentials = Credentials("AKID", "very-secret", "token", 1)
    assert "secret" not in repr(credentials)
