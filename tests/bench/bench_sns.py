"""SNS to SQS through the whole pipeline, in one process on the memory engine: CPU of a publish, and of publish and delivery.

python tests/bench/bench_sns.py [--profile]
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
from urllib.parse import urlencode

import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from unkai.app.compose import bootstrap, make_lanes, make_platform, programs
from unkai.app.datadir import RootCredentials
from unkai.edge.pipeline import Door, handle
from unkai.kernel.caller import Caller
from unkai.kernel.clock import RealClock
from unkai.kernel.http import HttpRequest
from unkai.store.engines.memory import open_memory

ACCOUNT, REGION = "123456789012", "us-east-1"
ROOT = RootCredentials(ACCOUNT, "AKIABENCHMARK0000000", "s" * 40)
CALLER = Caller("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
SECRET = b"x" * 32
AT_ONCE = 16


def signed_publish(topic: str) -> HttpRequest:
    data = urlencode({"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic, "Message": "x" * 100})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", "http://127.0.0.1:4566/", data=data, headers=headers)
    SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "sns", REGION).add_auth(request)
    lower = {name.lower(): value for name, value in request.headers.items()} | {"host": "127.0.0.1:4566"}
    return HttpRequest("POST", "/", "", lower, data.encode(), source_ip="127.0.0.1")


async def main(profile: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_memory(programs(SECRET))
        platform = make_platform(engine, RealClock(), SECRET, Path(folder))
        await bootstrap(platform, ROOT)

        async def advance(ms: int) -> int:
            return 0

        async def call(service: str, operation: str, **inp: object) -> dict[str, object]:
            return await platform.call(service, operation, inp, as_=CALLER, region=REGION)

        door = Door(platform, lambda record: None, advance)
        lanes = [lane for lane in make_lanes(platform) if lane.kind.startswith("sns.")]
        for raw in ("true", "false"):
            name = f"bench-{raw}"
            queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
            allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Resource": queue}]})
            await call("sqs", "CreateQueue", QueueName=name, Attributes={"Policy": policy})
            topic = str((await call("sns", "CreateTopic", Name=name))["TopicArn"])
            subscription = {"Protocol": "sqs", "Endpoint": queue, "Attributes": {"RawMessageDelivery": raw}}
            await call("sns", "Subscribe", TopicArn=topic, **subscription)
            request = signed_publish(topic)

            async def delivered(name: str, count: int) -> None:
                url = f"/{ACCOUNT}/{name}"
                asked = {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]}
                while True:
                    attributes = (await call("sqs", "GetQueueAttributes", **asked))["Attributes"]
                    if int(attributes["ApproximateNumberOfMessages"]) >= count:  # type: ignore[index]
                        return
                    await asyncio.sleep(0.01)

            count = 4000
            profiler = cProfile.Profile()
            gc.collect()
            if profile:
                profiler.enable()
            cpu, started = time.process_time(), time.perf_counter()
            for _ in range(count // AT_ONCE):
                answers = await asyncio.gather(*(handle(door, request) for _ in range(AT_ONCE)))
            assert answers[0].status == 200, answers[0].body
            cpu, took = time.process_time() - cpu, time.perf_counter() - started
            print(f"publish           raw={raw:5} {cpu / count * 1e6:6.1f} us CPU  {count / took:8,.0f} a second")
            running = [asyncio.create_task(lane.run()) for lane in lanes]
            cpu, started = time.process_time(), time.perf_counter()
            await delivered(name, count)
            cpu, took = time.process_time() - cpu, time.perf_counter() - started
            print(f"delivery to SQS   raw={raw:5} {cpu / count * 1e6:6.1f} us CPU  {count / took:8,.0f} a second")
            profiler.disable()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            if profile:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


uvloop.run(main("--profile" in sys.argv))
