"""Event stream framing: our own frames come back, broken ones are refused, and botocore reads them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.errors import AwsError
from unkai.model.load import load_service
from unkai.wire.codec import CODECS
from unkai.wire.eventstream import BadFrame, Decoder, decode_message, encode_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.one_of(
        st.booleans().map(lambda value: ("boolean", value)),
        st.integers(-128, 127).map(lambda value: ("byte", value)),
        st.integers(-(2**31), 2**31 - 1).map(lambda value: ("integer", value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: ("timestamp", value)),
        st.binary(max_size=50).map(lambda value: ("blob", value)),
        st.text(max_size=50).map(lambda value: ("string", value)),
    ),
    max_size=5,
)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=100)), max_size=4), st.integers(1, 40))
def test_frames_come_back_however_they_are_cut(messages: list[tuple[dict[str, Any], bytes]], size: int) -> None:
    data = b"".join(encode_message(headers, payload) for headers, payload in messages)
    decoder = Decoder()
    read = [message for at in range(0, len(data), size) for message in decoder.feed(data[at : at + size])]
    assert [(dict(message.headers), message.payload) for message in read] == [
        ({name: value for name, (_, value) in headers.items()}, payload) for headers, payload in messages
    ]


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    for attempt in (decode_message, lambda noise: list(Decoder().feed(noise))):
        try:
            attempt(data)
        except BadFrame:
            continue


def test_one_flipped_bit_is_seen() -> None:
    message = encode_message({"a": ("string", "b")}, b"payload")
    for at in range(len(message)):
        with pytest.raises(BadFrame):
            decode_message(message[:at] + bytes((message[at] ^ 1,)) + message[at + 1 :])


async def _events(*events: dict[str, Any], error: AwsError | None = None) -> AsyncIterator[dict[str, Any]]:
    for event in events:
        yield event
    if error is not None:
        raise error


def frames(service: str, operation: str, protocol: str, out: dict[str, Any]) -> list[Any]:
    async def gathered() -> bytes:
        body = CODECS[protocol].encode(load_service(service).operations[operation], out, "r").body
        return b"".join([piece async for piece in body])  # type: ignore[union-attr]

    buffer = EventStreamBuffer()
    buffer.add_data(asyncio.run(gathered()))
    return [(message.headers, message.payload) for message in buffer]


# The initial response comes first where a protocol has no other place for the other members.
def test_kinesis_subscribe_to_shard() -> None:
    event = {"Records": [], "ContinuationSequenceNumber": "1", "MillisBehindLatest": 0}
    error = AwsError("ResourceNotFoundException", "gone")
    out = {"EventStream": _events({"SubscribeToShardEvent": event}, error=error)}
    initial, first, last = frames("kinesis", "SubscribeToShard", "json", out)
    assert (initial[0][":event-type"], initial[1]) == ("initial-response", b"{}")
    assert first[0] == {
        ":message-type": "event",
        ":event-type": "SubscribeToShardEvent",
        ":content-type": "application/x-amz-json-1.1",
    }
    # A refusal in mid-stream is the stream's last message, modelled where the model has it.
    assert (last[0][":message-type"], last[0][":exception-type"]) == ("exception", "ResourceNotFoundException")
    assert last[1] == b'{"message":"gone"}'


# Lambda's response stream: a payload of bytes, then an event of JSON.
def test_lambda_response_stream() -> None:
    events = _events(
        {"PayloadChunk": {"Payload": b"abc"}}, {"InvokeComplete": {"ErrorCode": "E"}}, error=AwsError("Odd", "why")
    )
    chunk, complete, error = frames(
        "lambda", "InvokeWithResponseStream", "rest-json", {"StatusCode": 200, "EventStream": events}
    )
    assert (chunk[0][":content-type"], chunk[1]) == ("application/octet-stream", b"abc")
    assert complete[1] == b'{"ErrorCode":"E"}'
    assert error[0] == {":message-type": "error", ":error-code": "Odd", ":error-message": "why"}
