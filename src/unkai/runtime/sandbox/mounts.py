"""Mounts: system calls that Python lacks, and the read-only root that every function sees.

The *view* is one tmpfs with the host's program directories bound into it read-only, generated /etc files, and mount points. It
is built once, in the spawner's own mount namespace. A cell copies that namespace, puts code, /tmp and /proc on top, and
makes the view its root, so nothing else of the host has a name inside.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from unkai.runtime.boot import enter

_libc = ctypes.CDLL(None, use_errno=True)

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# Program directories of a Linux host. Links among them (/bin -> usr/bin) are kept as links.
_PROGRAMS = (
    *("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix"),
    *("etc/alternatives", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d"),
    *("etc/ssl", "etc/pki", "etc/ca-certificates", "etc/localtime", "etc/mime.types", "etc/services", "etc/protocols"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_EMPTY = ("proc", "tmp", "var/task", "opt", "var/runtime", "dev", "etc", "run", "var/tmp")
USER_NAME = "sbx_user1051"


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    if _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or 'bind'}: {os.strerror(number)}", target)


def unmount(target: str) -> None:
    _libc.umount2(target.encode(), _MNT_DETACH)


def bind(source: str, target: str, *, readonly: bool = True, flags: int = NOSUID | NODEV) -> None:
    """A bind mount, and the second call that gives it flags of its own."""
    mount(source, target, flags=BIND)
    mount("", target, flags=BIND | REMOUNT | flags | (RDONLY if readonly else 0))


def pivot(root: str) -> None:
    """Make `root` (a mount point) the root, and let go of the old one."""
    os.chdir(root)
    if _libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b".") != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"pivot_root: {os.strerror(number)}")
    unmount(".")
    os.chdir("/")


def build_view(root: Path, prefixes: list[Path], modules: list[Path], boot_files: list[Path]) -> None:
    """Build the view at `root`. `prefixes` are interpreters outside the program directories; `modules` go to /var/runtime."""
    enter.unshare(enter.NEWNS)
    mount("none", "/", flags=REC | PRIVATE)
    root.mkdir(parents=True, exist_ok=True)
    mount("unkai-view", str(root), "tmpfs", NOSUID, "size=16m,mode=755")
    for name in _EMPTY:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var/tmp").rmdir()
    (root / "var/tmp").symlink_to("/tmp")
    for name in _PROGRAMS:
        _show(Path("/") / name, root / name)
    for prefix in prefixes:
        _show(prefix, root / prefix.relative_to("/"))
    for device in _DEVICES:
        (root / "dev" / device).touch()
        mount(f"/dev/{device}", str(root / "dev" / device), flags=BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    for module in modules:
        _show(module, root / "var/runtime" / module.name)
    for file in boot_files:
        (root / "var/runtime" / file.name).write_bytes(file.read_bytes())
    _write_etc(root / "etc")
    mount("", str(root), flags=BIND | REMOUNT | RDONLY | NOSUID)


def open_a_way(paths: list[Path]) -> None:
    """For a process about to change its uid: make `paths` reachable under folders that only their owner may enter.

    In a mount namespace of its own, such a folder (/root, a private temporary folder) is covered by an empty one that holds
    nothing but the paths asked for; so the process loses sight of the rest, too.
    """
    enter.unshare(enter.NEWNS)
    mount("none", "/", flags=REC | PRIVATE)
    covered: dict[Path, list[tuple[Path, int]]] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        closed = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001]
        if closed:
            covered.setdefault(closed[0], []).append((path, os.open(path, os.O_PATH | os.O_CLOEXEC)))
    for folder, kept in covered.items():
        mount("way", str(folder), "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
        for path, fd in sorted(kept):
            path.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", str(path), flags=BIND | REC)
            os.close(fd)
        mount("", str(folder), flags=BIND | REMOUNT | RDONLY | NOSUID | NODEV)


def _show(source: Path, target: Path) -> None:
    if source.is_symlink() and source.parent == Path("/"):
        target.symlink_to(os.readlink(source))
        return
    if not source.exists():
        return
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), str(target), flags=BIND | REC)
    kept = os.statvfs(target).f_flag & NOEXEC  # a user namespace may not take away what the host has set
    mount("", str(target), flags=BIND | REMOUNT | RDONLY | NOSUID | NODEV | kept)


def _write_etc(etc: Path) -> None:
    """Only what resolvers and name look-ups need: nothing of the host's users or hosts is told."""
    (etc / "passwd").write_text(f"root:x:0:0:root:/root:/sbin/nologin\n{USER_NAME}:x:993:990::/tmp:/sbin/nologin\n")
    (etc / "group").write_text(f"root:x:0:\n{USER_NAME}:x:990:\n")
    (etc / "hosts").write_text("127.0.0.1 localhost sandbox sandbox.localdomain\n::1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (etc / "resolv.conf").write_text("")
    (etc / "hostname").write_text("localhost\n")


def dress_cell(root: str, code: str, layers: str, disk: str) -> None:
    """Inside a cell's fresh mount namespace: code, layers, /tmp and /proc over the view, then the view becomes the root.

    `disk` is a loop device with the cell's ext4, or empty for a tmpfs (user level, where no memory cgroup would count it).
    """
    if code:
        bind(code, f"{root}/var/task")
    if layers:
        bind(layers, f"{root}/opt")
    mount("proc", f"{root}/proc", "proc", NOSUID | NODEV | NOEXEC)
    for name in ("sys", "sysrq-trigger", "irq", "bus"):
        if os.path.exists(f"{root}/proc/{name}"):
            bind(f"{root}/proc/{name}", f"{root}/proc/{name}", flags=NOSUID | NODEV | NOEXEC)
    if disk.startswith("/dev/"):
        mount(disk, f"{root}/tmp", "ext4", NOSUID | NODEV, "noinit_itable,nobarrier,noauto_da_alloc,errors=continue")
        os.rmdir(f"{root}/tmp/lost+found")  # a fresh /tmp is empty, as on AWS
    else:
        mount("tmp", f"{root}/tmp", "tmpfs", NOSUID | NODEV, disk)
    os.chmod(f"{root}/tmp", 0o1777)
    pivot(root)
