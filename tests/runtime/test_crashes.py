"""kill -9 at any of the runtime's processes: clients get a retryable error, nothing stays behind, a restart is clean."""

# ruff: noqa: E501 -- functions' sources are lines of text; other processes are waited for

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.conftest import processes_of
from unkai.runtime.api import RuntimeUnavailable

if TYPE_CHECKING:
    from tests.runtime.conftest import Node

SLOW = "import time, subprocess\nsubprocess.Popen(['sleep', '1000'])\ndef handler(e, c): time.sleep(30)"


def keeper_of(node: Node) -> int:
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    uid = node.process.settings.keeper_uid
    (pid,) = [int(child) for child in children if os.stat(f"/proc/{child}").st_uid == uid]
    return pid


def left_behind(node: Node) -> list[str]:
    """Whatever of the node's functions can still be found on the machine."""
    settings = node.process.settings
    # os.walk passes over what vanishes while it looks, which is what this waits for.
    walked = os.walk("/sys/fs/cgroup")
    groups = [
        f"{folder}/{name}" for folder, names, _ in walked if folder.endswith(f"/{settings.name}") for name in names
    ]
    loops = [
        line
        for line in subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout.splitlines()
        if str(settings.state_dir) in line
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(settings.state_dir) in line]
    disks = [str(path) for path in settings.disks_dir.iterdir()] if settings.disks_dir.exists() else []
    processes = [str(pid) for pid in processes_of(0, 10**9) if str(settings.state_dir) in _command(pid)]
    return groups + loops + mounts + disks + processes


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("victim", ["keeper", "spawner"])
def test_nothing_survives_a_kill(fresh_node: Node, victim: str) -> None:
    node = fresh_node
    idle = node.function("def handler(e, c): return 1")
    node.value(idle)
    slow = node.function(SLOW, timeout_s=60)

    async def kill() -> None:
        calls = [asyncio.ensure_future(node.invoke_async(slow)) for _ in range(2)]
        async with asyncio.timeout(15):
            while (stats := await node.client.stats()).busy < 2 or stats.frozen < 1:  # frozen ones are the hard case
                await asyncio.sleep(0.01)
        os.kill(keeper_of(node) if victim == "keeper" else node.process.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, RuntimeUnavailable) and outcome.started for outcome in outcomes)
        await node.process.wait()
        async with asyncio.timeout(15):
            while left_behind(node):
                await asyncio.sleep(0.01)

    node.run(kill())
    assert left_behind(node) == []
    node.run(node.process.start())
    assert node.value(idle) == 1


def test_a_stop_leaves_nothing(fresh_node: Node) -> None:
    node = fresh_node
    node.value(node.function("import subprocess\ndef handler(e, c): subprocess.Popen(['sleep', '1000'])"))
    node.run(node.process.stop())

    async def gone() -> None:
        async with asyncio.timeout(15):
            while left_behind(node):
                await asyncio.sleep(0.01)

    node.run(gone())
    node.run(node.process.start())


def test_strangers_cannot_speak_to_the_keeper(node: Node) -> None:
    # The socket can be reached by a path that others may walk; the kernel tells who they are.
    script = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        "try:\n    s.connect(sys.argv[1]); s.sendall(b'\\x02\\x00\\x00\\x00\\x91\\x06'); print(s.recv(10))\nexcept OSError as e: print(type(e).__name__)"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(node.process.settings.socket_path)], capture_output=True, text=True
    )
    assert done.stdout.strip() in ("b''", "ConnectionResetError", "PermissionError", "BrokenPipeError"), done


def test_a_fork_server_that_dies_is_replaced(fresh_node: Node) -> None:
    # Its functions go with it (nobody would hear of their ends); the next event gets a new one.
    node = fresh_node
    spec = node.function(
        "import os\ndef handler(e, c): return os.path.exists('/tmp/mark') or open('/tmp/mark', 'w').close()"
    )
    node.value(spec)
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    (server,) = [int(child) for child in children if "forkserver" in _command(int(child))]
    os.kill(server, signal.SIGKILL)

    async def gone() -> None:
        async with asyncio.timeout(15):
            while (await node.client.stats()).environments:
                await asyncio.sleep(0.01)

    node.run(gone())
    assert node.value(spec) is None
    assert node.value(spec) is True
