"""Starts the node's processes, watches them, and starts again what dies. It serves nothing itself.

The parent imports everything once and freezes it, so that its children share those pages. Each child tells that it is ready
by a byte through a pipe; the end of that pipe also tells a child that its parent is gone.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.app.functions import become_runtime
from unkai.app.processes import run_loop, single_process, store_process, worker_process
from unkai.kernel.clock import monotonic_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.app.processes import Options

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
RESTARTS_QUICK = 5
RESTART_WINDOW_S = 10.0
RESTART_PAUSE_S = 1.0


class StartFailed(Exception):
    pass


@dataclass(slots=True)
class Child:
    """One process: how to run it, and how often it has been started lately."""

    name: str
    main: Callable[[Callable[[], None]], None]
    """Runs until the process is told to stop; calls its argument once when ready."""
    pid: int = 0
    starts_s: list[float] = field(default_factory=list)


class Supervisor:
    """The processes of one node. `run` returns when the node was told to stop and all have ended."""

    def __init__(self, options: Options, workers: int) -> None:
        assert workers >= 1, "a node without workers runs in one process"
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_stopping = False

        def store(on_ready: Callable[[], None]) -> None:
            options.sock.close()
            run_loop(store_process(options, on_ready))

        def worker(on_ready: Callable[[], None]) -> None:
            run_loop(worker_process(options, on_ready))

        def runtime(on_ready: Callable[[], None]) -> None:
            on_ready()  # an invocation that comes before it is there waits for it
            become_runtime(options.runtime)

        self._children = [
            Child("runtime", runtime),
            Child("store", store),
            *(Child(f"worker-{at}", worker) for at in range(workers)),
        ]

    def run(self, on_ready: Callable[[], None]) -> None:
        gc.collect()
        gc.freeze()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write)
        try:
            for child in self._children:
                self._start(child)
            on_ready()
            while not self._is_stopping:
                select.select([self._wake_read], [], [])
                os.read(self._wake_read, 4096)
                self._restart_dead()
        finally:
            self._stop_all()

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._is_stopping = True

    def _start(self, child: Child) -> None:
        """Fork `child` and wait until it is ready. Raises StartFailed."""
        child.starts_s = [at for at in child.starts_s if monotonic_s() - at < RESTART_WINDOW_S] + [monotonic_s()]
        ready_read, ready_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready_read)
            self._be(child, ready_write)
        os.close(ready_write)
        child.pid = pid
        try:
            readable, _, _ = select.select([ready_read], [], [], READY_TIMEOUT_S)
            if not readable or os.read(ready_read, 1) != b"1":
                raise StartFailed(f"the {child.name} process did not start; see the log above")
        finally:
            os.close(ready_read)

    def _be(self, child: Child, ready_fd: int) -> None:
        """The child's whole life. Never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            _name_and_tie_to_parent(child.name)
            child.main(lambda: _tell_ready(ready_fd))
            status = 0
        except BaseException:
            log.exception("process failed", extra={"child": child.name})
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _restart_dead(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((child for child in self._children if child.pid == pid), None)
            if child is None or self._is_stopping:
                continue
            log.error("process died; starting it again", extra={"child": child.name, "status": status})
            self._restart(child)

    def _restart(self, child: Child) -> None:
        while not self._is_stopping:
            if len(child.starts_s) > RESTARTS_QUICK:
                select.select([], [], [], RESTART_PAUSE_S)  # something is wrong; do not spin
            try:
                self._start(child)
                return
            except StartFailed:
                log.exception("restart failed", extra={"child": child.name})

    def _stop_all(self) -> None:
        """Workers first, so that what they have under way is still committed; then the store process."""
        for child in reversed(self._children):
            _end(child.pid)
            child.pid = 0


def _end(pid: int) -> None:
    if pid == 0:
        return
    try:
        os.kill(pid, signal.SIGTERM)
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], STOP_TIMEOUT_S)[0]:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass
    finally:
        os.close(fd)


def _tell_ready(fd: int) -> None:
    os.write(fd, b"1")
    os.close(fd)


def _name_and_tie_to_parent(name: str) -> None:
    """Linux: show `unkai-store` and so on in ps, and have the kernel end this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig, pr_set_name = 1, 15
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(pr_set_name, f"unkai-{name}".encode()[:15], 0, 0, 0)
        libc.prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def run_node(options: Options, workers: int, on_ready: Callable[[], None]) -> None:
    """Run a node until it is told to stop. With no workers, everything runs in this process."""
    if workers == 0:
        run_loop(single_process(options, on_ready))
    else:
        Supervisor(options, workers).run(on_ready)
