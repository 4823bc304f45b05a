"""Limits for a cell, on cgroup v1 (four hierarchies) and v2 (one). One value per version; the spawner holds one of them.

Groups live under the spawner's own group, so a limit on unkai as a whole holds for its functions too.
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unkai.runtime.boot import enter

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path("/sys/fs/cgroup")
_V1 = ("memory", "cpu", "pids", "freezer")
_V2 = ("memory", "cpu", "pids")
PIDS_MAX = 1024
_MOVE_PAUSE_MS, _MOVES = 5, 400
MB_PER_VCPU = 1769
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _try_write(path: Path, text: str) -> None:
    """For settings that some kernels lack (swap accounting)."""
    with contextlib.suppress(OSError):
        _write(path, text)


def _own_groups() -> dict[str, str]:
    """Controller (empty for v2) to this process's group path."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


@dataclass(frozen=True, slots=True)
class Cgroups:
    """`bases` are the folders that hold our groups: by controller on v1, one under "" on v2."""

    version: int
    bases: dict[str, Path]
    cpu_quota: bool = False

    def path(self, controller: str, cell: int) -> Path:
        return self.bases.get(controller, self.bases.get("", _ROOT)) / str(cell)

    def create(self, cell: int, memory_mb: int) -> None:
        for base in self.bases.values():
            (base / str(cell)).mkdir()
        limit = str(memory_mb << 20)
        memory, cpu = self.path("memory", cell), self.path("cpu", cell)
        quota_us = memory_mb * 100_000 // MB_PER_VCPU
        _write(self.path("pids", cell) / "pids.max", str(PIDS_MAX))
        if self.version == 1:
            _write(memory / "memory.limit_in_bytes", limit)
            _try_write(memory / "memory.memsw.limit_in_bytes", limit)
            _try_write(memory / "memory.swappiness", "0")
            _write(cpu / "cpu.shares", str(max(2, memory_mb * 1024 // MB_PER_VCPU)))
            if self.cpu_quota:
                _write(cpu / "cpu.cfs_quota_us", str(max(1000, quota_us)))
        else:
            _write(memory / "memory.max", limit)
            _try_write(memory / "memory.swap.max", "0")
            _try_write(memory / "memory.oom.group", "0")
            _write(cpu / "cpu.weight", str(min(10_000, max(1, memory_mb * 100 // MB_PER_VCPU))))
            if self.cpu_quota:
                _write(cpu / "cpu.max", f"{max(1000, quota_us)} 100000")

    def join_fds(self, cell: int) -> list[int]:
        """Open membership files, for a process that has no path to them. Writing 0 moves the writer."""
        return [os.open(base / str(cell) / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for base in self.bases.values()]

    def freeze(self, cell: int, frozen: bool) -> None:
        if self.version == 1:
            _write(self.path("freezer", cell) / "freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            _write(self.path("", cell) / "cgroup.freeze", "1" if frozen else "0")

    def measure(self, cell: int) -> tuple[int, int]:
        """Bytes used now, and at the most since the cell began."""
        names = (
            ("memory.usage_in_bytes", "memory.max_usage_in_bytes")
            if self.version == 1
            else ("memory.current", "memory.peak")
        )
        try:
            now, peak = (int((self.path("memory", cell) / name).read_text()) for name in names)
        except (FileNotFoundError, ValueError):
            return 0, 0
        return now, peak

    def peak_fd(self, cell: int) -> int:
        """The file that tells the peak, for a reader without a path to it."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return os.open(self.path("memory", cell) / name, os.O_RDONLY | os.O_CLOEXEC)

    def oom_kills(self, cell: int) -> int:
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        try:
            lines = (self.path("memory", cell) / name).read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def kill(self, cell: int) -> None:
        """SIGKILL to every member. A frozen v1 group would keep the signals pending, so it is thawed first."""
        if self.version == 2:
            _try_write(self.path("", cell) / "cgroup.kill", "1")
        with contextlib.suppress(OSError):
            self.freeze(cell, False)
        for pid in self.members(cell):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def members(self, cell: int) -> list[int]:
        try:
            return [int(pid) for pid in (self.path("pids", cell) / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def remove(self, cell: int) -> bool:
        """False while a dead member has not left yet."""
        gone = True
        for base in self.bases.values():
            try:
                (base / str(cell)).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    def sweep(self) -> list[int]:
        """Kill what an earlier incarnation left; the cells that still have a group afterwards."""
        cells = {int(entry.name) for base in self.bases.values() for entry in base.iterdir() if entry.name.isdigit()}
        for cell in cells:
            self.kill(cell)
        return [cell for cell in sorted(cells) if not self.remove(cell)]

    def announce(self) -> Callable[[], None]:
        """Start a helper; what is returned tells it that a process is about to join a group.

        The first move of a process between groups waits for a grace period of the kernel (15 ms [m]); those that follow
        within another such period do not (0.02 ms). So the helper moves itself, to where it is, while the cell is still
        being made, and goes on for two seconds, since one cold start is often followed by others. Then it sleeps.
        """
        target = next(iter(self.bases.values())).parent / "cgroup.procs"
        read, write = os.pipe2(os.O_CLOEXEC)
        if os.fork() == 0:
            try:
                fd = os.open(target, os.O_WRONLY)
                enter.close_all_but({read, fd})
                enter.die_with_parent()
                _keep_moving(read, fd)
            finally:
                os._exit(0)
        os.close(read)
        os.set_blocking(write, False)

        def tell() -> None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(write, b"x")

        return tell

    def close(self) -> None:
        for base in self.bases.values():
            with contextlib.suppress(OSError):
                base.rmdir()


def _keep_moving(wanted: int, fd: int) -> None:
    """Until `wanted` ends: after each byte of it, write for a while."""
    poll = select.poll()
    poll.register(wanted, select.POLLIN)
    left = 0
    while True:
        if poll.poll(_MOVE_PAUSE_MS if left else None):
            if not os.read(wanted, 64):
                return
            left = _MOVES
        left -= 1
        os.write(fd, b"0")


def open_cgroups(name: str, cpu_quota: bool = False) -> Cgroups:
    """Our groups, made where missing. Raises OSError with the reason where this process may not make any."""
    own = _own_groups()
    if all((_ROOT / controller / "cgroup.procs").exists() for controller in _V1):
        bases = {controller: _v1_base(controller, own.get(controller, "/"), name) for controller in _V1}
        return Cgroups(1, bases, cpu_quota)
    parent = _ROOT / own.get("", "/").lstrip("/")
    if not (parent / "cgroup.controllers").exists():
        raise OSError("no cgroup hierarchy with memory, cpu and pids is mounted at /sys/fs/cgroup")
    missing = set(_V2) - set((parent / "cgroup.controllers").read_text().split())
    if missing:
        raise OSError(f"cgroup v2 controllers not delegated to this process: {' '.join(sorted(missing))}")
    if parent != _ROOT:  # v2 allows processes in leaves only: step aside, then hand the controllers down
        aside = parent / f"{name}-self"
        aside.mkdir(exist_ok=True)
        for pid in (parent / "cgroup.procs").read_text().split():
            if os.getsid(int(pid)) == os.getsid(0):  # only what was started with us; a stranger's presence fails below
                _try_write(aside / "cgroup.procs", pid)
    base = parent / name
    base.mkdir(exist_ok=True)
    for folder in (parent, base):
        _write(folder / "cgroup.subtree_control", " ".join(f"+{controller}" for controller in _V2))
    return Cgroups(2, {"": base}, cpu_quota)


def _v1_base(controller: str, own: str, name: str) -> Path:
    folder = _ROOT / controller / own.lstrip("/")
    if not folder.exists():  # a container that shows its own group as the root
        folder = _ROOT / controller
    base = folder / name
    base.mkdir(exist_ok=True)
    return base
