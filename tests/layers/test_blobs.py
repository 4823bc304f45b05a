"""Object files and the store agree whatever happens between their steps."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from unkai.kernel.caller import anonymous
from unkai.kernel.ctx import Ctx
from unkai.kernel.errors import AwsError
from unkai.kernel.ids import Ids
from unkai.kernel.ports import BlobMissing
from unkai.layers import blobs as layer
from unkai.layers.blobs import FileBlobs
from unkai.store.api import StoreUnavailable
from unkai.store.retry import Run, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unkai.store.api import Tx
    from unkai.store.engines.embedded import EmbeddedEngine


async def commit(engine: EmbeddedEngine, change: Callable[[Tx], Any]) -> None:
    async def body(tx: Tx) -> None:
        change(tx)

    await run(engine, Run("", body, bytes, bytes))


async def broken(engine: EmbeddedEngine, blobs: FileBlobs) -> list[str]:
    moment = engine.snapshot()
    try:
        return await layer.check(moment, blobs)
    finally:
        moment.close()


async def put(engine: EmbeddedEngine, blobs: FileBlobs, data: bytes) -> bytes:
    writer = await blobs.create()
    await writer.write(data)
    await writer.finish()
    await blobs.keep([writer], commit(engine, lambda tx: layer.refer(tx, writer.id)))
    return writer.id


def content(blobs: FileBlobs, blob_id: bytes) -> bytes:
    with os.fdopen(blobs.open(blob_id), "rb") as file:
        return file.read()


def in_incoming(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "blobs" / "incoming")


# A committed blob reads back whole and has left the folder of the unborn; pieces may be transformed while they are written.
def test_write_and_read(engine: EmbeddedEngine, blobs: FileBlobs, tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = await blobs.create()
        await writer.write(b"abc", bytes.upper)
        await writer.write(b"def")
        await writer.finish()
        await blobs.keep([writer], commit(engine, lambda tx: layer.refer(tx, writer.id)))
        assert content(blobs, writer.id) == b"ABCdef"
        assert writer.size_bytes == 6
        assert in_incoming(tmp_path) == []
        assert await broken(engine, blobs) == []

    asyncio.run(scenario())


# A refused commit (a failed precondition, say) leaves no file.
def test_refused_commit_leaves_nothing(engine: EmbeddedEngine, blobs: FileBlobs) -> None:
    async def refuse() -> None:
        raise AwsError("PreconditionFailed", "no")

    async def scenario() -> None:
        writer = await blobs.create()
        await writer.write(b"abc")
        await writer.finish()
        with pytest.raises(AwsError):
            await blobs.keep([writer], refuse())
        assert list(blobs.stored()) == []

    asyncio.run(scenario())


# The answer of a commit may be lost after it happened or before: the store is asked which, and the file follows.
@pytest.mark.parametrize("happened", [True, False])
def test_lost_answer(engine: EmbeddedEngine, blobs: FileBlobs, happened: bool) -> None:
    async def scenario() -> None:
        writer = await blobs.create()
        await writer.write(b"abc")
        await writer.finish()

        async def lose() -> None:
            if happened:
                await commit(engine, lambda tx: layer.refer(tx, writer.id))
            raise StoreUnavailable("lost")

        with pytest.raises(StoreUnavailable):
            await blobs.keep([writer], lose())
        assert len(list(blobs.stored())) == happened
        assert await broken(engine, blobs) == []

    asyncio.run(scenario())


# A client that hangs up while its commit is on the way must not cost a committed object its file.
def test_cancelled_while_committing(engine: EmbeddedEngine, blobs: FileBlobs) -> None:
    async def scenario() -> None:
        writer = await blobs.create()
        await writer.finish()
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            reached.set()
            await go_on.wait()
            await commit(engine, lambda tx: layer.refer(tx, writer.id))

        request = asyncio.create_task(blobs.keep([writer], slow()))
        await reached.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()
        await asyncio.gather(*blobs._keeping)
        assert await broken(engine, blobs) == []
        assert content(blobs, writer.id) == b""

    asyncio.run(scenario())


# What a dead process left: referenced files are moved, others removed. A file that a living process still writes is left alone.
def test_recovery(engine: EmbeddedEngine, blobs: FileBlobs, tmp_path: Path) -> None:
    async def scenario() -> None:
        committed, lost, alive = [await blobs.create() for _ in range(3)]
        for writer in (committed, lost, alive):
            await writer.write(b"x")
        await commit(engine, lambda tx: layer.refer(tx, committed.id))
        committed.release()  # as the end of a process does
        lost.release()
        assert content(blobs, committed.id) == b"x"

        await FileBlobs(tmp_path / "blobs", engine.snapshot).recover()
        assert in_incoming(tmp_path) == [alive.id.hex()]
        assert content(blobs, committed.id) == b"x"
        with pytest.raises(BlobMissing):
            blobs.open(lost.id)
        alive.abandon()
        assert await broken(engine, blobs) == []

    asyncio.run(scenario())


# A reader keeps what it has open. A held guard keeps all that was dropped with it; afterwards everything goes.
def test_unlink_waits_for_readers(engine: EmbeddedEngine, blobs: FileBlobs) -> None:
    async def scenario() -> None:
        first, second = await put(engine, blobs, b"1"), await put(engine, blobs, b"2")
        ctx = Ctx(anonymous(), "000000000000", "us-east-1", "r", 0, Ids(b"s", "r"))
        await commit(engine, lambda tx: layer.drop(ctx, tx, [first, second], guard=first))
        assert await broken(engine, blobs) == [], "a task to unlink is as good as a reference"

        guard = blobs.hold(first)
        assert not await blobs.unlink([first, second], guard=first)
        assert content(blobs, second) == b"2"
        os.close(guard)
        open_file = blobs.open(second)
        assert await blobs.unlink([first, second], guard=first)
        assert os.read(open_file, 9) == b"2"
        os.close(open_file)
        assert await blobs.unlink([first, second], guard=first)
        with pytest.raises(BlobMissing):
            blobs.hold(first)

    asyncio.run(scenario())


# A full disk is said in words, and the half-written file does not make it fuller.
def test_disk_full(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        writer = await blobs.create()
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await writer.write(b"abc")
        monkeypatch.undo()
        assert list(blobs.stored()) == []

    asyncio.run(scenario())


# The lock is what tells a living writer from a dead one, so it must be there from the first moment.
def test_writer_holds_its_lock(blobs: FileBlobs, tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = await blobs.create()
        fd = os.open(tmp_path / "blobs" / "incoming" / writer.id.hex(), os.O_RDONLY)
        assert not layer.lock(fd, fcntl.LOCK_EX)
        writer.abandon()
        os.close(fd)

    asyncio.run(scenario())
