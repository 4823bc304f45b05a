"""kill -9 under load at random moments: nothing acknowledged is lost, nothing is half there, nothing is applied twice.

UNKAI_CRASH_ROUNDS sets how often; a failure names its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import store_load

from unkai.store.engines.lmdb import open_environment, open_lmdb
from unkai.store.engines.remote import RemoteEngine

ROUNDS = int(os.environ.get("UNKAI_CRASH_ROUNDS", "15"))
SEED = int(os.environ.get("UNKAI_CRASH_SEED", str(random.randrange(1 << 30))))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 5 * ROUNDS)]


def start(kind: str, folder: Path, seed: int = 0) -> subprocess.Popen[bytes]:
    script = Path(store_load.__file__)
    return subprocess.Popen([sys.executable, str(script), kind, str(folder), str(seed)], stdout=subprocess.PIPE)


async def look(folder: Path, acknowledged: list[bytes]) -> int:
    engine = open_lmdb(folder, store_load.PROGRAMS)
    try:
        return await store_load.check(engine, acknowledged)
    finally:
        await engine.close()


def test_killed_under_load(tmp_path: Path) -> None:
    draws = random.Random(SEED)
    acknowledged: list[bytes] = []
    moves = 0
    for number in range(ROUNDS):
        with start("load", tmp_path / "store", seed=number) as process:
            assert process.stdout is not None
            acknowledged.append(process.stdout.readline().strip())  # it works now
            with suppress(subprocess.TimeoutExpired):
                # Some rounds end at once, some after thousands of commits.
                process.wait(draws.choice([0.001, 0.05, 0.3]) * draws.random())
            process.kill()
            lines = process.stdout.read().split(b"\n")
            assert lines[-1] == b"", "a line is written whole"
            acknowledged += lines[:-1]

        now = asyncio.run(look(tmp_path / "store", acknowledged))
        assert now > moves, f"seed {SEED}, round {number}"
        moves = now
    assert len(acknowledged) > ROUNDS


def test_store_process_killed_under_clients_of_other_processes(tmp_path: Path) -> None:
    # Clients are in this process, the writer is in one that dies again and again. Commits without an answer are resolved by
    # asking the next store process; a client sees an error at most where a serial program's answer was lost.
    folder = tmp_path / "store"
    draws = random.Random(SEED)
    acknowledged: list[bytes] = []
    goes_on = asyncio.Event()

    def acknowledge(args: bytes) -> None:
        acknowledged.append(args)
        goes_on.set()

    async def main() -> None:
        process = await asyncio.to_thread(started)
        engine = RemoteEngine(open_environment(folder, readonly=True), folder / "socket")
        clients = [
            asyncio.create_task(store_load.client(engine, f"c{n}", random.Random(n), acknowledge)) for n in range(8)
        ]
        for _ in range(ROUNDS):
            await asyncio.sleep(draws.uniform(0.02, 0.3))
            assert not any(task.done() for task in clients), [task for task in clients if task.done()]
            process.kill()
            await asyncio.to_thread(process.communicate)
            process = await asyncio.to_thread(started)
            goes_on.clear()
            await goes_on.wait()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await store_load.check(engine, acknowledged)
        await engine.close()
        process.kill()
        await asyncio.to_thread(process.communicate)

    def started() -> subprocess.Popen[bytes]:
        process = start("serve", folder)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    asyncio.run(main())
    assert len(acknowledged) > 10 * ROUNDS, f"seed {SEED}"
