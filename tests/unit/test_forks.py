"""What is drawn at random once per process is drawn again in its children: two processes never make the same id."""

from __future__ import annotations

import os

from unkai.kernel.ids import new_request_id
from unkai.store.retry import _new_commit_id


def test_a_fork_repeats_no_ids() -> None:
    new_request_id()  # ids are made by the batch: some are ready when the process forks
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join([new_request_id(), _new_commit_id().hex()]).encode())
        os._exit(0)
    own = {new_request_id() for _ in range(64)}, {_new_commit_id()[:8].hex()}
    os.waitpid(child, 0)
    request_id, commit_id = os.read(reader, 200).decode().split()
    os.close(reader)
    os.close(writer)
    assert request_id not in own[0]
    assert commit_id[:16] not in own[1]
