"""aws-chunked bodies: AWS's two published examples, botocore's encoder, cuts at any byte, and forgeries."""

from __future__ import annotations

import hashlib
import hmac
import io

import msgspec
import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from unkai.auth.chunked import Decoder, decoder_for
from unkai.auth.claim import Claim, Payload
from unkai.auth.sigv4 import EMPTY_SHA256, signing_key
from unkai.kernel import checksums
from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"


def claim(payload: Payload, signature: str) -> Claim:
    return Claim("s3", "AKID", "20130524", "us-east-1", "s3", STAMP, 0, ("host",), signature, "", None, payload, "")


def run(decoder: Decoder, body: bytes, step: int = 1 << 20) -> tuple[bytes, dict[str, str]]:
    out = b"".join(piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step]))
    return out, decoder.finish()


# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html: 65 KB of "a" in chunks of 64 KB, 1 KB and none.
PUBLISHED = b"".join(
    [
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
        + b"a" * 65536
        + b"\r\n",
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
        + b"a" * 1024
        + b"\r\n",
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
    ]
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_published_example(step: int) -> None:
    decoder = Decoder(claim("streaming", SEED), SECRET, 66560, [])
    assert run(decoder, PUBLISHED, step) == (b"a" * 66560, {})


# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
def test_published_example_with_trailer() -> None:
    body = b"".join(
        [
            b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
            + b"a" * 65536
            + b"\r\n",
            b"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
            + b"a" * 1024
            + b"\r\n",
            b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n",
            b"x-amz-checksum-crc32c:sOO8/Q==\n\r\n",
            b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        ]
    )
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    request = HttpRequest(
        "PUT", "/", "", {"x-amz-decoded-content-length": "66560", "x-amz-trailer": "x-amz-checksum-crc32c"}
    )
    decoder = decoder_for(claim("streaming-trailer", seed), request, SECRET)
    assert decoder is not None
    assert run(decoder, body) == (b"a" * 66560, {"x-amz-checksum-crc32c": "sOO8/Q=="})
    assert checksums.to_text(checksums.of("CRC32C", b"a" * 66560)) == "sOO8/Q=="


# What every current SDK sends over TLS: unsigned chunks and a checksum after them. botocore makes the body here.
@given(st.binary(max_size=200), st.integers(1, 50), st.integers(1, 60))
def test_botocore_unsigned_trailer(data: bytes, chunk: int, step: int) -> None:
    wrapper = AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32", chunk_size=chunk
    )
    decoder = Decoder(claim("streaming-unsigned-trailer", "s"), SECRET, len(data), ["x-amz-checksum-crc32"])
    out, trailers = run(decoder, wrapper.read(), step)
    assert out == data
    assert trailers == {"x-amz-checksum-crc32": checksums.to_text(checksums.of("CRC32", data))}


def signed_body(data: bytes, chunk: int, trailers: dict[str, str] | None) -> bytes:
    """A client's encoder, written from the description."""
    key, previous, out = signing_key(SECRET, "20130524", "us-east-1", "s3"), SEED, b""
    pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    for piece in [*pieces, b""]:
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{previous}\n{EMPTY_SHA256}\n{hashlib.sha256(piece).hexdigest()}"
        previous = hmac.digest(key, text.encode(), "sha256").hex()
        out += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    if trailers is not None:
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
        text = f"AWS4-HMAC-SHA256-TRAILER\n{STAMP}\n{SCOPE}\n{previous}\n{hashlib.sha256(lines.encode()).hexdigest()}"
        out += lines.replace("\n", "\r\n").encode()
        out += b"x-amz-trailer-signature:" + hmac.digest(key, text.encode(), "sha256").hex().encode() + b"\r\n"
    return out + b"\r\n"


TRAILERS = {"x-amz-checksum-crc32": "AAAAAA=="}
SIGNED = signed_body(b"x" * 9000, 8192, TRAILERS)


def decode_signed(body: bytes, step: int = 1 << 20) -> tuple[bytes, dict[str, str]]:
    return run(Decoder(claim("streaming-trailer", SEED), SECRET, 9000, list(TRAILERS)), body, step)


# Any byte that is changed, taken out or put in is noticed; upper-case hex in a size means the same and is the exception.
@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SIGNED) - 6), st.sampled_from(["change", "drop", "insert", "cut"]), st.integers(1, 3000))
def test_any_changed_byte_is_refused(at: int, how: str, step: int) -> None:
    assert decode_signed(SIGNED, step) == (b"x" * 9000, TRAILERS)
    middle = {"change": bytes([SIGNED[at] ^ 1]), "drop": b"", "insert": b"y" + SIGNED[at : at + 1], "cut": None}[how]
    forged = SIGNED[:at] if middle is None else SIGNED[:at] + middle + SIGNED[at + 1 :]
    with pytest.raises(AwsError):
        decode_signed(forged, step)


@pytest.mark.parametrize(
    ("payload", "body", "length", "code"),
    [
        ("streaming-unsigned-trailer", b"zz\r\n", 5, "InvalidRequest"),
        ("streaming-unsigned-trailer", b"5" * 300, 5, "InvalidRequest"),
        ("streaming-unsigned-trailer", b"5\nhello\r\n", 5, "InvalidRequest"),
        ("streaming-unsigned-trailer", b"5\r\nhelloXX0\r\n\r\n", 5, "InvalidRequest"),
        ("streaming-unsigned-trailer", b"6\r\nhello!\r\n0\r\n\r\n", 5, "IncompleteBody"),
        ("streaming-unsigned-trailer", b"4\r\nhell\r\n0\r\n\r\n", 5, "IncompleteBody"),
        ("streaming-unsigned-trailer", b"5\r\nhello\r\n", 5, "IncompleteBody"),
        ("streaming-unsigned-trailer", b"0\r\nx-amz-meta-a:1\r\n\r\n", 0, "MalformedTrailerError"),
        ("streaming-unsigned-trailer", b"0\r\n" + b"a" * 20_000, 0, "MalformedTrailerError"),
        ("streaming", b"5\r\nhello\r\n0\r\n\r\n", 5, "InvalidRequest"),
        ("streaming", b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n", 0, "SignatureDoesNotMatch"),
        ("streaming", signed_body(b"x" * 20, 10, None), 20, "InvalidChunkSizeError"),
    ],
)
def test_refused(payload: Payload, body: bytes, length: int, code: str) -> None:
    with pytest.raises(AwsError) as caught:
        run(Decoder(claim(payload, SEED), SECRET, length, []), body)
    assert caught.value.code == code


def test_needs_the_decoded_length() -> None:
    with pytest.raises(AwsError, match="MissingContentLength"):
        decoder_for(claim("streaming", SEED), HttpRequest("PUT", "/", "", {}), SECRET)
    plain = msgspec.structs.replace(claim("streaming", SEED), payload="unsigned")
    assert decoder_for(plain, HttpRequest("PUT", "/", "", {}), SECRET) is None
