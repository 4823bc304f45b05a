"""The node under load, next to a bare httptools echo server and the peers that PyPI has: one table, ratios within one run.

    python tests/bench/bench_node.py [--seconds 4] [--peers] [--json out.json]

One core each: the server under test is bound to core 0, the load generator to core 1. Our figures are with signatures, policies and
fsync on; ministack's and moto's are without any of them, as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.bench import loadgen
from tests.bench.loadgen import Keys, Request

OUR_KEYS = Keys("AKIABENCHMARK0000000", "b" * 40)
PEER_KEYS = Keys("test", "test")
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Server:
    name: str
    endpoint: str
    keys: Keys
    pid: int

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=loadgen.REGION,
            aws_access_key_id=self.keys.access_key_id,
            aws_secret_access_key=self.keys.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
        )


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def started(name: str, command: list[str], port: int, keys: Keys, environment: dict[str, str]) -> Iterator[Server]:
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"{name} did not start")
        time.sleep(0.5)
        yield Server(name, endpoint, keys, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def our_node(folder: str, workers: int) -> Any:
    port = free_port()
    environment = {"UNKAI_ROOT_ACCESS_KEY_ID": OUR_KEYS.access_key_id, "UNKAI_ROOT_SECRET_ACCESS_KEY": OUR_KEYS.secret}
    command = [sys.executable, "-m", "unkai.cli", "up", "--port", str(port), "--data-dir", f"{folder}/{workers}"]
    return started(f"unkai ({workers})", [*command, "--workers", str(workers)], port, OUR_KEYS, environment)


def peer(name: str) -> Any:
    port = free_port()
    scripts = Path(os.environ.get("UNKAI_PEERS") or Path(sys.executable).parent)
    commands = {
        "ministack": [str(scripts / "ministack")],
        "moto": [str(scripts / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        "echo": [sys.executable, str(Path(__file__).with_name("echo.py")), str(port)],
    }
    environment = {"GATEWAY_PORT": str(port), "EDGE_PORT": str(port), "PORT": str(port)}
    return started(name, commands[name], port, PEER_KEYS, environment)


def cases(server: Server) -> dict[str, Callable[[], Request]]:
    """What is measured: name -> a function that prepares and returns the request."""
    endpoint, keys = server.endpoint, server.keys

    def body(size: int) -> str:
        return "x" * size

    def s3_put(size: int) -> Request:
        paths = [f"/bench/put-{size}-{at}" for at in range(64)]
        return loadgen.signed(keys, endpoint, "s3", "PUT", paths, body(size))

    def s3_get(size: int) -> Request:
        server.client("s3").put_object(Bucket="bench", Key=f"get-{size}", Body=body(size).encode())
        return loadgen.signed(keys, endpoint, "s3", "GET", [f"/bench/get-{size}"])

    def send() -> Request:
        return loadgen.sqs(keys, endpoint, "SendMessage", {"QueueUrl": queue, "MessageBody": body(100)})

    def receive() -> Request:
        return loadgen.sqs(keys, endpoint, "ReceiveMessage", {"QueueUrl": queue, "MaxNumberOfMessages": 1})

    with contextlib.suppress(Exception):
        server.client("s3").create_bucket(Bucket="bench")
    queue = server.client("sqs").create_queue(QueueName="bench")["QueueUrl"]
    return {
        "S3 GET 1 KB": lambda: s3_get(1024),
        "S3 GET 1 MB": lambda: s3_get(1 << 20),
        "S3 PUT 1 KB": lambda: s3_put(1024),
        "S3 PUT 1 MB": lambda: s3_put(1 << 20),
        "SQS send": send,
        "SQS receive": receive,
    }


def measure(server: Server, seconds: float, table: dict[str, dict[str, float]]) -> None:
    for name, prepare in cases(server).items():
        try:
            request = prepare()
        except Exception as error:
            print(f"{server.name:12} {name:14} cannot: {error}")
            continue
        for connections in (16, 64):
            result = loadgen.run(request, server.endpoint, connections, seconds, cores="1")
            label = f"{name}, {connections}"
            table.setdefault(label, {})[server.name] = result.per_second
            note = f"  {result.bad} refused" if result.bad else ""
            print(
                f"{server.name:12} {label:18} {result.per_second:10,.0f}/s  p50 {result.p50_ms:7.2f}  p99 {result.p99_ms:7.2f} ms"
                f"  {result.bytes_per_second / 1e6:8,.0f} MB/s{note}",
                flush=True,
            )


def measure_echo(seconds: float, table: dict[str, dict[str, float]]) -> None:
    with peer("echo") as server:
        for connections in (16, 64):
            request = Request("GET", (("/", {}),), "")
            result = loadgen.run(request, server.endpoint, connections, seconds, cores="1")
            print(f"{'echo':12} {connections:18} {result.per_second:10,.0f}/s", flush=True)
            for label in table:
                if label.endswith(f", {connections}"):
                    table[label]["echo"] = result.per_second


def pss_mb(pid: int) -> float:
    """Proportional memory of a process and all below it."""
    total = 0.0
    for child in [pid, *descendants(pid)]:
        for line in Path(f"/proc/{child}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1024
    return total


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for child in children for each in (child, *descendants(child))]


def cpu_s(pid: int) -> float:
    fields = [Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split() for each in [pid, *descendants(pid)]]
    return sum(int(row[11]) + int(row[12]) for row in fields) / os.sysconf("SC_CLK_TCK")


def measure_idle(folder: str) -> None:
    started_s = time.perf_counter()
    environment = {"UNKAI_ROOT_ACCESS_KEY_ID": OUR_KEYS.access_key_id, "UNKAI_ROOT_SECRET_ACCESS_KEY": OUR_KEYS.secret}
    command = [sys.executable, "-m", "unkai.cli", "up", "--json", "--port", "0", "--data-dir", f"{folder}/idle"]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    took_s = time.perf_counter() - started_s
    with urllib.request.urlopen(ready["endpoint"] + "/_unkai/health"):
        pass
    time.sleep(2)
    before = cpu_s(process.pid)
    time.sleep(5)
    print(
        f"unkai up to ready: {took_s:.2f} s; idle: {pss_mb(process.pid):.0f} MB (PSS), {(cpu_s(process.pid) - before) / 5:.4f} CPU"
    )
    process.terminate()
    process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--peers", action="store_true", help="also ministack and moto, where they are installed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        measure_idle(folder)
        with our_node(folder, 0) as server:
            measure(server, arguments.seconds, table)
        for name in ("ministack", "moto") if arguments.peers else ():
            with peer(name) as server:
                measure(server, arguments.seconds, table)
    measure_echo(arguments.seconds, table)
    for label, row in table.items():
        ours = row.get("unkai (0)", 0)
        ratios = "  ".join(
            f"{ours / value:6.2f} x {name}" for name, value in row.items() if name != "unkai (0)" and value
        )
        print(f"{label:18} {ours:10,.0f}/s  {ratios}")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
