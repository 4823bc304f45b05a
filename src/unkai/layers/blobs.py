"""Large values as files beside the store. See docs/layers/blobs.md.

The rule it protects: what a commit refers to is on disk before the commit, and what no commit refers to is removed. A file is
born in `incoming/` and its writer holds an exclusive lock on it; it is synced, a row refers to it in the same transaction as
the row that needs it, and only then is it moved to its place. So whatever is found unlocked in `incoming/` at start was left
by a dead process, and the store says whether to keep it. Nothing else is ever walked.

    ("blob", blob_id)  -> owner: a row of some service needs this file

An alternative that lost: files named by their content. It saves space for equal objects, but needs counting of references,
and an equal object written while the last reference goes away is a race that only a lock over both can decide.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
from typing import TYPE_CHECKING, Any, TypeVar

from unkai.kernel.errors import AwsError
from unkai.kernel.ids import random_bytes
from unkai.kernel.ports import BlobMissing
from unkai.kernel.tasks import Done, Retry, TaskResult
from unkai.layers.tasks import add_task, decode, lane_prefix
from unkai.store.api import StoreUnavailable
from unkai.store.disk import sync_folder
from unkai.store.tuples import pack, prefix_end, unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import BlobWriter, Node
    from unkai.kernel.tasks import TaskView
    from unkai.store.api import ReadTx, Snapshot, Tx

log = logging.getLogger(__name__)
T = TypeVar("T")

ID_SIZE_BYTES = 16
INLINE_SIZE_BYTES_MAX = 32 * 1024
"""What is no larger stays in a row: a file would cost two more syncs and a system call per read."""
PIECE_SIZE_BYTES = 1024 * 1024
UNLINK = "blobs.unlink"
"""The task kind that removes dropped files. One service registers `unlink_dropped` for it."""
READ_HOLD_PAUSE_MS = 1000
PAGE = 1000


# --- rows


def _reference(blob_id: bytes) -> bytes:
    return pack("blob", blob_id)


def refer(tx: Tx, blob_id: bytes, owner: bytes = b"") -> None:
    """Keep the file: in the transaction whose rows need it. `owner` tells the services apart whose checkers count references."""
    assert len(blob_id) == ID_SIZE_BYTES, "the id of a blob"
    tx.set(_reference(blob_id), owner)


def drop(ctx: Ctx, tx: Tx, blob_ids: Sequence[bytes], *, guard: bytes = b"") -> None:
    """Give files up, in the transaction that drops the last row that needs them. They go when nobody holds `guard`."""
    for blob_id in blob_ids:
        tx.clear(_reference(blob_id))
    if blob_ids:
        add_task(ctx, tx, UNLINK, b"".join((guard or blob_ids[0], *blob_ids)))


async def unlink_dropped(ctx: Ctx, node: Node, task: TaskView) -> TaskResult:
    """No row names these files any more. Removing one that is gone already is no error, so a crash in between harms nothing."""
    ids = [task.payload[at : at + ID_SIZE_BYTES] for at in range(0, len(task.payload), ID_SIZE_BYTES)]
    if not await node.blobs.unlink(ids[1:], guard=ids[0]):
        return Retry(node.clock.node_ms() + READ_HOLD_PAUSE_MS)
    return Done()


# --- files


class FileWriter:
    """kernel.ports.BlobWriter: one file in `incoming/`, locked by this process until it is kept or abandoned."""

    __slots__ = ("_fd", "_path", "_place", "id", "size_bytes")

    def __init__(self, blob_id: bytes, fd: int, path: Path, place: Path) -> None:
        self.id = blob_id
        self.size_bytes = 0
        self._fd = fd
        self._path = path
        self._place = place

    async def write(self, piece: bytes, through: Callable[[bytes], bytes] | None = None) -> None:
        """Append `piece`, passed through `through` (hashing, encryption) in the same thread. The loop never waits for the disk."""
        assert self._fd >= 0, "the blob is still being written"
        try:
            self.size_bytes += await asyncio.to_thread(self._write, piece, through)
        except OSError as error:
            self.abandon()
            raise refusal(error) from error
        except BaseException:
            self.abandon()
            raise

    def _write(self, piece: bytes, through: Callable[[bytes], bytes] | None) -> int:
        rest = memoryview(piece if through is None else through(piece))
        size = len(rest)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        return size

    async def finish(self) -> None:
        """Durable on return: the file and its name."""
        assert self._fd >= 0, "the blob is still being written"
        try:
            await asyncio.to_thread(self._sync)
        except OSError as error:
            self.abandon()
            raise refusal(error) from error

    def _sync(self) -> None:
        os.fsync(self._fd)
        sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Leave nothing behind. Safe to call again, and after the blob was kept."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            self.release()

    def place(self) -> None:
        """Move the file to where it stays. Failing that, it stays in `incoming/`, where readers find it too."""
        try:
            os.rename(self._path, self._place)
        except OSError:
            log.warning("a blob stays in incoming", exc_info=True)
        self.release()

    def release(self) -> None:
        """Let go of the file as it is; the next start decides about it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Not `abandon`: a process that ends may have sent the commit that needs the file.
    __del__ = release


class FileBlobs:
    """kernel.ports.Blobs in `folder`. Every process of the node has one; `snapshot` opens a moment of its store."""

    def __init__(self, folder: Path, snapshot: Callable[[], Snapshot]) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._snapshot = snapshot
        self._keeping: set[asyncio.Future[Any]] = set()

    def _place(self, blob_id: bytes) -> Path:
        name = blob_id.hex()
        return self._folder / name[:2] / name

    async def create(self) -> BlobWriter:
        """A new file. Ids are random: two processes never meet, and none can be guessed."""
        while True:
            blob_id = random_bytes(ID_SIZE_BYTES)
            path = self._incoming / blob_id.hex()
            try:
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise refusal(error) from error
            # Recovery may have come between the two calls, in which case the file is gone (or locked).
            if lock(fd, fcntl.LOCK_EX) and os.fstat(fd).st_nlink:
                return FileWriter(blob_id, fd, path, self._place(blob_id))
            os.close(fd)

    async def keep(self, writers: Sequence[BlobWriter], committing: Awaitable[T]) -> T:
        """Await the transaction that refers to these blobs, then move them to their places; its answer.

        It runs to its end even where the caller is cancelled, since the commit may already be on its way.
        """
        future = asyncio.ensure_future(self._keep(writers, committing))
        self._keeping.add(future)
        future.add_done_callback(self._keeping.discard)
        return await asyncio.shield(future)

    async def _keep(self, writers: Sequence[BlobWriter], committing: Awaitable[T]) -> T:
        try:
            out = await committing
        except AwsError:
            for writer in writers:
                writer.abandon()
            raise
        except BaseException:
            # The commit may have happened although its answer was lost. The store knows.
            await self._settle(writers)
            raise
        for writer in writers:
            writer.place()
        return out

    async def _settle(self, writers: Sequence[BlobWriter]) -> None:
        for writer in writers:
            try:
                referenced = await self._is_referenced(writer.id)
            except Exception:
                log.warning("a blob is left for recovery", exc_info=True)
                writer.release()
                continue
            if referenced:
                writer.place()
            else:
                writer.abandon()

    async def _is_referenced(self, blob_id: bytes) -> bool:
        moment = self._snapshot()
        try:
            return await moment.get(_reference(blob_id)) is not None
        finally:
            moment.close()

    def open(self, blob_id: bytes) -> int:
        """A descriptor for reading, which the caller closes. What is unlinked meanwhile stays readable through it."""
        # It may be moved between the first look and the second, hence the third.
        for path in (self._place(blob_id), self._incoming / blob_id.hex(), self._place(blob_id)):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        raise BlobMissing(blob_id.hex())

    def path(self, blob_id: bytes) -> str:
        """Where the file lies now."""
        for path in (self._place(blob_id), self._incoming / blob_id.hex(), self._place(blob_id)):
            if path.exists():
                return str(path)
        raise BlobMissing(blob_id.hex())

    def hold(self, blob_id: bytes) -> int:
        """Open a blob and keep every file that it guards from being unlinked until the descriptor is closed."""
        fd = self.open(blob_id)
        # Locked: by its writer, for the moment between its commit and the move, or by its unlinking. The caller reads again.
        if not lock(fd, fcntl.LOCK_SH) or not os.fstat(fd).st_nlink:
            os.close(fd)
            raise BlobMissing(blob_id.hex())
        return fd

    async def unlink(self, blob_ids: Sequence[bytes], *, guard: bytes) -> bool:
        """Remove files; False (and nothing removed) where `guard` is held by a reader or writer of any process."""
        return await asyncio.to_thread(self._unlink, blob_ids, guard)

    def _unlink(self, blob_ids: Sequence[bytes], guard: bytes) -> bool:
        try:
            fd = self.open(guard)
        except BlobMissing:
            fd = -1
        try:
            if fd >= 0 and not lock(fd, fcntl.LOCK_EX):
                return False
            for blob_id in blob_ids:
                # In this order: a file only ever moves from the first place to the second.
                (self._incoming / blob_id.hex()).unlink(missing_ok=True)
                self._place(blob_id).unlink(missing_ok=True)
        finally:
            if fd >= 0:
                os.close(fd)
        return True

    async def recover(self) -> None:
        """Make the folders, and decide about what dead writers left. Run by the store process before it takes requests."""
        if not (self._folder / "ff").exists():
            # All at once: a move never needs a folder whose own entry is not on disk yet.
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number in range(256):
                (self._folder / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder)
        for name in os.listdir(self._incoming):
            if len(name) == 2 * ID_SIZE_BYTES:
                await self._recover_one(bytes.fromhex(name), self._incoming / name)
        sync_folder(self._incoming)

    async def _recover_one(self, blob_id: bytes, path: Path) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if not lock(fd, fcntl.LOCK_EX):
                return  # its writer lives: a worker outlives the store process
            if await self._is_referenced(blob_id):
                os.rename(path, self._place(blob_id))
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def stored(self) -> Iterator[bytes]:
        """The id of every file, for `check`. Walks everything: not for the way of a request."""
        for folder in self._folder.iterdir():
            for path in folder.iterdir():
                yield bytes.fromhex(path.name)


async def referred(tx: ReadTx, owner: bytes = b"") -> set[bytes]:
    """Every blob that an owner refers to, for checkers."""
    begin = pack("blob")
    pairs = await tx.get_range(begin, prefix_end(begin))
    return {_id_of(key) for key, value in pairs if value == owner}


def _id_of(key: bytes) -> bytes:
    blob_id = unpack(key)[1]
    assert isinstance(blob_id, bytes)
    return blob_id


async def check(tx: ReadTx, blobs: FileBlobs) -> list[str]:
    """BLOB-1: every reference has its file. BLOB-2: every file has a reference, or a task to unlink it. Nothing may be running."""
    begin = pack("blob")
    referenced = {unpack(key)[1] for key, _ in await tx.get_range(begin, prefix_end(begin))}
    lane = lane_prefix(UNLINK)
    leaving: set[bytes] = set()
    for _, value in await tx.get_range(lane, prefix_end(lane)):
        payload = decode(value).payload
        leaving.update(payload[at : at + ID_SIZE_BYTES] for at in range(ID_SIZE_BYTES, len(payload), ID_SIZE_BYTES))
    stored = set(blobs.stored())
    broken = [f"BLOB-1 a reference without a file: {blob_id!r}" for blob_id in referenced - stored]
    broken += [f"BLOB-2 a file without a reference: {blob_id.hex()}" for blob_id in stored - referenced - leaving]
    return broken


def lock(fd: int, kind: int) -> bool:
    """Take a lock without waiting; whether it was free. It ends with the descriptor, so also with the process."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refusal(error: OSError) -> StoreUnavailable:
    """What a client is told. The file is gone by then."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreUnavailable("The disk is full: nothing was written. Free some space and retry.")
    if error.errno == errno.EROFS:
        return StoreUnavailable("The disk is read-only: nothing was written.")
    return StoreUnavailable(f"The disk refused the write: {error.strerror}")
