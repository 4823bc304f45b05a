"""CPU per request inside one process, socket aside: signature, policy, decode, handler, encode. The budget is 35 us for a read.

python tests/bench/bench_request.py [--profile]
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import pstats
import sys
import tempfile
import time
from pathlib import Path

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from unkai.app.compose import bootstrap, make_platform, programs
from unkai.app.datadir import RootCredentials
from unkai.edge.pipeline import Door, handle
from unkai.kernel.clock import RealClock
from unkai.kernel.http import HttpRequest
from unkai.store.engines.lmdb import open_lmdb

ROOT = RootCredentials("123456789012", "AKIABENCHMARK0000000", "s" * 40)
SECRET = b"x" * 32


def signed(operation: str, body: dict[str, object]) -> HttpRequest:
    data = json.dumps(body)
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
    request = AWSRequest("POST", "http://127.0.0.1:4566/", data=data, headers=headers)
    SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "sqs", "us-east-1").add_auth(request)
    lower = {name.lower(): value for name, value in request.headers.items()} | {"host": "127.0.0.1:4566"}
    return HttpRequest("POST", "/", "", lower, data.encode(), source_ip="127.0.0.1")


def signed_s3(method: str, path: str, body: bytes = b"") -> HttpRequest:
    request = AWSRequest(method, "http://127.0.0.1:4566" + path, data=body)
    S3SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "s3", "us-east-1").add_auth(request)
    lower = {name.lower(): value for name, value in request.headers.items()} | {"host": "127.0.0.1:4566"}
    if body:
        lower["content-length"] = str(len(body))
    return HttpRequest(method, path, "", lower, body, source_ip="127.0.0.1")


async def main(profile: bool) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        engine = open_lmdb(Path(folder), programs(SECRET))
        platform = make_platform(engine, RealClock(), SECRET, Path(folder) / "blobs")
        await bootstrap(platform, ROOT)

        async def advance(ms: int) -> int:
            return 0

        door = Door(platform, lambda record: None, advance)

        async def measure(name: str, request: HttpRequest, count: int, at_once: int) -> None:
            first = await handle(door, request)
            assert first.status == 200, first.body
            profiler = cProfile.Profile()
            if profile:
                profiler.enable()
            cpu, started = time.process_time(), time.perf_counter()
            for _ in range(count // at_once):
                await asyncio.gather(*(handle(door, request) for _ in range(at_once)))
            cpu, took = time.process_time() - cpu, time.perf_counter() - started
            profiler.disable()
            print(f"{name:28} {cpu / count * 1e6:6.1f} us CPU a request  {count / took:9,.0f} a second")
            if profile:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(28)

        url = "http://127.0.0.1:4566/123456789012/q"
        await measure("CreateQueue (write, no change)", signed("CreateQueue", {"QueueName": "q"}), 2000, 16)
        await measure("GetQueueUrl (read)", signed("GetQueueUrl", {"QueueName": "q"}), 20000, 16)
        await measure(
            "SendMessage (write)", signed("SendMessage", {"QueueUrl": url, "MessageBody": "x" * 100}), 20000, 64
        )
        await measure("ReceiveMessage (serial)", signed("ReceiveMessage", {"QueueUrl": url}), 10000, 64)
        await platform.blobs.recover()
        await handle(door, signed_s3("PUT", "/bench"))
        await measure("PutObject 1 KB (write)", signed_s3("PUT", "/bench/key", b"x" * 1024), 10000, 64)
        await measure("GetObject 1 KB (read)", signed_s3("GET", "/bench/key"), 20000, 16)
        await engine.close()


gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)  # as the node's processes do
asyncio.run(main("--profile" in sys.argv))
