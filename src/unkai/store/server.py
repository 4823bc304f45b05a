"""The store process's side of the socket: requests of the node's other processes into the writer, outcomes back.

Frames to the server are [number, verb, ...]; every answer is [number, ...]. Watches answer twice: once when they are
registered, and once when they are woken.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.store.api import Commit
from unkai.store.frames import FrameConnection, FrameTooLarge
from unkai.store.writer import FAILED, Outcome, Serial, Writer

if TYPE_CHECKING:
    from pathlib import Path

COMMIT, SERIAL, OUTCOME, WATCH, UNWATCH, WAKE_ALL = range(6)

_decode_commit = msgspec.msgpack.Decoder(Commit).decode
_decode_serial = msgspec.msgpack.Decoder(Serial).decode
_decode = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw]).decode
_decode_bytes = msgspec.msgpack.Decoder(bytes).decode
_decode_unwatch = msgspec.msgpack.Decoder(tuple[int, bytes]).decode


class StoreServer:
    """Serves one writer to any number of connections."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._tickets: dict[FrameConnection, dict[int, int]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._connected, str(path))
        path.chmod(0o600)

    def _connected(self) -> FrameConnection:
        connection = FrameConnection(self._on_frame, self._on_lost)
        self._tickets[connection] = {}
        return connection

    def _on_frame(self, connection: FrameConnection, frame: bytes) -> None:
        number, verb, body = _decode(frame)
        if verb == COMMIT:
            self._writer.submit(_decode_commit(body), self._answer(connection, number))
        elif verb == SERIAL:
            self._writer.submit(_decode_serial(body), self._answer(connection, number))
        elif verb == OUTCOME:
            connection.send((number, self._writer.outcome(_decode_bytes(body)) or b""))
        elif verb == WATCH:
            tickets = self._tickets[connection]

            def wake() -> None:
                tickets.pop(number, None)
                connection.send((number, True))

            tickets[number] = self._writer.watches.add(_decode_bytes(body), wake)
            connection.send((number, False))
        elif verb == UNWATCH:
            number, channel = _decode_unwatch(body)
            ticket = self._tickets[connection].pop(number, None)
            if ticket is None or not self._writer.watches.remove(ticket):
                # Woken already, perhaps while this was on its way, and not used there: the signal is another waiter's.
                self._writer.watches.fire(channel, 1)
        elif verb == WAKE_ALL:
            self._writer.watches.fire_all()
            connection.send((number, True))

    def _answer(self, connection: FrameConnection, number: int) -> Any:
        def answer(outcome: Outcome) -> None:
            try:
                connection.send((number, outcome.kind, outcome.data, outcome.reason))
            except FrameTooLarge:  # it must not keep the others of the batch from their answers
                connection.send((number, FAILED, b"", "the program's answer is too large"))

        return answer

    def _on_lost(self, connection: FrameConnection) -> None:
        for ticket in self._tickets.pop(connection).values():
            self._writer.watches.remove(ticket)
        # A signal may have gone to the process that died before it was used, so all waiters look again.
        self._writer.watches.fire_all()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._tickets):
            connection.close()
