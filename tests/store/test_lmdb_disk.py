"""A disk that is full, that fails, that may only be read: clear errors, nothing acknowledged lost, and a way out.

The disks are small files with ext4 on a loop device, so these need root and run where that is allowed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import lmdb
import pytest
from store_worlds import begin, read_all, write

from unkai.store.api import StoreUnavailable
from unkai.store.engines.lmdb import RESERVE_SIZE_BYTES, LmdbStore, engine_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unkai.store.api import Engine

MIB = 1024 * 1024
CHUNK = bytes(range(256)) * 1024  # 256 KiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 48 MiB."""
    image, mounted = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(48 * MIB)
    mounted.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)  # a failed test has its store open still


async def fill(engine: Engine) -> dict[bytes, bytes]:
    """Write until the store refuses; what it acknowledged."""
    kept: dict[bytes, bytes] = {}
    for n in range(1000):
        try:
            await write(engine, (b"big/%04d" % n, CHUNK))
        except StoreUnavailable as error:
            if "The disk is full: nothing was written" not in str(error):
                raise
            return kept
        kept[b"big/%04d" % n] = CHUNK
    raise AssertionError("a disk of 48 MiB took 250 MiB")


async def small_writes(engine: Engine) -> int:
    """How many small rows are taken until one is refused."""
    for n in range(1000):
        try:
            await write(engine, (b"small/%04d" % n, CHUNK[:3000]))
        except StoreUnavailable:
            return n
    return 1000


async def test_a_full_disk_can_be_emptied_through_the_store(disk: Path) -> None:
    store = LmdbStore(disk / "store")
    engine = engine_over(store, {})
    kept = await fill(engine)
    assert len(kept) > 50
    assert dict(await read_all(engine)) == kept, "nothing acknowledged is lost, and nothing else is there"
    for _ in range(5):  # writers go on trying, and do not eat what deleting needs
        with pytest.raises(StoreUnavailable, match="The disk is full"):
            await write(engine, (b"big/more", CHUNK))
    assert dict(await read_all(engine)) == kept
    small = await small_writes(engine)
    assert small < 200, "small ones fill the last pages, and are refused then too"
    assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > RESERVE_SIZE_BYTES * 3 // 4
    # What changes no size goes on: leases, counters that exist. So does what deletes, with its index rows.
    await write(engine, (b"big/0000", CHUNK[::-1]))
    for n in range(1, 30):
        await write(engine, (b"big/%04d" % n, None), (b"deleted", b"%d" % n))
    # Space has returned inside the store, though the disk is as full as before: it is used up to what deleting needs.
    refused = 0
    for n in range(40):
        try:
            await write(engine, (b"again/%04d" % n, CHUNK))
        except StoreUnavailable:
            refused += 1
    assert 10 < refused < 40
    opened = begin(engine)
    opened.tx.clear_range(b"again/", b"again0")
    await opened.commit()
    assert await read_all(engine, b"again/", b"again0") == []
    await engine.close()


async def test_the_reserve_is_made_again_when_the_disk_has_space(disk: Path) -> None:
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 20 * MIB)
    store = LmdbStore(disk / "store")
    reserve = disk / "store" / "reserve"
    assert reserve.stat().st_blocks * 512 >= RESERVE_SIZE_BYTES, "it holds real space"
    engine = engine_over(store, {})
    kept = await fill(engine)
    assert not reserve.exists()
    ballast.unlink()
    await write(engine, (b"after", b""))  # the service resumes by itself
    assert reserve.exists()
    assert store.room() is None, "and asks the disk nothing more"
    assert dict(await read_all(engine)) == {**kept, b"after": b""}
    await fill(engine)  # and all of it once more
    assert not reserve.exists()
    await engine.close()


async def test_a_store_that_is_opened_on_a_full_disk_still_deletes(disk: Path) -> None:
    engine = engine_over(LmdbStore(disk / "store"), {})
    await fill(engine)
    await engine.close()
    store = LmdbStore(disk / "store")
    engine = engine_over(store, {})
    with pytest.raises(StoreUnavailable, match="The disk is full"):
        await write(engine, (b"more", CHUNK))
    await write(engine, (b"big/0000", None))
    await engine.close()


async def test_a_disk_that_becomes_read_only(disk: Path) -> None:
    # As ext4 does after an I/O error; `abort` plays that.
    engine = engine_over(LmdbStore(disk / "store"), {})
    await write(engine, (b"a", b"1"))
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,abort", str(disk)], check=True)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="The disk is read-only: nothing was written"):
            await write(engine, (b"a", b"2"))
    assert await read_all(engine) == [(b"a", b"1")], "reads go on"
    await engine.close()
    with pytest.raises(StoreUnavailable, match="read-only"):
        LmdbStore(disk / "store")


async def test_a_refused_commit_leaves_the_writer_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every commit of the batch is told so, and the next batch is as if it had never been.
    from unkai.store.engines.lmdb import LmdbView

    store = LmdbStore(tmp_path / "store")
    engine = engine_over(store, {})
    await write(engine, (b"a", b"1"))
    reader = begin(engine)
    await reader.tx.get(b"a")
    reader.tx.set(b"b", b"")

    def refuse(view: LmdbView) -> None:
        view._txn.abort()
        raise store.refusal(lmdb.Error("mdb_txn_commit: Input/output error"))

    with monkeypatch.context() as patch:
        patch.setattr(LmdbView, "commit", refuse)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            await write(engine, (b"a", b"2"))
    assert store.room() is None, "a failing disk is not a full one: the reserve stays"
    await reader.commit()  # the refused write is no conflict
    assert await read_all(engine) == [(b"a", b"1"), (b"b", b"")]
    await engine.close()
