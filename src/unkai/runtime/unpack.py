"""Code packages on disk: zip archives unpacked once into read-only folders named by digest, shared by all environments.

An archive is hostile input: bounded in bytes and entries while it is being read (not by what it claims), no name may leave the
folder, links are made last and only where they stay inside. A folder appears whole or not at all.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (250 MB unzipped, layers included)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from unkai.kernel import ids
from unkai.runtime.api import InvalidCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNZIPPED_SIZE_BYTES_MAX = 262_144_000
ENTRIES_MAX = 100_000
_DEPTH_MAX = 64
_NAME_BYTES_MAX = 255
_LINK_BYTES_MAX = 4096
_CHUNK = 1 << 18
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def key_of(digests: Sequence[str]) -> bytes:
    """The folder's name: the archive's digest, or a digest over several archives' (layers, in their order)."""
    if len(digests) == 1:
        return bytes.fromhex(digests[0])
    return hashlib.sha256(b"layers" + b"".join(bytes.fromhex(digest) for digest in digests)).digest()


@dataclass(slots=True)
class CodeStore:
    folder: Path
    _sizes: dict[bytes, int] = field(default_factory=dict)

    def open(self) -> None:
        """Forget half-made folders, and all of them after a reboot: they were not fsynced, since they can be made again."""
        stamp = self.folder / "boot"
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        same = stamp.exists() and stamp.read_text() == boot
        for entry in self.folder.iterdir():
            if entry.is_dir() and (not same or entry.name.startswith("new-")):
                _remove(entry)
        stamp.write_text(boot)

    def find(self, key: bytes) -> Path | None:
        path = self.folder / key.hex()
        return path if path.is_dir() else None

    def size(self, key: bytes) -> int:
        if key not in self._sizes:
            marker = self.folder / f"{key.hex()}.size"
            self._sizes[key] = int(marker.read_text()) if marker.exists() else 0
        return self._sizes[key]

    def add(self, digests: Sequence[str], archives: Sequence[IO[bytes]]) -> Path:
        """Unpack archives over each other in order. Raises InvalidCode."""
        key = key_of(digests)
        final = self.folder / key.hex()
        if final.is_dir():
            return final
        fresh = self.folder / f"new-{ids.random_bytes(8).hex()}"
        fresh.mkdir(mode=0o755)
        try:
            size = 0
            for digest, archive in zip(digests, archives, strict=True):
                _verify(archive, digest)
                size = _extract(archive, fresh, size)
            (self.folder / f"{key.hex()}.size").write_text(str(size))
            os.rename(fresh, final)
        except BaseException:
            _remove(fresh)
            raise
        return final

    def remove_others(self, keep: Iterable[bytes]) -> int:
        kept = {key.hex() for key in keep}
        removed = 0
        for entry in list(self.folder.iterdir()):
            if entry.is_dir() and entry.name not in kept:
                self._sizes.pop(bytes.fromhex(entry.name) if len(entry.name) == 64 else b"", None)
                doomed = self.folder / f"new-{ids.random_bytes(8).hex()}"
                os.rename(entry, doomed)  # gone at once under its name; environments that run from it keep their mount
                _remove(doomed)
                (self.folder / f"{entry.name}.size").unlink(missing_ok=True)
                removed += 1
        return removed


def _remove(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _verify(archive: IO[bytes], digest: str) -> None:
    archive.seek(0)
    state = hashlib.sha256()
    while chunk := archive.read(_CHUNK):
        state.update(chunk)
    if state.hexdigest() != digest:
        raise InvalidCode("The code archive does not have the digest that it was stored with.")
    archive.seek(0)


def _extract(archive: IO[bytes], into: Path, size_before: int) -> int:
    """Unpack one archive; gives the total size so far."""
    total = size_before
    links: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            if len(entries) > ENTRIES_MAX:
                raise InvalidCode(f"The archive holds more than {ENTRIES_MAX} entries.")
            for entry in entries:
                name = _safe_name(entry.filename)
                mode = entry.external_attr >> 16
                if stat.S_ISLNK(mode):
                    links.append((name, entry))
                elif entry.is_dir():
                    _make_folder(into, name)
                elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                    raise InvalidCode(f"The archive holds a special file: {entry.filename[:200]!r}.")
                else:
                    _make_folder(into, name.parent)
                    total = _write(opened, entry, into / name, mode, total)
            for name, entry in links:
                _make_link(opened, entry, into, name)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
        LookupError,
        ValueError,
        OSError,
    ) as error:
        # zipfile tells of broken archives in many ways; OSError: a file stands where a folder is asked for
        raise InvalidCode(f"Could not unzip uploaded file: {type(error).__name__}.") from error
    return total


def _safe_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or len(path.parts) > _DEPTH_MAX or not path.parts:
        raise InvalidCode(f"The archive holds a name that leaves its folder: {name[:200]!r}.")
    if any(len(part.encode("utf-8", "surrogateescape")) > _NAME_BYTES_MAX for part in path.parts):
        raise InvalidCode("The archive holds a name that is too long.")
    return path


def _make_folder(into: Path, name: PurePosixPath) -> None:
    """No link can stand in the way: links are made after everything else, and the folder began empty."""
    (into / name).mkdir(mode=0o755, parents=True, exist_ok=True)


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, mode: int, total: int) -> int:
    if path.is_symlink():
        path.unlink()  # an earlier layer's link gives way to a later layer's file
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    # A mode of 0 comes from archivers without Unix modes: such a package means its bootstrap to be run.
    executable = mode & 0o111 or stat.S_IMODE(mode) == 0
    with os.fdopen(os.open(path, flags, 0o644), "wb") as target, opened.open(entry) as source:
        while chunk := source.read(_CHUNK):
            total += len(chunk)
            if total > UNZIPPED_SIZE_BYTES_MAX:
                raise InvalidCode(f"Unzipped size must be smaller than {UNZIPPED_SIZE_BYTES_MAX} bytes")
            target.write(chunk)
        os.fchmod(target.fileno(), 0o755 if executable else 0o644)
    return total


def _make_link(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path, name: PurePosixPath) -> None:
    if entry.file_size > _LINK_BYTES_MAX:
        raise InvalidCode("The archive holds a link that is too long.")
    target = opened.read(entry).decode("utf-8", "surrogateescape")
    depth = len(name.parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or part == "/":
            raise InvalidCode(f"The archive holds a link that leaves its folder: {entry.filename[:200]!r}.")
    # The parent may be reached through a link made just before, which itself stays inside; its folder must not be.
    parent = into / name.parent
    if parent.resolve() != (into.resolve() / name.parent):
        raise InvalidCode(f"The archive holds a link under a link: {entry.filename[:200]!r}.")
    _make_folder(into, name.parent)
    path = into / name
    if path.is_symlink():
        path.unlink()
    os.symlink(target, path)
