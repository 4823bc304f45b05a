"""Length-prefixed msgpack frames over a stream: how the node's own processes talk. Sans-IO.

A frame is 4 bytes of length (big-endian) and a msgpack array. Frames written in one turn of the loop leave in one write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_SIZE_BYTES_MAX = 64 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class FrameTooLarge(Exception):
    pass


def pack_frame(message: Any) -> bytes:
    body = _encode(message)
    if len(body) > FRAME_SIZE_BYTES_MAX:
        raise FrameTooLarge(f"{len(body)} bytes")
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Bytes in, frame bodies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that are whole now. Raises FrameTooLarge."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        at = 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > FRAME_SIZE_BYTES_MAX:
                raise FrameTooLarge(f"{size} bytes")
            if len(buffer) - at < 4 + size:
                break
            bodies.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        del buffer[:at]
        return bodies


class FrameConnection(asyncio.Protocol):
    """One end of a connection. `on_frame(body)` per frame; `on_lost()` once, when the other side is gone."""

    def __init__(
        self, on_frame: Callable[[FrameConnection, bytes], None], on_lost: Callable[[FrameConnection], None]
    ) -> None:
        self._reader = FrameReader()
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                self._on_frame(self, body)
        except (FrameTooLarge, msgspec.MsgspecError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self)

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, message: Any) -> None:
        """Queue a frame; all frames of one turn of the loop leave together."""
        if self._transport is None:
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(pack_frame(message))

    def _flush(self) -> None:
        out = b"".join(self._out)
        self._out.clear()
        if self._transport is not None and out:
            self._transport.write(out)

    def close(self) -> None:
        if self._transport is not None:
            self._flush()
            self._transport.close()
