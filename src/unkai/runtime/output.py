"""A process's output: from a pipe to log lines, whatever it writes and however fast.

A line feed ends a log event; a carriage return inside one is a line break within the event (how runtimes write tracebacks).
Reading is held to about 12 MB/s for each pipe, so that a flood slows its writer and not the other functions.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_BYTES_MAX = 256 * 1024
"""https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html (event size when this was built)"""
_READ_SIZE = 64 * 1024
_PAUSE_S = 0.005
_LAST_READS = 4


class Output:
    """`emit(text)` gets each event's text. The pipe's write end is `write_fd` until `started` closes it here."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.write_fd, True)
        self._rest = b""
        self._paused: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._on_readable)

    def started(self) -> None:
        """The process has its copy of the write end (or has ended already: then it is closed)."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def drain(self) -> None:
        """Take what has been written so far, up to one buffer: what a process wrote before it answered comes first."""
        if self._fd >= 0:
            self._read()
            if self._rest and len(self._rest) < 4096:
                self._flush_rest()

    def close(self) -> None:
        """The process is gone: take the rest of what a pipe holds; a child that it left may be writing still."""
        if self._fd < 0:
            return
        for _ in range(_LAST_READS):
            if self._read() <= 0:
                break
        self._flush_rest()
        self._stop()

    def _flush_rest(self) -> None:
        if self._rest:
            self._emit(_text(self._rest))
            self._rest = b""

    def _stop(self) -> None:
        if self._fd < 0:
            return
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        self.started()

    def _on_readable(self) -> None:
        size = self._read()
        if size < 0:
            self._flush_rest()
            self._stop()
        elif size >= _READ_SIZE:
            self._loop.remove_reader(self._fd)
            self._paused = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._paused = None
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)

    def _read(self) -> int:
        """Bytes taken; 0 where none were there, -1 at the end."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return 0
        if not data:
            return -1
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(_text(line))
        while len(rest) >= LINE_BYTES_MAX:
            self._emit(_text(rest[:LINE_BYTES_MAX]))
            rest = rest[LINE_BYTES_MAX:]
        self._rest = rest
        return len(data)


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace").replace("\r", "\n")
