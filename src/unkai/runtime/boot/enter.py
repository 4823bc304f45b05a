"""How a freshly forked process enters a cell and gives up its rights, in the one order that is safe.

Used by the spawner (Python 3.11 and later) and by the fork servers of every Python version that functions may use, so it
imports the standard library only and speaks to the kernel through ctypes. man: setns(2), prctl(2), seccomp(2), capabilities(7)
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import struct
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000

PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_SECCOMP_MODE_FILTER = 2
DESCRIPTORS_MAX = 65536
"""No process of the runtime opens more, so closing up to here closes all."""
_CAPSET_SYSCALL = {"x86_64": 126, "aarch64": 91}
_CAP_HEADER = struct.pack("<II", 0x20080522, 0)
_CAP_LAST_MAX = 63


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def setns(fd: int, kinds: int) -> None:
    _check(_libc.setns(fd, kinds), "setns")


def unshare(kinds: int) -> None:
    _check(_libc.unshare(kinds), "unshare")


def prctl(option: int, *args: int) -> None:
    padded = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)][:4]
    _check(_libc.prctl(option, *padded), "prctl")


def die_with_parent() -> None:
    """Must come after the last change of uid, which clears it."""
    prctl(PR_SET_PDEATHSIG, 9)


def hide_from_peers() -> None:
    """No ptrace and no /proc/<pid>/mem for processes of the same uid."""
    prctl(_PR_SET_DUMPABLE, 0)


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor but `keep`: what the parent held for other functions must not be inherited."""
    low = 0
    for fd in sorted(keep):
        if low < fd:  # os.closerange(0, 0) would close everything (CPython passes -1 on as unsigned)
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, DESCRIPTORS_MAX)


def drop_bounding_set() -> None:
    """No capability can be had again by executing a file. Needs CAP_SETPCAP, so it comes before the change of uid."""
    for capability in range(_CAP_LAST_MAX):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # beyond the kernel's last capability


def drop_capabilities() -> None:
    """Empty the ambient, inheritable, permitted and effective sets."""
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    number = _CAPSET_SYSCALL.get(os.uname().machine)
    assert number is not None, "the number of capset is known for x86_64 and aarch64 only"
    _check(_libc.syscall(number, _CAP_HEADER, bytes(24)), "capset")


def install_filter(program: bytes) -> None:
    """`program` is an array of struct sock_filter. From here on the process can only lose rights."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(fprog, len(fprog))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(holder))


def set_limits() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 1,024 descriptors and processes."""
    for kind, value in ((resource.RLIMIT_NOFILE, 1024), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_MEMLOCK, 65536)):
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or hard > value:
            resource.setrlimit(kind, (value, value))


def give_up_rights(uid: int, program: bytes) -> None:
    """`uid` 0: the caller lives in a user namespace of its own, where 0 is an ordinary user outside."""
    set_limits()
    os.umask(0o022)
    drop_bounding_set()
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    drop_capabilities()
    install_filter(program)


def join_cell(init_pidfd: int, cgroup_fds: list[int], stdout_fd: int, config_fd: int) -> int:
    """Put this process into the cgroups and namespaces of a cell and wire its output. Gives the config's descriptor."""
    for fd in cgroup_fds:
        os.write(fd, b"0")
    setns(init_pidfd, NEWNS | NEWNET | NEWIPC | NEWUTS)
    assert min(config_fd, stdout_fd) > 2
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(stdout_fd, 1)
    os.dup2(stdout_fd, 2)
    close_all_but({0, 1, 2, config_fd})
    return config_fd


def read_config(fd: int) -> dict[str, Any]:
    """The start's settings (argv, env, cwd), written by the keeper and read only by the process that is meant by them:
    a parent that had read them would hand one function's secrets to the next as freed memory."""
    parts = []
    offset = 0
    while part := os.pread(fd, 1 << 20, offset):
        parts.append(part)
        offset += len(part)
    os.close(fd)
    config: dict[str, Any] = json.loads(b"".join(parts))
    return config
