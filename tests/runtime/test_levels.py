"""Machines that lack parts of the sandbox: what still works there, and that it is said."""

# ruff: noqa: E501 -- functions' sources are lines of text

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.conftest import Node
from unkai.runtime.sandbox import levels

SOURCE = "import os, boto3\ndef handler(e, c): return [e, os.getcwd(), os.environ['LAMBDA_TASK_ROOT']]"


def test_detect_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = levels.detect()
    assert found.name == "none"
    assert "darwin" in found.reasons[0]


def test_level_none_runs_plain_processes(tmp_path: Path) -> None:
    # Only ever used when asked for by name: --unsandboxed-functions.
    node = Node(tmp_path)
    node.process.settings = node.client._settings = replace(
        node.process.settings, level="none", uid_base=0, keeper_uid=0
    )
    node.start()
    try:
        spec = node.function(SOURCE, runtime="python3.11")
        event, cwd, root = node.value(spec, {"a": 1})
        assert event == {"a": 1}
        assert cwd == root == str(node.process.settings.code_dir / spec.code.sha256)
        failed = node.invoke(node.function("def handler(e, c): raise KeyError('x')", runtime="python3.11"))
        assert json.loads(failed.payload)["errorType"] == "KeyError"
    finally:
        node.stop()


USER_LEVEL = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.runtime.conftest import Node
from unkai.runtime.sandbox import levels
from dataclasses import replace
level = levels.detect()
node = Node(Path(sys.argv[1]))
node.process.settings = node.client._settings = replace(node.process.settings, level=level.name)
node.start()
spec = node.function("import os\\ndef handler(e, c): return [os.listdir('/'), [p for p in os.listdir('/proc') if p.isdigit()], os.path.exists(e)]", runtime="python3.11")
files, pids, seen = node.value(spec, str(Path(sys.argv[1]) / "settings"))
big = node.function("import time\\ndef handler(e, c):\\n    x = bytearray(300_000_000)\\n    time.sleep(5)", runtime="python3.11", memory_mb=128)
oom = json.loads(node.invoke(big).payload)["errorType"]
node.stop()
print(json.dumps([level.name, "work" in files, len(pids), seen, oom]))
"""


@pytest.mark.slow
def test_level_user_works_without_root() -> None:
    # As an ordinary user: a user namespace for the isolation, polling for the memory.
    program = sys.executable if not sys.base_prefix.startswith("/root") else f"/usr/bin/python3.{sys.version_info[1]}"
    if os.geteuid() != 0 or not os.access(program, os.X_OK):
        pytest.skip("needs root to become somebody else, and an interpreter that others can execute")
    folder = tempfile.mkdtemp()  # not under tmp_path, which others cannot enter
    os.chown(folder, 65534, 65534)
    done = subprocess.run(
        [program, "-c", USER_LEVEL, folder, str(Path(__file__).parents[2])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path and not path.startswith(sys.base_prefix)), "HOME": "/"},
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    shutil.rmtree(folder)
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == ["user", False, 2, False, "Runtime.OutOfMemory"], done.stderr
