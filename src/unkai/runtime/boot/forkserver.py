"""A fork server for Python functions: imports once, then forks a child per environment.

`sdk` preloads boto3 with its default session and the models of common clients, so a function's first client costs a
tenth; `bare` preloads the standard library alone, for packages that bring a module of their own by one of those names. The server
keeps the spawner's rights, so it runs no code of a function, reads none of its settings (the child does), and obeys the
spawner alone.
"""

from __future__ import annotations

import array
import gc
import os
import select
import socket
import sys

sys.path.insert(0, "/var/runtime")

import enter  # type: ignore[import-not-found]

COMMON_CLIENTS = ("dynamodb", "s3", "sqs", "sns")
_CANNOT_START = 126
_FDS_MAX = 3 + 8


def preload(kind: str) -> set[str]:
    """Import ahead. Gives the top-level names that a function's own package must not hold."""
    before = {name.partition(".")[0] for name in sys.modules}
    import ctypes.util
    import random
    import site

    import python_bootstrap  # type: ignore[import-not-found]

    del ctypes.util, random, site, python_bootstrap
    "localhost".encode("idna")  # every connection asks for this codec, and its tables take 3 ms to load
    ours = {name.partition(".")[0] for name in sys.modules} - before
    if kind == "sdk":
        import boto3  # type: ignore[import-untyped]
        import boto3.dynamodb.conditions  # type: ignore[import-untyped]
        import botocore.config  # type: ignore[import-untyped]  # noqa: F401

        boto3.setup_default_session()
        for service in COMMON_CLIENTS:
            # Explicit credentials and region: nothing that is found now may be remembered by the session.
            boto3.client(service, region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
        boto3.resource("dynamodb", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
        ours = {name.partition(".")[0] for name in sys.modules} - before
    return {name for name in ours if not name.startswith("_")}


def serve(channel: socket.socket) -> None:
    """`start` requests from the spawner in, `started` and `ended` out. Returns only in a forked child's stead: never."""
    own_pidfd = os.pidfd_open(os.getpid())
    children: dict[int, tuple[int, int, int]] = {}
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == channel.fileno():
                data, fds = _receive(channel)
                if not data:
                    os._exit(0)
                cell, process = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4))
                try:
                    pid, pidfd = _fork(own_pidfd, data, fds)
                except (
                    OSError
                ):  # one start that fails must not end the server, and with it every function that came from it
                    _say(channel, 1, cell, process, _CANNOT_START, [])
                    continue
                children[pidfd] = (cell, process, pid)
                poll.register(pidfd, select.POLLIN)
                _say(channel, 0, cell, process, pid, [pidfd])
            elif fd in children:
                cell, process, pid = children.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                _, status = os.waitpid(pid, 0)
                _say(channel, 1, cell, process, os.waitstatus_to_exitcode(status), [])


def _say(channel: socket.socket, kind: int, cell: int, process: int, value: int, fds: list[int]) -> None:
    data = b"".join(number.to_bytes(4, "little", signed=True) for number in (kind, cell, process, value))
    channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(64, socket.CMSG_SPACE(_FDS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content)
    return data, list(fds)


def _fork(own_pidfd: int, data: bytes, fds: list[int]) -> tuple[int, int]:
    """A child in the cell: its pid and pidfd. Raises OSError where the cell is gone already, or no process can be had."""
    uid, groups = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
    init_pidfd, config_fd, stdout_fd, *cgroup_fds = fds
    assert len(cgroup_fds) == groups
    try:
        enter.setns(init_pidfd, enter.NEWPID)
        pid = os.fork()
        if pid == 0:
            _child(uid, init_pidfd, config_fd, stdout_fd, cgroup_fds)
        return pid, os.pidfd_open(pid)
    finally:
        enter.setns(own_pidfd, enter.NEWPID)
        for fd in fds:
            os.close(fd)


def _child(uid: int, init_pidfd: int, config_fd: int, stdout_fd: int, cgroup_fds: list[int]) -> None:
    status = 1
    try:
        config_fd = enter.join_cell(init_pidfd, cgroup_fds, stdout_fd, config_fd)
        config = enter.read_config(config_fd)
        enter.give_up_rights(uid, FILTER)
        os.chdir(config["cwd"])
        import python_bootstrap

        status = python_bootstrap.start_forked(config["env"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _tell_ready(channel: socket.socket, names: set[str]) -> None:
    file = os.memfd_create("names")
    os.write(file, "\n".join(sorted(names)).encode())
    channel.sendmsg([b"ready"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
    os.close(file)


FILTER = b""

if __name__ == "__main__":
    spawner = socket.socket(fileno=int(sys.argv[1]))
    spawner.set_inheritable(False)
    FILTER = spawner.recv(65536)
    preloaded = preload(sys.argv[2])
    gc.collect()
    gc.freeze()
    gc.disable()
    _tell_ready(spawner, preloaded)
    serve(spawner)
