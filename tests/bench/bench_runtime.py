"""What the platform adds to a function's own time: cold and warm. Run as root; prints one line for each figure.

python tests/bench/bench_runtime.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from unkai.runtime import launch
from unkai.runtime.api import CodeRef, Credentials, FunctionSpec, Invocation
from unkai.runtime.client import RuntimeClient
from unkai.runtime.sandbox import levels

PYTHON = "import time\nT = time.time()\ndef handler(e, c): return [T, time.time()]\n"
CLIENT = "import time\nT = time.time()\nimport boto3\nboto3.client('s3')\nT2 = time.time()\ndef handler(e, c): return [T, T2]\n"
NODE = "const T = Date.now() / 1000; exports.handler = async () => [T, Date.now() / 1000]"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = launch.RuntimeProcess(launch.default_settings(folder / "state", levels.detect().name))
        self.client = RuntimeClient(self.process.settings)
        self.count = 0

    def function(self, name: str, source: str, runtime: str, handler: str) -> FunctionSpec:
        path = self.folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("index.js" if runtime.startswith("node") else "app.py", source)
        code = CodeRef(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        credentials = Credentials("AKIDBENCH", "secret", "token", 2**50)
        return FunctionSpec(
            arn, name, "000000000000", "us-east-1", name, "1", runtime, handler, code, credentials, memory_mb=1769
        )

    async def invoke(self, spec: FunctionSpec) -> tuple[float, Any]:
        self.count += 1
        invocation = Invocation(f"00000000-0000-4000-8000-{self.count:012d}", b"{}", spec.arn)
        began = time.time()
        result = await self.client.invoke(spec, invocation)
        assert not result.function_error, result.payload
        return began, json.loads(result.payload)


def show(what: str, values: list[float]) -> None:
    values = sorted(values)
    middle, high = statistics.median(values), values[int(len(values) * 0.95) - 1]
    print(f"{what:44} p50 {middle:8.2f}   p95 {high:8.2f}   max {values[-1]:8.2f} ms")


async def cold(
    bench: Bench, rounds: int, source: str, runtime: str, handler: str, what: str, rest_s: float = 0.05
) -> None:
    spec = bench.function(what.replace(" ", "-"), source, runtime, handler)
    await bench.client.prepare(spec)
    to_handler, ready = [], []
    for _ in range(rounds):
        began, (top, second) = await bench.invoke(spec)
        to_handler.append((top - began) * 1000)
        ready.append((second - began) * 1000)
        await bench.client.drain(spec.arn)
        await asyncio.sleep(rest_s)
    show(f"{what}: to the module's first line", to_handler)
    show(f"{what}: to the {'client' if source is CLIENT else 'handler'}", ready)


async def at_once(bench: Bench, rounds: int, number: int) -> None:
    spec = bench.function("many", PYTHON, "python3.12", "app.handler")
    await bench.client.prepare(spec)
    last = []
    for _ in range(rounds):
        answers = await asyncio.gather(*(bench.invoke(spec) for _ in range(number)))
        last.append((max(second for _, (_, second) in answers) - answers[0][0]) * 1000)
        await bench.client.drain(spec.arn)
        await asyncio.sleep(0.3)
    show(f"python, {number} at once: the last in its handler", last)


async def warm(bench: Bench, seconds: float, clients: int) -> None:
    spec = bench.function("warm", PYTHON, "python3.12", "app.handler")
    await asyncio.gather(*(bench.invoke(spec) for _ in range(clients)))
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            await bench.invoke(spec)
            times.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(client() for _ in range(clients)))
    show(f"python, warm, {clients} clients ({len(times) / seconds:.0f} a second)", times)


async def frozen(bench: Bench, rounds: int) -> None:
    spec = bench.function("frozen", PYTHON, "python3.12", "app.handler")
    await bench.invoke(spec)
    times = []
    for _ in range(rounds):
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        await bench.invoke(spec)
        times.append((time.perf_counter() - began) * 1000)
    show("python, warm, from frozen", times)


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        began = time.perf_counter()
        await bench.process.start()
        started_ms = (time.perf_counter() - began) * 1000
        print(f"level {bench.process.settings.level}; start {started_ms:.0f} ms; load {os.getloadavg()[0]:.1f}")
        await cold(bench, rounds, PYTHON, "python3.12", "app.handler", "python cold")
        await cold(bench, rounds, CLIENT, "python3.12", "app.handler", "python cold with boto3")
        await cold(bench, max(3, rounds // 3), NODE, "nodejs20.x", "index.handler", "node cold")
        await cold(bench, 5, PYTHON, "python3.12", "app.handler", "python cold, after rest", rest_s=3.0)
        await at_once(bench, max(3, rounds // 5), 16)
        await frozen(bench, rounds)
        for clients in (1, 4, 16):
            await warm(bench, 2.0, clients)
        await bench.client.close()
        await bench.process.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    asyncio.run(main(parser.parse_args().rounds))
