"""The data directory: what is where, its format version, and the lock that lets one node at a time use it.

FORMAT        the format version, a number
LOCK          held (flock) by the supervisor
secret        32 random bytes, from which ids are drawn
credentials   root's access key, JSON, mode 0600
clock         the clock's offset; present where the directory was made with --clock movable
store/        the embedded store
blobs/        object bytes
    runtime/      what runs functions: unpacked code, disks, sockets
run/          sockets and the pid of the running node
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from unkai.kernel.clock import MovableClock, RealClock
from unkai.kernel.ids import random_bytes
from unkai.store.disk import sync_folder

if TYPE_CHECKING:
    from unkai.kernel.clock import Clock

FORMAT = 1
"""Raised with every change of what is stored; `upgrades` in this module then leads from each older one to the next."""

SOCKET_PATH_BYTES_MAX = 100
"""A Unix socket's path has at most 108 bytes (man 7 unix); file names and slashes need some of them."""


class DataDirError(Exception):
    """The directory cannot be used; the text says why and what to do."""


class RootCredentials(msgspec.Struct, frozen=True):
    account: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class DataDir:
    path: Path

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def runtime(self) -> Path:
        """What runs functions keeps its sockets, unpacked code and disks here."""
        return self.path / "runtime"

    @property
    def run(self) -> Path:
        """Where the sockets are: in the directory itself, or below the system's temporary one where its path is too long."""
        run = self.path / "run"
        if len(os.fsencode(run)) <= SOCKET_PATH_BYTES_MAX - 20:
            return run
        stat = self.path.stat()
        return Path(tempfile.gettempdir()) / f"unkai-{os.getuid()}-{stat.st_dev:x}-{stat.st_ino:x}"

    @property
    def store_socket(self) -> Path:
        return self.run / "store.sock"

    def secret(self) -> bytes:
        return (self.path / "secret").read_bytes()

    def clock(self) -> Clock:
        """Opened once per process."""
        return MovableClock(self.path / "clock") if (self.path / "clock").exists() else RealClock()

    def root_credentials(self) -> RootCredentials:
        return msgspec.json.decode((self.path / "credentials").read_bytes(), type=RootCredentials)


def open_data_dir(path: Path, *, movable_clock: bool = False, credentials: RootCredentials | None = None) -> DataDir:
    """Make the directory where it is missing; check its format where it is not. Raises DataDirError."""
    path = path.resolve()
    directory = DataDir(path)
    marker = path / "FORMAT"
    if not marker.exists():
        if path.exists() and any(path.iterdir()):
            raise DataDirError(f"{path} is not empty and is no data directory of unkai. Choose another --data-dir.")
        _make(directory, movable_clock, credentials or new_root_credentials())
    _check_format(marker)
    if movable_clock and not (path / "clock").exists():
        raise DataDirError(
            f"{path} was made without --clock movable, so that its time cannot be moved. Make a new one."
        )
    directory.run.mkdir(mode=0o700, exist_ok=True)
    return directory


def new_root_credentials(account: str = "000000000000") -> RootCredentials:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html for the forms of keys."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    key_id = "AKIA" + "".join(alphabet[byte & 31] for byte in random_bytes(16))
    secret = random_bytes(30)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    number = int.from_bytes(secret, "big")
    return RootCredentials(account, key_id, "".join(letters[number >> 6 * at & 63] for at in range(40)))


def _make(directory: DataDir, movable_clock: bool, credentials: RootCredentials) -> None:
    """Everything else first, FORMAT last: a directory that a crash left half made is not taken for a whole one."""
    path = directory.path
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path / "secret", random_bytes(32))
    write_durably(path / "credentials", msgspec.json.encode(credentials))
    if movable_clock:
        MovableClock(path / "clock")
    write_durably(path / "FORMAT", f"{FORMAT}\n".encode())


def _check_format(marker: Path) -> None:
    text = marker.read_text().strip()
    if not text.isdigit():
        raise DataDirError(f"{marker} does not hold a format version.")
    if int(text) > FORMAT:
        raise DataDirError(
            f"{marker.parent} has format {text}; this unkai knows formats up to {FORMAT}. Install a newer unkai to use it."
        )


def write_durably(path: Path, data: bytes) -> None:
    """Write a small private file so that it is there whole after a crash, or not at all."""
    born = path.with_name(path.name + ".new")
    fd = os.open(born, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(born, path)
    sync_folder(path.parent)


def lock(directory: DataDir) -> int:
    """Hold the directory until the returned descriptor is closed. Raises DataDirError where another node has it."""
    fd = os.open(directory.path / "LOCK", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise DataDirError(
            f"Another unkai is using {directory.path}. Stop it, or choose another --data-dir and --port."
        ) from None
    return fd


class Running(msgspec.Struct, frozen=True):
    """The node that uses a data directory now."""

    endpoint: str
    pid: int


def write_running(directory: DataDir, endpoint: str, pid: int) -> None:
    (directory.path / "running").write_bytes(msgspec.json.encode(Running(endpoint, pid)))


def forget_running(directory: DataDir) -> None:
    (directory.path / "running").unlink(missing_ok=True)


def read_running(directory: DataDir) -> Running | None:
    """The node that runs on the directory, or None; a file that a killed node left behind is seen through by the lock."""
    try:
        running = msgspec.json.decode((directory.path / "running").read_bytes(), type=Running)
        fd = os.open(directory.path / "LOCK", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return running
    finally:
        os.close(fd)
    return None
