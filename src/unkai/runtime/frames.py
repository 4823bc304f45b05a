"""What the keeper and its clients say to each other: msgpack frames of four bytes of length and a tagged value.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

# msgspec reads these annotations at run time.
from unkai.runtime.api import FunctionSpec, Invocation, LogBatch, Result, Stats  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_SIZE_BYTES_MAX = 16 * 1024 * 1024
_HEAD = 4


class Define(msgspec.Struct, frozen=True, tag=1, array_like=True):
    """Gives a function's description a number for this connection, so that it travels once."""

    number: int
    spec: FunctionSpec


class Invoke(msgspec.Struct, frozen=True, tag=2, array_like=True):
    call: int
    spec: int
    invocation: Invocation


class Prepare(msgspec.Struct, frozen=True, tag=3, array_like=True):
    call: int
    spec: int


class Drain(msgspec.Struct, frozen=True, tag=4, array_like=True):
    call: int
    arn: str


class KeepCode(msgspec.Struct, frozen=True, tag=5, array_like=True):
    call: int
    keys: list[bytes]


class AskStats(msgspec.Struct, frozen=True, tag=6, array_like=True):
    call: int


class Subscribe(msgspec.Struct, frozen=True, tag=7, array_like=True):
    """This connection takes the logs."""


class Done(msgspec.Struct, frozen=True, tag=20, array_like=True):
    call: int
    result: Result


class StreamBegun(msgspec.Struct, frozen=True, tag=21, array_like=True):
    call: int
    content_type: str


class Chunk(msgspec.Struct, frozen=True, tag=22, array_like=True):
    call: int
    data: bytes


class Refused(msgspec.Struct, frozen=True, tag=23, array_like=True):
    call: int
    kind: Literal["throttled", "unavailable", "invalid_code", "unknown_runtime", "need_code"]
    text: str
    started: bool = False


class Answered(msgspec.Struct, frozen=True, tag=24, array_like=True):
    call: int
    number: int = 0
    stats: Stats | None = None


class Logs(msgspec.Struct, frozen=True, tag=25, array_like=True):
    batch: LogBatch


Request = Define | Invoke | Prepare | Drain | KeepCode | AskStats | Subscribe
Answer = Done | StreamBegun | Chunk | Refused | Answered | Logs

_encoder = msgspec.msgpack.Encoder()
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode(value: Request | Answer) -> bytes:
    data = _encoder.encode(value)
    return len(data).to_bytes(_HEAD, "little") + data


class Splitter:
    """Bytes in, whole frames out. Raises ValueError for a frame over the limit."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes, handle: Callable[[memoryview | bytes], None]) -> None:
        if not self._rest and len(data) >= _HEAD and len(data) == _HEAD + int.from_bytes(data[:_HEAD], "little"):
            handle(memoryview(data)[_HEAD:])  # the usual case: one frame, no copy
            return
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= _HEAD:
            size = int.from_bytes(rest[at : at + _HEAD], "little")
            if size > FRAME_SIZE_BYTES_MAX:
                raise ValueError("frame too large")
            if len(rest) - at - _HEAD < size:
                break
            handle(bytes(rest[at + _HEAD : at + _HEAD + size]))
            at += _HEAD + size
        del rest[:at]
