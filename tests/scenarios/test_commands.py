"""The `unkai` command as people use it: env, status, clock, doctor, snapshots, TLS, LocalStack's users."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.node import REGION, Node, running


def unkai(*words: str, ok: bool = True, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "unkai.cli", *words],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
        timeout=60,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


@pytest.fixture
def node(tmp_path: Path) -> Any:
    with running(tmp_path / "data") as node:
        yield node


def queue_names(node: Node) -> list[str]:
    return [url.rsplit("/", 1)[1] for url in node.client("sqs").list_queues().get("QueueUrls", [])]


# `env` prints what a client needs and nothing that a shell could misread; `status` knows whether the node answers.
def test_env_and_status(node: Node) -> None:
    values = json.loads(unkai("env", "--json", "--data-dir", str(node.data_dir)))
    client = boto3.client(
        "sqs",
        endpoint_url=values["AWS_ENDPOINT_URL"],
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        region_name=values["AWS_DEFAULT_REGION"],
    )
    assert "QueueUrls" not in client.list_queues()
    lines = unkai("env", "--data-dir", str(node.data_dir)).splitlines()
    assert all(line.startswith(("export AWS_", "unset ")) for line in lines)
    status = json.loads(unkai("status", "--json", "--data-dir", str(node.data_dir)))
    assert status["status"] == "ok"
    assert "sqs" in status["services"]


# A second node on the same directory is refused with what to do, and the first is not disturbed.
def test_one_node_per_directory(node: Node) -> None:
    assert "Another unkai is using" in unkai("up", "--port", "0", "--data-dir", str(node.data_dir), ok=False)
    assert queue_names(node) == []


# A directory of a newer format is refused with a clear message; so is a folder that is something else.
def test_foreign_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "FORMAT").write_text("99\n")
    assert "Install a newer unkai" in unkai("up", "--port", "0", "--data-dir", str(tmp_path / "newer"), ok=False)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    assert "is not empty" in unkai("up", "--port", "0", "--data-dir", str(tmp_path / "photos"), ok=False)


# Time moves by durations as people write them, forward only.
def test_clock(node: Node) -> None:
    before = json.loads(unkai("clock", "show", "--json", "--data-dir", str(node.data_dir)))
    unkai("clock", "advance", "1d12h", "--data-dir", str(node.data_dir))
    after = json.loads(unkai("clock", "show", "--json", "--data-dir", str(node.data_dir)))
    assert after["node_ms"] - before["node_ms"] >= 36 * 3600 * 1000
    assert after["real_ms"] - before["real_ms"] < 60_000
    assert "is no duration" in unkai("clock", "advance", "tomorrow", "--data-dir", str(node.data_dir), ok=False)
    # Clients sign with the machine's time, and go on to be believed.
    assert queue_names(node) == []


# A snapshot holds the state of its moment; what was made later is gone after going back, and a backup is a data directory.
def test_snapshots_and_backup(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with running(tmp_path / "data") as node:
        node.client("sqs").create_queue(QueueName="early")
        unkai("snapshot", "save", "first", "--data-dir", data)
        node.client("sqs").create_queue(QueueName="late")
        assert "Another unkai" in unkai("snapshot", "restore", "first", "--data-dir", data, ok=False)
        unkai("backup", str(tmp_path / "copy"), "--data-dir", data)
        assert queue_names(node) == ["early", "late"]
    unkai("snapshot", "restore", "first", "--data-dir", data)
    with running(tmp_path / "data") as node:
        assert queue_names(node) == ["early"]
    with running(tmp_path / "copy") as node:
        assert queue_names(node) == ["early", "late"]
    assert [row["name"] for row in json.loads(unkai("snapshot", "list", "--json", "--data-dir", data))] == ["first"]
    unkai("snapshot", "delete", "first", "--data-dir", data)
    assert json.loads(unkai("snapshot", "list", "--json", "--data-dir", data)) == []


# `logs` shows what groups hold whose names contain the word, oldest first.
def test_logs(node: Node) -> None:
    logs = node.client("logs")
    now_ms = int(time.time() * 1000)
    for group, text in (("/aws/lambda/photo-resize", "resized"), ("/other", "hidden")):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now_ms, "message": text}])
    shown = unkai("logs", "photo", "--data-dir", str(node.data_dir))
    assert "resized" in shown
    assert "hidden" not in shown
    assert "hidden" in unkai("logs", "--data-dir", str(node.data_dir))


def test_doctor_finds_nothing_wrong(node: Node) -> None:
    node.client("sqs").create_queue(QueueName="q")
    assert json.loads(unkai("doctor", "--json", "--data-dir", str(node.data_dir)))["problems"] == []


# HTTPS with the certificate that was made for the directory; clients verify it.
def test_tls(tmp_path: Path) -> None:
    with running(tmp_path / "data", options=("--tls",)) as node:
        assert node.endpoint.startswith("https://")
        sqs = node.client("sqs", verify=str(tmp_path / "data" / "tls.pem"))
        assert sqs.create_queue(QueueName="q")["QueueUrl"].startswith("https://")
        assert json.loads(unkai("status", "--json", "--data-dir", str(node.data_dir)))["status"] == "ok"


# With --localstack, and only then, test/test works, and a 12-digit access key is an account; signatures are verified all the same.
def test_localstack_users(tmp_path: Path, node: Node) -> None:
    def sqs(endpoint: str, key: str, secret: str = "test") -> Any:
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": REGION}
        return boto3.client("sqs", endpoint_url=endpoint, **keys)

    with pytest.raises(ClientError, match="security token"):
        sqs(node.endpoint, "test").list_queues()
    with running(tmp_path / "moved", options=("--localstack",)) as moved:
        assert "/000000000000/q" in sqs(moved.endpoint, "test").create_queue(QueueName="q")["QueueUrl"]
        assert "/111122223333/q" in sqs(moved.endpoint, "111122223333").create_queue(QueueName="q")["QueueUrl"]
        with pytest.raises(ClientError, match="signature"):
            sqs(moved.endpoint, "test", "guess").list_queues()
        with urllib.request.urlopen(f"{moved.endpoint}/_localstack/health") as answer:
            assert json.load(answer)["services"]["sqs"] == "running"
    assert "loopback only" in unkai("up", "--localstack", "--host", "0.0.0.0", ok=False)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str) -> None:
    script = unkai("completion", shell)
    assert "snapshot" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
