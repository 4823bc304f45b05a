"""The default engine: LMDB, one writer, many reading processes. docs/adr/0001-store.md has the measurements behind the choice.

Rules that LMDB asks for: a process opens an environment once, after its fork; a read transaction never outlives a wait
for the outside, since it keeps every page freed after it; no WRITEMAP; sync on.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import lmdb

from unkai.store.api import StoreUnavailable
from unkai.store.engines.embedded import EmbeddedEngine
from unkai.store.writer import VERSION_KEY, Writer, horizon, read_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unkai.store.api import Pair, Program

MAP_SIZE_BYTES = 1 << 44
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
        return scan(self._txn, begin, end, limit, reverse)

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
    of RESERVE_SIZE_BYTES is kept beside it; the first refusal removes it, which leaves room to delete, and it is made again
    when there is space.
    """

    def __init__(self, folder: Path) -> None:
        self.env = open_environment(folder)
        self._reserve = folder / "reserve"
        self._make_reserve()

    def begin(self) -> LmdbView:
        try:
            return LmdbView(self)
        except lmdb.Error as error:
            raise self.refusal(error) from error

    def refusal(self, error: Exception) -> StoreUnavailable:
        """What a client is told, with the reserve given up where the disk is full."""
        text = str(error)
        if isinstance(error, lmdb.MapFullError) or os.strerror(errno.ENOSPC) in text:
            self._reserve.unlink(missing_ok=True)
            return StoreUnavailable("The disk is full: nothing was written. Free some space and retry.")
        if os.strerror(errno.EROFS) in text:
            return StoreUnavailable("The disk is read-only: nothing was written.")
        return StoreUnavailable(f"The store refused the write: {text}")

    def _make_reserve(self) -> None:
        if self._reserve.exists():
            return
        try:
            fd = os.open(self._reserve, os.O_CREAT | os.O_WRONLY, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, RESERVE_SIZE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)
        finally:
            os.close(fd)


def open_lmdb(folder: Path, programs: Mapping[str, Program]) -> EmbeddedEngine:
    """The engine of the process that writes. `folder` is made where it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = LmdbStore(folder)
    return EmbeddedEngine(Writer(store, programs), lambda: LmdbSnapshot(store.env), store.env.close)
