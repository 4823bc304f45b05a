"""The default engine: LMDB, one writer, many reading processes. docs/adr/0001-store.md has the measurements behind the choice.

Rules that LMDB asks for: a process opens an environment once, after its fork; a read transaction never outlives a wait
for the outside, since it keeps every page freed after it; no WRITEMAP; sync on.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Any

import lmdb

from unkai.store.api import StoreUnavailable
from unkai.store.disk import sync_folder
from unkai.store.engines.embedded import EmbeddedEngine
from unkai.store.writer import DISK_FULL, FIRST_KEY, VERSION_KEY, Writer, horizon, read_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unkai.store.api import Pair, Program

log = logging.getLogger(__name__)

MAP_SIZE_BYTES = 1 << 44
META_PAGES = 2
READERS_MAX = 4096
SPARE_READ_TRANSACTIONS = 64
RESERVE_SIZE_BYTES = 8 * 1024 * 1024


def open_environment(folder: Path, *, readonly: bool = False) -> lmdb.Environment:
    """Open the environment in `folder` (made where it is missing, for the writer)."""
    return lmdb.open(
        str(folder),
        map_size=MAP_SIZE_BYTES,
        max_readers=READERS_MAX,
        max_spare_txns=SPARE_READ_TRANSACTIONS,
        readonly=readonly,
        create=not readonly,
        mode=0o600,
        readahead=False,
    )


class LmdbSnapshot:
    """A read transaction. Cheap (0.3 us), but it must be closed soon."""

    __slots__ = ("_get", "_txn")

    def __init__(self, env: lmdb.Environment) -> None:
        self._txn = env.begin()
        self._get = self._txn.get

    async def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._get(key)
        return value

    async def get_range(self, begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False) -> list[Pair]:
        return scan(self._txn, max(begin, FIRST_KEY), end, limit, reverse)

    def version(self) -> int:
        return read_version(self._get(VERSION_KEY))

    def log_horizon(self) -> bytes:
        return horizon(self.version())

    def close(self) -> None:
        self._txn.abort()


def scan(txn: lmdb.Transaction, begin: bytes, end: bytes, limit: int, reverse: bool) -> list[Pair]:
    """Pairs with `begin <= key < end` in order, or from the end."""
    out: list[Pair] = []
    if begin >= end:
        return out
    pair: Any  # (bytes, bytes): the environment is opened without buffers, which its types do not say
    with txn.cursor() as cursor:
        if not reverse:
            if not cursor.set_range(begin):
                return out
            for pair in cursor.iternext():
                if pair[0] >= end:
                    break
                out.append(pair)
                if limit and len(out) == limit:
                    break
            return out
        # The last key before `end`: one back from the first at or after it, or the very last.
        if not (cursor.prev() if cursor.set_range(end) else cursor.last()):
            return out
        for pair in cursor.iterprev():
            if pair[0] < begin:
                break
            out.append(pair)
            if limit and len(out) == limit:
                break
    return out


class LmdbView:
    """An open write transaction."""

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        self._txn = store.env.begin(write=True)

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._txn.get(key)
        return value

    def get_range(self, begin: bytes, end: bytes, limit: int, reverse: bool) -> list[Pair]:
        return scan(self._txn, begin, end, limit, reverse)

    def put(self, key: bytes, value: bytes) -> None:
        try:
            self._txn.put(key, value)
        except lmdb.Error as error:
            raise self._store.refusal(error) from error

    def delete(self, key: bytes) -> None:
        try:
            self._txn.delete(key)
        except lmdb.Error as error:
            raise self._store.refusal(error) from error

    def commit(self) -> None:
        try:
            self._txn.commit()
        except (lmdb.Error, OSError) as error:
            raise self._store.refusal(error) from error

    def abort(self) -> None:
        self._txn.abort()


class LmdbStore:
    """The writer's environment, and the reserve that is given up when the disk is full.

    Deleting needs free pages too (copy on write), so a full disk could never be emptied through the store itself. A file
    of RESERVE_SIZE_BYTES is kept beside it. The first refusal removes it; from then on the writer lets through what frees
    space, and what fits in `room`. Once the disk has space again the reserve is made again.
    """

    def __init__(self, folder: Path) -> None:
        """Raises StoreUnavailable where the disk does not let us."""
        self._folder = folder
        self._reserve = folder / "reserve"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.env = open_environment(folder)
        except (lmdb.Error, OSError) as error:
            raise self.refusal(error) from error
        sync_folder(folder)
        sync_folder(folder.parent)
        self._has_reserve = self._reserve.exists() or self._make_reserve()

    def begin(self) -> LmdbView:
        try:
            return LmdbView(self)
        except lmdb.Error as error:
            raise self.refusal(error) from error

    def room(self) -> int | None:
        """None while the reserve stands, which costs nothing. Else what may be added without touching its space."""
        if self._has_reserve:
            return None
        self._has_reserve = self._make_reserve()
        if self._has_reserve:
            log.info("the disk has space again")
            return None
        free_bytes = self._free_pages() * self.env.stat()["psize"] + self._disk_free_bytes()
        return max(0, free_bytes - RESERVE_SIZE_BYTES)

    def _free_pages(self) -> int:
        """Pages of the file that hold nothing (or LMDB's own list of them)."""
        tree = self.env.stat()
        used = tree["branch_pages"] + tree["leaf_pages"] + tree["overflow_pages"]
        return max(0, self.env.info()["last_pgno"] + 1 - META_PAGES - used)

    def refusal(self, error: Exception) -> StoreUnavailable:
        """What a client is told, with the reserve given up where the disk is full."""
        text = str(error)
        # LMDB reports a write that the disk took only in part as an I/O error, so the disk itself is asked too.
        is_short = os.strerror(errno.EIO) in text and self._disk_free_bytes() < RESERVE_SIZE_BYTES
        is_full = any(os.strerror(code) in text for code in (errno.ENOSPC, errno.EDQUOT))
        if is_short or is_full or isinstance(error, lmdb.MapFullError):
            self._reserve.unlink(missing_ok=True)
            self._has_reserve = False
            return StoreUnavailable(DISK_FULL)
        if os.strerror(errno.EROFS) in text:
            return StoreUnavailable("The disk is read-only: nothing was written. Make it writable and retry.")
        if isinstance(error, lmdb.PanicError):
            return StoreUnavailable("The disk failed in the middle of a commit: check it, and start again.")
        return StoreUnavailable(f"The store refused the write: {text}")

    def _disk_free_bytes(self) -> int:
        """What the disk still has for us; a folder that could not be made has none to ask about."""
        if not self._folder.exists():
            return 0
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def _make_reserve(self) -> bool:
        """Only where twice its size is free, so that a disk that is nearly full does not make us change our mind each time."""
        if self._disk_free_bytes() < 2 * RESERVE_SIZE_BYTES:
            return False
        try:
            fd = os.open(self._reserve, os.O_CREAT | os.O_WRONLY, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(fd, 0, RESERVE_SIZE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        finally:
            os.close(fd)
        return True

    # --- care

    def copy_to(self, folder: Path) -> None:
        """A compact copy of this moment in a new `folder`, durable on return; the store goes on meanwhile.

        Takes as long as reading everything, so callers run it in a thread. What is deleted meanwhile stays on the disk
        until the copy is done.
        """
        folder.mkdir(mode=0o700, parents=True)
        self.env.copy(str(folder), compact=True)
        with (folder / "data.mdb").open("rb+") as file:
            os.fsync(file.fileno())
        sync_folder(folder)
        sync_folder(folder.parent)

    def reader_check(self) -> int:
        """Free what readers that died still hold; how many there were. To be called after any child's death."""
        return self.env.reader_check()

    def stats(self) -> dict[str, int]:
        """The gauge: how large the store is, how much of it is free again, and how far its oldest reader holds it back.

        Pages freed after the oldest reader's moment cannot be used again: `oldest_reader_commits` that grows means a reader
        that forgot to close.
        """
        info, tree = self.env.info(), self.env.stat()
        moments = [int(row.split()[2]) for row in self.env.readers().splitlines()[1:] if row.split()[2] != "-"]
        return {
            "page_size_bytes": tree["psize"],
            "size_bytes": (info["last_pgno"] + 1) * tree["psize"],
            "pages": info["last_pgno"] + 1,
            "free_pages": self._free_pages(),
            "entries": tree["entries"],
            "readers": len(moments),
            "oldest_reader_commits": info["last_txnid"] - min(moments, default=info["last_txnid"]),
        }


def open_lmdb(folder: Path, programs: Mapping[str, Program]) -> EmbeddedEngine:
    """The engine of the process that writes. `folder` is made where it is missing."""
    return engine_over(LmdbStore(folder), programs)


def engine_over(store: LmdbStore, programs: Mapping[str, Program]) -> EmbeddedEngine:
    """The same for who needs the store itself too, to copy it or to look at its gauge."""
    return EmbeddedEngine(Writer(store, programs), lambda: LmdbSnapshot(store.env), store.env.close)
