"""How well functions can be shut in on this machine, found by trying, once.

full   namespaces, own uids, cgroups, disks with a size: an attacker's function harms itself alone
user   a user namespace instead of uids, or no cgroups: memory is watched by polling, CPU and pids are not limited
none   nothing of that: functions run only if unsandboxed was asked for
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Level:
    """`reasons` say why it is not a better one, each with what would help."""

    name: str
    reasons: tuple[str, ...] = ()


def detect() -> Level:
    """Try what a cell needs, in children that end at once. Leaves nothing behind."""
    if sys.platform != "linux":
        return Level("none", (f"{sys.platform} has no namespaces; functions would run as plain processes",))
    if os.uname().machine not in ("x86_64", "aarch64"):
        return Level("none", (f"no system-call filter for {os.uname().machine}",))
    from unkai.runtime.sandbox import disks

    reasons: list[str] = []
    if os.geteuid() != 0:
        reasons.append("not started as root: no uid per function, no disk limits (start `unkai up` with sudo for them)")
    else:
        reasons += filter(
            None, (_attempt("namespaces", _try_namespaces), _attempt("cgroups", _try_cgroups), disks.available())
        )
    if not reasons:
        return Level("full")
    failed = _attempt("namespaces", _try_namespaces if os.geteuid() == 0 else _try_user_namespace)
    if failed:
        return Level("none", (*reasons, failed))
    return Level("user", tuple(reasons))


def _attempt(what: str, body: Callable[[], None]) -> str:
    """Run `body` in a child; an empty text, or why it failed."""
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException as error:
            os.write(write, f"{what}: {error}".encode()[:512])
        os._exit(0)
    os.close(write)
    text = os.read(read, 512).decode(errors="replace")
    os.close(read)
    os.waitpid(pid, 0)
    return text


def _try_namespaces() -> None:
    from unkai.runtime.boot import enter
    from unkai.runtime.sandbox import mounts

    enter.unshare(enter.NEWNS | enter.NEWPID | enter.NEWNET | enter.NEWIPC | enter.NEWUTS)
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(OSError):
            mounts.mount("none", "/", flags=mounts.REC | mounts.PRIVATE)
            mounts.mount("proc", "/proc", "proc")
            status = 0
        os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise OSError("a private /proc cannot be mounted here (a container without the right to?)")


def _try_user_namespace() -> None:
    enter_user_namespace()
    _try_namespaces()


def _try_cgroups() -> None:
    from unkai.runtime.sandbox import cgroups

    groups = cgroups.open_cgroups(f"unkai-try-{os.getpid()}")
    try:
        groups.create(0, 128)
        groups.remove(0)
    finally:
        groups.close()


def enter_user_namespace() -> None:
    """Become root of a user namespace that maps this user alone. user_namespaces(7)"""
    from unkai.runtime.boot import enter

    uid, gid = os.geteuid(), os.getegid()
    enter.unshare(enter.NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
