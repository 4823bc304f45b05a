"""The level without a sandbox, for machines that have none and users who asked for it: plain processes, nothing held back.

It obeys the spawner's messages as far as they mean something here: a cell is a folder with three sockets on free ports of
loopback, a process is executed. There is no freezing, no limit but the poll of memory, and no fork server.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unkai.runtime.sandbox import cells, messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.runtime.settings import Settings

_REAP_POLL_S = 0.02
_BOOT = Path(__file__).parent.parent / "boot"


def relocate(config: Mapping[str, Any], task: Path, opt: Path | None, sdk: str) -> dict[str, Any]:
    """A process's settings with the places of the sandbox replaced by real ones: nothing is mounted at this level."""
    places = (
        ("/var/task", str(task)),
        ("/opt", str(opt or task)),
        ("/var/runtime/", f"{_BOOT}/"),
        ("/var/runtime", sdk),
    )

    def real(text: str) -> str:
        return ":".join(
            next((there + part[len(here) :] for here, there in places if part.startswith(here)), part)
            for part in text.split(":")
        )

    environment = {
        name: real(value) if "/" in value and "://" not in value else value for name, value in config["env"].items()
    }
    return {"argv": [real(part) for part in config["argv"]], "env": environment, "cwd": real(config["cwd"])}


@dataclass(slots=True)
class _PlainCell:
    tmp: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class PlainSpawner:
    settings: Settings
    keeper: socket.socket
    cells: dict[int, _PlainCell] = field(default_factory=dict)

    def run(self) -> None:
        while True:
            busy = any(cell.processes for cell in self.cells.values())
            readable, _, _ = select.select([self.keeper], [], [], _REAP_POLL_S if busy else None)
            if readable and not self._obey():
                break
            self._reap()
        for number in list(self.cells):
            self._destroy(number)

    def _obey(self) -> bool:
        data, fds = cells.receive(self.keeper, messages.FDS_MAX)
        if not data:
            return False
        try:
            self._act(messages.unpack(data), fds)
        except (OSError, ValueError, KeyError) as error:
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
            case messages.Start(cell, process, messages.EXEC):
                self._start(self.cells[cell], process, fds)
                self._say(messages.Started(cell, process))
            case messages.Freeze() | messages.Thaw():
                pass
            case messages.Signal(cell, process, hard):
                if process in self.cells[cell].processes:
                    self.cells[cell].processes[process].send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            case messages.Measure(cell):
                self._say(messages.Measured(cell, 0, 0))
            case messages.Dial(cell):
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as dialled:
                    dialled.setblocking(False)
                    self._say(messages.Dialled(cell), [dialled.fileno()])
            case messages.Destroy(cell):
                self._destroy(cell)
                self._say(messages.Destroyed(cell))
            case _:
                raise ValueError("not possible without a sandbox")

    def _say(self, message: messages.Message, fds: list[int] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            cells.send(self.keeper, messages.pack(message), fds or [])

    def _create(self, request: messages.Create) -> None:
        tmp = self.settings.state_dir / "tmp" / str(request.cell)
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir(parents=True)
        self.cells[request.cell] = _PlainCell(tmp)
        listeners = []
        for _ in range(3):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            listeners.append(listener)
        self._say(messages.Created(request.cell), [listener.fileno() for listener in listeners])
        for listener in listeners:
            listener.close()

    def _start(self, cell: _PlainCell, process: int, fds: list[int]) -> None:
        settings_fd, output_fd = fds
        config = json.loads(os.pread(settings_fd, 1 << 22, 0))
        environment = {**config["env"], "TMPDIR": str(cell.tmp)}
        started = subprocess.Popen(
            config["argv"], env=environment, cwd=config["cwd"], stdin=subprocess.DEVNULL, stdout=output_fd, stderr=output_fd,
            start_new_session=True,
        )  # fmt: skip
        cell.processes[process] = started

    def _reap(self) -> None:
        for number, cell in self.cells.items():
            for process, started in list(cell.processes.items()):
                status = started.poll()
                if status is not None:
                    del cell.processes[process]
                    self._say(messages.Exited(number, process, status, 0))

    def _destroy(self, number: int) -> None:
        cell = self.cells.pop(number)
        for process, started in cell.processes.items():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            self._say(messages.Exited(number, process, started.wait(), 0))
        shutil.rmtree(cell.tmp, ignore_errors=True)
