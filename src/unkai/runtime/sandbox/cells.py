"""A cell: the namespaces, cgroup and disk of one environment, held together by its init.

The init is process 1 of the cell's pid namespace: it adopts orphans, and its death ends everything inside. It dies with the
spawner (parent death signal and a lifeline pipe). It is in no cgroup: it runs nothing, must never be frozen, and each move
between groups waits for a grace period of the kernel (6 ms [m]). Making a cell takes about 4 ms, so none are made ahead.
"""

from __future__ import annotations

import array
import fcntl
import os
import signal
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.runtime.boot import enter
from unkai.runtime.sandbox import mounts

if TYPE_CHECKING:
    from collections.abc import Callable

RUNTIME_API_PORT = 9001
UNKAI_PORT = 4566
EGRESS_PORT = 9002
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Forked:
    """A fork server's child; without pid until the server has told it."""

    server: int
    pid: int = -1
    pidfd: int = -1

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)


@dataclass(slots=True)
class Cell:
    number: int
    uid: int
    init_pid: int
    init_pidfd: int
    lifeline: int
    processes: dict[int, int] = field(default_factory=dict)
    """Executed processes: pid by the keeper's number."""
    forked: dict[int, Forked] = field(default_factory=dict)
    """Children of fork servers, by the keeper's number."""
    dying: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cell's init needs to know before it is forked."""

    view: str
    code: str
    layers: str
    disk: str
    disk_fd: int
    uid: int
    filter: bytes


def fork_in_pid_namespace(own_pidfd: int, target_pidfd: int | None) -> int:
    """fork() whose child lives in a new pid namespace (None) or in that of `target_pidfd`; the caller stays where it is.

    setns and unshare choose the namespace of *children*, so one fork suffices where unshare(1) needs two.
    """
    if target_pidfd is None:
        enter.unshare(enter.NEWPID)
    else:
        enter.setns(target_pidfd, enter.NEWPID)
    try:
        pid = os.fork()
    except BaseException:
        enter.setns(own_pidfd, enter.NEWPID)
        raise
    if pid:
        enter.setns(own_pidfd, enter.NEWPID)
    return pid


def begin(number: int, plan: Plan, own_pidfd: int) -> tuple[Cell, socket.socket]:
    """Fork the init. It tells on the channel when it stands (`finish`), so that several cells can be born at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lifeline_read, lifeline_write = os.pipe2(os.O_CLOEXEC)
    pid = fork_in_pid_namespace(own_pidfd, None)
    if pid == 0:
        _child(lambda: _init(plan, theirs, lifeline_read), theirs)
    theirs.close()
    os.close(lifeline_read)
    return Cell(number, plan.uid, pid, os.pidfd_open(pid), lifeline_write), ours


def finish(channel: socket.socket) -> list[int]:
    """The three listening sockets of a cell that stands. Raises OSError with what went wrong instead."""
    data, fds = receive(channel, 4)
    if data != b"ready":
        raise OSError(data.decode(errors="replace") or "the cell's init ended at once")
    return fds


def _child(body: Callable[[], None], channel: socket.socket) -> None:
    """Run `body` in a forked child that never returns into the spawner's code."""
    try:
        body()
    except BaseException as error:
        channel.send(f"{type(error).__name__}: {error}".encode()[:256])
        os._exit(125)
    os._exit(0)


def _init(plan: Plan, channel: socket.socket, lifeline: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps adopted orphans by itself
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    enter.unshare(enter.NEWNS | enter.NEWNET | enter.NEWIPC | enter.NEWUTS)
    listeners = [_listen(port) for port in (RUNTIME_API_PORT, UNKAI_PORT, EGRESS_PORT)]
    socket.sethostname("localhost")
    mounts.dress_cell(plan.view, plan.code, plan.layers, plan.disk)
    send(channel, b"ready", [listener.fileno() for listener in listeners])
    enter.close_all_but({lifeline})
    enter.give_up_rights(plan.uid, plan.filter)
    if plan.uid:
        # In a user namespace of our own nobody could enter a hidden process's namespaces; there, it has nothing worth reading.
        enter.hide_from_peers()
    enter.die_with_parent()
    os.read(lifeline, 1)


def _listen(port: int) -> socket.socket:
    """A socket inside the fresh network namespace; only this cell's processes can connect to it, whoever accepts."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    fcntl.ioctl(listener, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


def send(channel: socket.socket, data: bytes, fds: list[int]) -> None:
    channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive(channel: socket.socket, fds_max: int) -> tuple[bytes, list[int]]:
    """One message and its descriptors, close-on-exec. Empty data: the other side is gone."""
    fds = array.array("i")
    try:
        data, ancillary, _, _ = channel.recvmsg(
            65536, socket.CMSG_SPACE(fds_max * fds.itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:
        return b"", []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def run_executed(cell: Cell, cgroup_fds: list[int], config_fd: int, stdout_fd: int, program_filter: bytes) -> None:
    """In a forked child inside the cell's pid namespace: become the program that the settings name."""
    config_fd = enter.join_cell(cell.init_pidfd, cgroup_fds, stdout_fd, config_fd)
    try:
        config = enter.read_config(config_fd)
        enter.give_up_rights(cell.uid, program_filter)
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP) and number not in range(32, 34):
                signal.signal(number, signal.SIG_DFL)
        os.chdir(config["cwd"])
        os.execve(config["argv"][0], config["argv"], config["env"])
    except OSError as error:
        os.write(2, f"fork/exec: {error}\n".encode())
    os._exit(127)
