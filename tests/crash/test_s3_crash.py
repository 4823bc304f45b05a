"""Kill the processes of a node while objects are put, replaced and deleted, in files and in parts.

Every acknowledged object is whole, no deleted one comes back, and no file is left that no object needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.crash.test_node_crash import ROUNDS, children
from tests.node import Node, running

from unkai.app.compose import programs
from unkai.layers import blobs
from unkai.layers.blobs import FileBlobs
from unkai.services.s3 import invariants
from unkai.store.engines.lmdb import open_lmdb

pytestmark = pytest.mark.slow

WRITERS = 3
BUCKET = "crash-bucket"
SIZES = (100, 10_000, 40_000, 200_000)


class Writer(threading.Thread):
    """Changes its own keys. `known` is what each may hold: what was acknowledged last, or more where an answer was lost."""

    def __init__(self, node: Node, label: str) -> None:
        super().__init__()
        self.s3 = node.client("s3")
        self.label = label
        self.stopped = threading.Event()
        self.known: dict[str, set[str | None]] = {}
        self.acknowledged = 0
        self.unexpected: list[str] = []

    def run(self) -> None:
        rng = random.Random(self.label)
        while not self.stopped.is_set():
            key = f"{self.label}/{rng.randrange(8)}"
            data = None if rng.random() < 0.2 else rng.randbytes(rng.choice(SIZES))
            outcome = hashlib.sha256(data).hexdigest() if data is not None else None
            try:
                self._change(key, data, in_parts=rng.random() < 0.3)
            except (ClientError, BotoCoreError) as error:
                # It may have happened, or not; or happen within the moment that its connection broke.
                self.known.setdefault(key, {None}).add(outcome)
                if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    self.unexpected.append(str(error))
                continue
            self.known[key] = {outcome}
            self.acknowledged += 1

    def _change(self, key: str, data: bytes | None, *, in_parts: bool) -> None:
        named = {"Bucket": BUCKET, "Key": key}
        if data is None:
            self.s3.delete_object(**named)
        elif in_parts:
            upload = {**named, "UploadId": self.s3.create_multipart_upload(**named)["UploadId"]}
            etag = self.s3.upload_part(**upload, PartNumber=1, Body=data)["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            self.s3.complete_multipart_upload(**upload, MultipartUpload=parts)
        else:
            self.s3.put_object(**named, Body=data)


def content(s3: Any, key: str) -> str | None:
    try:
        return hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None


async def broken(data_dir: Path) -> list[str]:
    """What the checkers say of a node that has stopped."""
    engine = open_lmdb(data_dir / "store", programs((data_dir / "secret").read_bytes()))
    moment = engine.snapshot()
    files = FileBlobs(data_dir / "blobs", engine.snapshot)
    await files.recover()
    found = [*await invariants.check(moment), *await blobs.check(moment, files)]
    moment.close()
    await engine.close()
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_killed_processes_lose_no_object(tmp_path: Path) -> None:
    rng = random.Random()
    with running(tmp_path / "data", workers=2) as node:
        node.client("s3").create_bucket(Bucket=BUCKET)
        writers = [Writer(node, f"w{at}") for at in range(WRITERS)]
        for writer in writers:
            writer.start()
        for round_ in range(ROUNDS):
            time.sleep(rng.uniform(0.2, 0.5))
            victims = children(node, "store" if round_ % 2 == 0 else "worker")
            if victims:
                os.kill(rng.choice(victims), signal.SIGKILL)
        time.sleep(0.5)
        for writer in writers:
            writer.stopped.set()
        for writer in writers:
            writer.join()
        s3 = node.client("s3")
        for writer in writers:
            for key, possible in writer.known.items():
                assert content(s3, key) in possible, key
    assert sum(writer.acknowledged for writer in writers) > 50
    assert [line for writer in writers for line in writer.unexpected] == []
    assert asyncio.run(broken(tmp_path / "data")) == []


# The whole node is killed at once, and started again on what it left.
def test_the_whole_node_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=1) as node:
        node.client("s3").create_bucket(Bucket=BUCKET)
        writer = Writer(node, "w")
        writer.start()
        time.sleep(0.7)
        os.kill(node.process.pid, signal.SIGKILL)
        node.process.wait()
        writer.stopped.set()
        writer.join()
    with running(tmp_path / "data", workers=1) as node:
        s3 = node.client("s3")
        for key, possible in writer.known.items():
            assert content(s3, key) in possible, key
    assert asyncio.run(broken(tmp_path / "data")) == []
