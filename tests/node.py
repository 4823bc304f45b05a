"""A node to test against: `unkai up` as a user starts it, on a free port, with a fresh data directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ACCOUNT = "123456789012"
ACCESS_KEY_ID = "AKIATESTROOT00000000"
SECRET = "a secret that only tests use, 40 chars.."
REGION = "us-east-1"
CONFIG = Config(
    parameter_validation=False,
    retries={"max_attempts": 1, "mode": "standard"},
    s3={"addressing_style": "path"},
    connect_timeout=10,
    read_timeout=60,
)


@dataclass(frozen=True)
class Node:
    endpoint: str
    data_dir: Path
    process: subprocess.Popen[str]

    def client(self, service: str, **more: Any) -> Any:
        """A boto3 client with root's key, or with `aws_access_key_id`, ... as given."""
        keys = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET, "region_name": REGION}
        options: dict[str, Any] = {"endpoint_url": self.endpoint, "config": CONFIG, **keys, **more}
        return session().client(service, **options)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body) if body is not None else ""
        request = AWSRequest(method, self.endpoint + path, data=data)
        SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET), "unkai", REGION).add_auth(request)
        answer = _pool().request(method, self.endpoint + path, body=data, headers=dict(request.headers))
        assert answer.status == 200, answer.data
        return answer.json()

    def advance(self, seconds: float) -> None:
        """Move node time forward; what falls due on the way is done when this returns."""
        self.control("POST", "/_unkai/clock/advance", {"ms": int(seconds * 1000)})


@lru_cache
def session() -> boto3.session.Session:
    return boto3.session.Session()


@lru_cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager()


@contextlib.contextmanager
def running(
    data_dir: Path, *, workers: int = 0, options: tuple[str, ...] = (), module: str = "unkai.cli"
) -> Iterator[Node]:
    """Start a node and end it again. `module` is the program: `unkai.cli`, or one that wraps it.

    Its log goes to `data_dir`.log, and is shown where it does not start."""
    log_path = data_dir.with_suffix(".log")
    environment = os.environ | {
        "UNKAI_ROOT_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "UNKAI_ROOT_SECRET_ACCESS_KEY": SECRET,
        "UNKAI_ACCOUNT_ID": ACCOUNT,
    }
    command = [sys.executable, "-m", module, "up", "--json", "--port", "0", "--data-dir", str(data_dir)]
    command += ["--workers", str(workers), "--clock", "movable", *options]
    with log_path.open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        assert ready, f"the node did not start:\n{log_path.read_text()}"
        yield Node(json.loads(ready)["endpoint"], data_dir, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        process.stdout.close()
