"""Event streams: the binary framing, sans-IO, and how a shape's events become frames.

A message is: total length, headers length, CRC32 of these eight bytes, headers, payload, CRC32 of all before.
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from unkai.model.shapes import Member, Shape

MESSAGE_SIZE_BYTES_MAX = 24 * 1024 * 1024
HEADERS_SIZE_BYTES_MAX = 128 * 1024
CONTENT_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD_BYTES = _PRELUDE.size + _CRC.size

# Header value types, by their number on the wire.
_TRUE, _FALSE, _BYTE, _SHORT, _INTEGER, _LONG, _BYTES, _STRING, _TIMESTAMP, _UUID = range(10)
_FIXED = {
    _BYTE: struct.Struct(">b"),
    _SHORT: struct.Struct(">h"),
    _INTEGER: struct.Struct(">i"),
    _LONG: struct.Struct(">q"),
    _TIMESTAMP: struct.Struct(">q"),
}
_NUMBER_OF = {"byte": _BYTE, "short": _SHORT, "integer": _INTEGER, "long": _LONG, "timestamp": _TIMESTAMP}


class BadFrame(ValueError):
    """The bytes are not an event stream message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. A timestamp among the headers is an int of milliseconds."""

    headers: Mapping[str, Any]
    payload: bytes = b""


@dataclass(slots=True)
class Decoder:
    """Bytes in, messages out. Holds at most one incomplete message."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Message]:
        self.buffer += data
        while len(self.buffer) >= _PRELUDE.size:
            total, _ = _checked_prelude(self.buffer)
            if len(self.buffer) < total:
                return
            message = bytes(self.buffer[:total])
            del self.buffer[:total]
            yield decode_message(message)


def encode_message(headers: Mapping[str, tuple[str, Any]], payload: bytes) -> bytes:
    """`headers` maps a name to (type, value)."""
    head = b"".join(_header(name, kind, value) for name, (kind, value) in headers.items())
    prelude = struct.pack(">II", _OVERHEAD_BYTES + len(head) + len(payload), len(head))
    message = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), head, payload))
    return message + _CRC.pack(zlib.crc32(message))


def decode_message(message: bytes) -> Message:
    if len(message) < _OVERHEAD_BYTES:
        raise BadFrame("too short")
    total, head_size = _checked_prelude(message)
    if total != len(message):
        raise BadFrame("length differs")
    if _CRC.unpack_from(message, total - _CRC.size)[0] != zlib.crc32(message[: -_CRC.size]):
        raise BadFrame("message checksum differs")
    head = message[_PRELUDE.size : _PRELUDE.size + head_size]
    return Message(_headers(head), message[_PRELUDE.size + head_size : -_CRC.size])


def _checked_prelude(data: bytes | bytearray) -> tuple[int, int]:
    total, head_size, checksum = _PRELUDE.unpack_from(data)
    if checksum != zlib.crc32(data[:8]):
        raise BadFrame("prelude checksum differs")
    if total > MESSAGE_SIZE_BYTES_MAX or head_size > HEADERS_SIZE_BYTES_MAX or total < head_size + _OVERHEAD_BYTES:
        raise BadFrame("impossible length")
    return total, head_size


def _header(name: str, kind: str, value: Any) -> bytes:
    encoded = name.encode()
    start = bytes((len(encoded),)) + encoded
    if kind == "boolean":
        return start + bytes((_TRUE if value else _FALSE,))
    if kind in _NUMBER_OF:
        number = _NUMBER_OF[kind]
        return start + bytes((number,)) + _FIXED[number].pack(value)
    data = value.encode() if kind == "string" else bytes(value)
    return start + bytes((_STRING if kind == "string" else _BYTES,)) + struct.pack(">H", len(data)) + data


def _headers(head: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    try:
        at = 0
        while at < len(head):
            size = head[at]
            name = head[at + 1 : at + 1 + size].decode()
            kind = head[at + 1 + size]
            out[name], at = _header_value(head, kind, at + 2 + size)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BadFrame("broken headers") from None
    return out


def _header_value(head: bytes, kind: int, at: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in _FIXED:
        return _FIXED[kind].unpack_from(head, at)[0], at + _FIXED[kind].size
    if kind in (_BYTES, _STRING):
        (size,) = struct.unpack_from(">H", head, at)
        data = head[at + 2 : at + 2 + size]
        if len(data) != size:
            raise BadFrame("broken headers")
        return (data.decode() if kind == _STRING else data), at + 2 + size
    if kind == _UUID and at + 16 <= len(head):
        return head[at : at + 16], at + 16
    raise BadFrame("unknown header type")


# Shapes


@dataclass(frozen=True, slots=True)
class Events:
    """A compiled event stream member: its name, and how each event becomes a frame."""

    name: str
    frame: Mapping[str, Callable[[dict[str, Any]], bytes]]


def event_stream_member(shape: Shape | None) -> Member | None:
    if shape is None:
        return None
    return next((member for member in shape.members.values() if member.shape.traits.get("eventstream")), None)


def compile_events(
    member: Member, body_writer: Callable[[list[Member], Shape], Callable[[Any], bytes]], content_type: str
) -> Events:
    """`body_writer(members, shape)` is the protocol's own way to write a structure."""
    frames = {
        name: _frame_writer(name, event.shape, body_writer, content_type)
        for name, event in member.shape.members.items()
    }
    return Events(member.name, frames)


def _frame_writer(
    name: str, shape: Shape, body_writer: Callable[[list[Member], Shape], Callable[[Any], bytes]], content_type: str
) -> Callable[[dict[str, Any]], bytes]:
    kind = "exception" if shape.traits.get("exception") else "event"
    start = {":message-type": ("string", kind), f":{kind}-type": ("string", name)}
    in_header = [member for member in shape.members.values() if member.traits.get("eventheader")]
    payload = next((member for member in shape.members.values() if member.traits.get("eventpayload")), None)
    in_body = [member for member in shape.members.values() if member not in in_header]
    if payload is not None and payload.shape.type in ("blob", "string"):
        content_type = "text/plain" if payload.shape.type == "string" else "application/octet-stream"
    if payload is None:
        write = body_writer(in_body, shape)
    elif payload.shape.type == "structure":
        write = body_writer(list(payload.shape.members.values()), payload.shape)
    else:
        write = _raw_payload

    def frame(event: dict[str, Any]) -> bytes:
        if kind == "exception" and "message" in event and "Message" in shape.members:
            event = {"Message" if key == "message" else key: value for key, value in event.items()}
        headers: dict[str, tuple[str, Any]] = dict(start)
        headers.update({m.name: (m.shape.type, event[m.name]) for m in in_header if m.name in event})
        if payload is None:
            body = write({name: value for name, value in event.items() if name not in headers}) if in_body else b""
        else:
            body = write(event[payload.name]) if payload.name in event else b""
        if body:
            headers[":content-type"] = ("string", content_type)
        return encode_message(headers, body)

    return frame


def _raw_payload(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


async def framed(
    events: Events, source: AsyncIterator[dict[str, Any]], initial: bytes | None = None
) -> AsyncIterator[bytes]:
    """The frames of `source`, one per event. `initial` is the body of the initial-response message, for the protocols
    whose other members have no place in HTTP headers. A refusal in mid-stream ends the stream as an error message."""
    if initial is not None:
        headers = {":message-type": ("string", "event"), ":event-type": ("string", "initial-response")}
        yield encode_message(headers, initial)
    try:
        async for event in source:
            assert len(event) == 1, "an event is a dict with one member"
            ((name, value),) = event.items()
            yield events.frame[name](value)
    except AwsError as error:
        yield _error_frame(events, error)


def _error_frame(events: Events, error: AwsError) -> bytes:
    if error.code in events.frame:
        return events.frame[error.code]({"message": error.message, **error.members})
    headers = {
        ":message-type": ("string", "error"),
        ":error-code": ("string", error.code),
        ":error-message": ("string", error.message),
    }
    return encode_message(headers, b"")
