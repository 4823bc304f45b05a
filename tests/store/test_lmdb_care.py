"""The care an LMDB store needs: copies while it runs, a gauge, and readers that died."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from store_worlds import begin, read_all, write

from unkai.store.engines.lmdb import LmdbStore, engine_over

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_copy_is_one_moment_and_goes_on_as_a_store(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store")
    engine = engine_over(store, {})
    await write(engine, *((b"k%04d" % n, bytes(1000)) for n in range(2000)))
    opened = begin(engine)
    opened.tx.clear_range(b"k0001", b"l")
    stamp = await opened.commit()
    store.copy_to(tmp_path / "backups" / "copy")
    await write(engine, (b"later", b""))
    await engine.close()

    copied = LmdbStore(tmp_path / "backups" / "copy")
    again = engine_over(copied, {})
    assert await read_all(again) == [(b"k0000", bytes(1000))]
    assert copied.stats()["size_bytes"] < store_size(tmp_path / "store") / 10, "what was deleted takes no space in it"
    # LMDB's own transaction numbers begin anew in a compact copy; ours must go on, or a log would lose its order.
    assert await write(again, (b"next", b"")) > stamp
    assert await again.outcome(opened.id) == stamp
    await again.close()


def store_size(folder: Path) -> int:
    return (folder / "data.mdb").stat().st_size


async def test_the_gauge(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store")
    engine = engine_over(store, {})
    await write(engine, *((b"k%04d" % n, bytes(4000)) for n in range(100)))
    full = store.stats()
    assert full["size_bytes"] >= 400_000
    assert full["free_pages"] < 20
    assert full["readers"] == 0
    opened = begin(engine)
    opened.tx.clear_range(b"k", b"l")
    await opened.commit()
    snapshot = engine.snapshot()
    await write(engine, (b"a", b""))
    await write(engine, (b"b", b""))
    stats = store.stats()
    assert stats["free_pages"] > 80
    assert (stats["readers"], stats["oldest_reader_commits"]) == (1, 2)
    snapshot.close()
    assert store.stats()["readers"] == 0, "a reader that is kept for reuse holds nothing back"
    await engine.close()


async def test_a_reader_that_died_is_cleared(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store")
    engine = engine_over(store, {})
    await write(engine, (b"a", b""))
    program = (
        "import os, sys; from pathlib import Path; from unkai.store.engines.lmdb import *;"
        "env = open_environment(Path(sys.argv[1]), readonly=True); s = LmdbSnapshot(env); os.kill(os.getpid(), 9)"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(tmp_path / "store")], check=False)
    assert store.stats()["readers"] == 1, "its place is still taken, and with it every page that is freed from now on"
    assert store.reader_check() == 1
    assert store.stats()["readers"] == 0
    await engine.close()


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    engine = engine_over(LmdbStore(tmp_path / "store"), {})
    for path in (tmp_path / "store", *(tmp_path / "store").iterdir()):
        assert os.stat(path).st_mode & 0o077 == 0, path.name
    await engine.close()
