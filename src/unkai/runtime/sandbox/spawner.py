"""The spawner: the only process with privileges. A single-threaded loop that obeys fixed-size messages from the keeper.

It never reads what a function sends, nor the settings that its processes get. It and the keeper live and die together: if
the keeper's end of the socket closes, the spawner ends; when the spawner ends, each cell's init and each fork server gets its
parent death signal, and the keeper sees its socket close. What is left then (frozen processes, groups, images) a guard sweeps.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.runtime.boot import enter
from unkai.runtime.sandbox import cells, cgroups, disks, messages, mounts, seccomp
from unkai.runtime.sandbox.messages import EXEC, NO_CODE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unkai.runtime.sandbox.cells import Cell
    from unkai.runtime.settings import Settings

_DYING_POLL_MS = 3
_UID_RANGE = 50_000


@dataclass(slots=True)
class Server:
    """A fork server: its process and our end of its socket."""

    number: int
    pid: int
    channel: socket.socket
    ready: bool = False


@dataclass(slots=True)
class Spawner:
    settings: Settings
    keeper: socket.socket
    cgroups: cgroups.Cgroups | None
    disks: disks.Disks | None
    pythons: dict[int, Path]
    filter: bytes = field(default_factory=seccomp.build_filter)
    own_pidfd: int = field(default_factory=lambda: os.pidfd_open(os.getpid()))
    own_network: int = field(default_factory=lambda: os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
    cells: dict[int, Cell] = field(default_factory=dict)
    servers: dict[int, Server] = field(default_factory=dict)
    poll: select.epoll = field(default_factory=select.epoll)
    on_ready: dict[int, Callable[[], None]] = field(default_factory=dict)
    announce: Callable[[], None] = field(default=lambda: None)

    # --- the loop

    def run(self) -> None:
        """Until the keeper is gone. Everything here dies with this process, and the guard clears up (see launch)."""
        if self.cgroups and self.cgroups.version == 1:
            self.announce = self.cgroups.announce()
        self._watch(self.keeper.fileno(), lambda: None)
        alive = True
        while alive:
            timeout = _DYING_POLL_MS / 1000 if any(cell.dying for cell in self.cells.values()) else None
            for fd, _ in self.poll.poll(timeout):
                if fd == self.keeper.fileno():
                    alive = self._obey()
                elif fd in self.on_ready:
                    self.on_ready[fd]()
            for cell in [cell for cell in self.cells.values() if cell.dying]:
                self._bury(cell)

    def _watch(self, fd: int, act: Callable[[], None]) -> None:
        self.on_ready[fd] = act
        self.poll.register(fd, select.EPOLLIN)

    def _forget(self, fd: int) -> None:
        del self.on_ready[fd]
        self.poll.unregister(fd)
        os.close(fd)

    def _say(self, message: messages.Message, fds: list[int] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            cells.send(self.keeper, messages.pack(message), fds or [])

    def _obey(self) -> bool:
        data, fds = cells.receive(self.keeper, messages.FDS_MAX)
        if not data:
            return False
        try:
            message = messages.unpack(data)
            self._act(message, fds)
        except Exception as error:  # one request that cannot be met must not end every function
            what, number = data[0], int.from_bytes(data[1:5], "little")
            self._say(messages.Failed(what, number, f"{type(error).__name__}: {error}".encode()[:256]))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _act(self, message: messages.Message, fds: list[int]) -> None:
        match message:
            case messages.Create():
                self._create(message)
            case messages.Start():
                self._start(message, fds)
            case messages.Freeze(cell):
                if self.cgroups:
                    self.cgroups.freeze(self.cells[cell].number, True)
            case messages.Thaw(cell):
                if self.cgroups:
                    self.cgroups.freeze(self.cells[cell].number, False)
                self._say(messages.Thawed(cell))
            case messages.Signal():
                self._signal(message)
            case messages.Measure(cell):
                self._say(messages.Measured(cell, *self._measure(self.cells[cell])))
            case messages.Dial(cell):
                self._dial(self.cells[cell])
            case messages.Destroy(cell):
                self._destroy(self.cells[cell])
            case messages.Serve():
                self._serve(message)
            case _:
                raise ValueError("not a request")

    # --- cells

    def _create(self, request: messages.Create) -> None:
        uid = self.settings.uid_base + request.cell % _UID_RANGE if self.settings.uid_base else 0
        if request.cell in self.cells or (uid and any(cell.uid == uid for cell in self.cells.values())):
            raise ValueError("the cell's number or uid is in use")
        code, layers = self._folder(request.code), self._folder(request.layers)
        disk, disk_fd = f"size={request.storage_mb}m,mode=1777", -1
        try:
            if self.cgroups:
                self.announce()
                self.cgroups.create(request.cell, request.memory_mb)
            if self.disks:
                disk, disk_fd = self.disks.make(request.cell, request.storage_mb)
            plan = cells.Plan(str(self.settings.view), code, layers, disk, disk_fd, uid, self.filter)
            cell, channel = cells.begin(request.cell, plan, self.own_pidfd)
        except BaseException:
            self._clean(request.cell)
            raise
        self.cells[request.cell] = cell
        watched = os.dup(cell.init_pidfd)
        self._watch(watched, lambda: self._init_ended(cell, watched))
        self._watch(channel.fileno(), lambda: self._created(cell, channel, disk_fd))

    def _created(self, cell: Cell, channel: socket.socket, disk_fd: int) -> None:
        try:
            listeners = cells.finish(channel)
        except OSError as error:
            self._destroy(cell)
            self._say(
                messages.Failed(messages.code_of(messages.Create), cell.number, f"OSError: {error}".encode()[:256])
            )
        else:
            if self.cgroups:
                listeners.append(self.cgroups.peak_fd(cell.number))
            self._say(messages.Created(cell.number), listeners)
            for fd in listeners:
                os.close(fd)
        self._forget(channel.detach())
        if disk_fd >= 0:
            os.close(disk_fd)  # the mount keeps the loop device from here on

    def _folder(self, digest: bytes) -> str:
        """Code is named by its digest, never by a path: the keeper cannot have anything else mounted."""
        if digest == NO_CODE:
            return ""
        folder = self.settings.code_dir / digest.hex()
        if folder.is_symlink() or not folder.is_dir():
            raise ValueError("no such code")
        return str(folder)

    def _init_ended(self, cell: Cell, watched: int) -> None:
        """Everything inside is being killed by the kernel; processes report for themselves."""
        self._forget(watched)
        cell.dying = True

    def _destroy(self, cell: Cell) -> None:
        cell.dying = True
        if self.cgroups:
            self.cgroups.kill(cell.number)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(cell.init_pidfd, signal.SIGKILL)

    def _bury(self, cell: Cell) -> None:
        """Once all its processes are gone: remove what the cell used, and say so."""
        if self.cgroups:
            self.cgroups.kill(cell.number)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(cell.init_pidfd, signal.SIGKILL)
        if cell.processes or cell.forked:
            return
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(cell.init_pid, os.WNOHANG)[0] == 0:
                return
        if self._clean(cell.number):
            del self.cells[cell.number]
            os.close(cell.init_pidfd)
            os.close(cell.lifeline)
            self._say(messages.Destroyed(cell.number))

    def _clean(self, number: int) -> bool:
        if self.cgroups and not self.cgroups.remove(number):
            return False
        if self.disks:
            self.disks.remove(number)
        return True

    def _measure(self, cell: Cell) -> tuple[int, int]:
        if self.cgroups:
            return self.cgroups.measure(cell.number)
        pids = [*cell.processes.values(), *(forked.pid for forked in cell.forked.values())]
        used = sum(_resident_bytes(pid) for pid in pids)
        return used, used

    def _dial(self, cell: Cell) -> None:
        """A socket belongs to the network namespace that it was made in, wherever it is used afterwards."""
        enter.setns(cell.init_pidfd, enter.NEWNET)
        try:
            dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        finally:
            enter.setns(self.own_network, enter.NEWNET)
        with dialled:
            self._say(messages.Dialled(cell.number), [dialled.fileno()])

    # --- processes

    def _start(self, request: messages.Start, fds: list[int]) -> None:
        cell = self.cells[request.cell]
        if len(fds) != 2 or cell.dying or request.process in cell.processes or request.process in cell.forked:
            raise ValueError("a start needs two descriptors, a living cell and a new number")
        config_fd, stdout_fd = fds
        cgroup_fds = self.cgroups.join_fds(cell.number) if self.cgroups else []
        try:
            if request.server != EXEC:
                channel = self.servers[request.server].channel
                head = (request.cell, request.process, cell.uid, len(cgroup_fds))
                data = b"".join(number.to_bytes(4, "little") for number in head)
                cells.send(channel, data, [cell.init_pidfd, config_fd, stdout_fd, *cgroup_fds])
                cell.forked[request.process] = cells.Forked(request.server)
                return
            pid = cells.fork_in_pid_namespace(self.own_pidfd, cell.init_pidfd)
            if pid == 0:
                _never_return(lambda: cells.run_executed(cell, cgroup_fds, config_fd, stdout_fd, self.filter))
        finally:
            for fd in cgroup_fds:
                os.close(fd)
        cell.processes[request.process] = pid
        pidfd = os.pidfd_open(pid)
        self._watch(pidfd, lambda: self._executed_ended(cell, request.process, pidfd))
        self._say(messages.Started(request.cell, request.process))

    def _executed_ended(self, cell: Cell, process: int, pidfd: int) -> None:
        pid = cell.processes.pop(process)
        _, status = os.waitpid(pid, 0)
        self._forget(pidfd)
        self._tell_exit(cell, process, os.waitstatus_to_exitcode(status))

    def _tell_exit(self, cell: Cell, process: int, status: int) -> None:
        oom = int(bool(self.cgroups and status == -signal.SIGKILL and self.cgroups.oom_kills(cell.number)))
        self._say(messages.Exited(cell.number, process, status, oom))

    def _signal(self, request: messages.Signal) -> None:
        cell = self.cells[request.cell]
        number = signal.SIGKILL if request.hard else signal.SIGTERM
        forked = cell.forked.get(request.process)
        with contextlib.suppress(ProcessLookupError):
            if request.process in cell.processes:  # our own child: its pid is not reused before we reap it
                os.kill(cell.processes[request.process], number)
            elif forked and forked.pidfd >= 0:
                signal.pidfd_send_signal(forked.pidfd, number)

    # --- fork servers

    def _serve(self, request: messages.Serve) -> None:
        python = self.pythons.get(request.minor)
        if python is None or request.server in self.servers or request.server == EXEC:
            raise ValueError(f"no interpreter for Python 3.{request.minor}, or the server's number is in use")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _never_return(lambda: _become_server(self.settings.view, python, theirs, bool(request.sdk)))
        theirs.close()
        server = Server(request.server, pid, ours)
        self.servers[request.server] = server
        ours.send(self.filter)
        self._watch(ours.fileno(), lambda: self._hear(server))

    def _hear(self, server: Server) -> None:
        """`ready` with the preloaded names once; then `started` (0) and `ended` (1) of its children."""
        data, fds = cells.receive(server.channel, 1)
        if not data:
            self._server_ended(server)
        elif not server.ready:
            server.ready = True
            self._say(messages.Serving(server.number), fds)
        else:
            kind, number, process, value = (
                int.from_bytes(data[at : at + 4], "little", signed=True) for at in (0, 4, 8, 12)
            )
            cell = self.cells.get(number)
            if cell is not None and kind == 0:
                cell.forked[process] = cells.Forked(server.number, value, fds.pop())
                self._say(messages.Started(number, process))
            elif cell is not None and process in cell.forked:
                cell.forked.pop(process).close()
                self._tell_exit(cell, process, value)
        for fd in fds:
            os.close(fd)

    def _server_ended(self, server: Server) -> None:
        """Its children live on without a parent of ours, so their cells go: nobody would hear of their ends."""
        del self.servers[server.number]
        with contextlib.suppress(ChildProcessError):
            os.waitpid(server.pid, 0)
        self._forget(server.channel.detach())
        for cell in list(self.cells.values()):
            for process in [process for process, forked in cell.forked.items() if forked.server == server.number]:
                cell.forked.pop(process).close()
                self._destroy(cell)
                self._say(messages.Exited(cell.number, process, -signal.SIGKILL, 0))
        self._say(messages.ServerExited(server.number))


def _never_return(body: Callable[[], None]) -> None:
    """A forked child must not come back into the loop; what goes wrong is told on its standard error."""
    try:
        body()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(126)


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _become_server(view: Path, python: Path, channel: socket.socket, sdk: bool) -> None:
    """In a forked child: the view as root, then a fresh interpreter. It keeps the rights that its children give up."""
    fd = os.dup2(channel.fileno(), 3, inheritable=True)
    enter.close_all_but({0, 1, 2, fd})
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    enter.unshare(enter.NEWNS)
    mounts.pivot(str(view))
    enter.die_with_parent()
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC"}
    options = ["-I", "-S", "-X", "utf8", "/var/runtime/forkserver.py", str(fd), "sdk" if sdk else "bare"]
    os.execve(python, [str(python), *options], environment)
