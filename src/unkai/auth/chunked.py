"""aws-chunked bodies, without I/O: bytes in, pieces of the object out, every chunk's signature checked on the way.

    10000;chunk-signature=<hex>\\r\\n <65,536 bytes> \\r\\n ... 0;chunk-signature=<hex>\\r\\n [trailers] \\r\\n

Each signature covers the one before it, beginning with the request's own, so that chunks cannot be left out, repeated or moved.
Pieces leave before their chunk is verified (a chunk may be large, memory is not): **nothing may become visible before `finish`
returned.** What `finish` returns are the trailers, among them the checksum.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import Enum
from typing import TYPE_CHECKING

from unkai.auth import errors
from unkai.auth.claim import TERMINATOR
from unkai.auth.sigv4 import EMPTY_SHA256, signing_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.auth.claim import Claim
    from unkai.kernel.errors import AwsError
    from unkai.kernel.http import HttpRequest

CHUNK_HEADER_MAX_BYTES = 256
TRAILERS_MAX_BYTES = 16_384
CHUNK_MIN_BYTES = 8192
"""All signed chunks but the last must have this size, as S3 has it."""

_HEADER = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?\Z").match
_TRAILER = re.compile(r"([a-z0-9-]{1,64}):([!-~ ]{0,512})\Z").match
_LENGTH = re.compile(r"[0-9]{1,15}\Z").match


class _State(Enum):
    HEADER = 1
    DATA = 2
    AFTER_DATA = 3
    TRAILERS = 4


def decoder_for(claim: Claim, request: HttpRequest, secret: str) -> Decoder | None:
    """The decoder of a verified request's body, or None where the body is not aws-chunked."""
    if not claim.payload.startswith("streaming"):
        return None
    length = request.headers.get("x-amz-decoded-content-length", "")
    if not _LENGTH(length):
        raise errors.s3_refusal("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    announced = request.headers.get("x-amz-trailer", "") if claim.payload.endswith("-trailer") else ""
    names = [name.strip().lower() for name in announced.split(",") if name.strip()]
    return Decoder(claim, secret, int(length), names)


class Decoder:
    """One body. `feed` what arrives, hand on what it returns, and call `finish` at the end of the body."""

    __slots__ = (
        "_buffer", "_claim", "_declared", "_hash", "_key", "_left", "_names", "_previous", "_received", "_scope", "_short",
        "_signature", "_signed", "_state",
    )  # fmt: skip

    def __init__(self, claim: Claim, secret: str, decoded_bytes: int, trailer_names: Sequence[str]) -> None:
        self._claim = claim
        self._declared = decoded_bytes
        self._names = list(trailer_names)
        self._signed = claim.payload != "streaming-unsigned-trailer"
        self._key = signing_key(secret, claim.day, claim.region, claim.service)
        self._scope = f"{claim.day}/{claim.region}/{claim.service}/{TERMINATOR}"
        self._previous = claim.signature
        self._signature = ""
        self._state = _State.HEADER
        self._buffer = bytearray()
        self._left = 0
        self._received = 0
        self._short = False
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> list[bytes]:
        """Pieces of the object that `data` holds. Raises AwsError where the body is not as signed."""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._state is _State.DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._signed:
                    self._hash.update(piece)
                pieces.append(piece)
                if not self._left:
                    self._state = _State.AFTER_DATA
            elif self._state is _State.TRAILERS:
                self._buffer += data[at:]
                if len(self._buffer) > TRAILERS_MAX_BYTES:
                    raise _malformed_trailer()
                break
            else:
                at = self._read_line(data, at)
        return pieces

    def _read_line(self, data: bytes, at: int) -> int:
        """Take bytes up to the end of a line; act on the line once it is whole."""
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        self._buffer += data[at:stop]
        if len(self._buffer) > CHUNK_HEADER_MAX_BYTES:
            raise _malformed()
        if end < 0:
            return stop
        line = bytes(self._buffer)
        self._buffer.clear()
        if not line.endswith(b"\r\n"):
            raise _malformed()
        if self._state is _State.AFTER_DATA:
            if line != b"\r\n":
                raise _malformed()
            self._end_chunk()
            self._state = _State.HEADER
        else:
            self._begin_chunk(line[:-2])
        return stop

    def _begin_chunk(self, line: bytes) -> None:
        found = _HEADER(line)
        if found is None or self._signed is not (found.group(2) is not None):
            raise _malformed()
        size = int(found.group(1), 16)
        self._received += size
        if self._received > self._declared:
            raise _incomplete()
        if size and self._short:
            raise _chunk_too_small()
        self._short = self._signed and size < CHUNK_MIN_BYTES
        self._signature = (found.group(2) or b"").decode()
        self._hash = hashlib.sha256()
        self._left = size
        self._state = _State.DATA
        if not size:
            self._end_chunk()
            self._state = _State.TRAILERS

    def _end_chunk(self) -> None:
        if self._signed:
            self._check(f"AWS4-HMAC-SHA256-PAYLOAD\n{{}}\n{EMPTY_SHA256}\n{self._hash.hexdigest()}", self._signature)

    def _check(self, form: str, given: str) -> None:
        """Compare a signature with our own, and make it the next one's predecessor."""
        chain = f"{self._claim.stamp}\n{self._scope}\n{self._previous}"
        to_sign = form.format(chain).encode()
        expected = hmac.digest(self._key, to_sign, "sha256").hex()
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise errors.mismatch("s3", self._claim.access_key_id, given, b"", to_sign)
        self._previous = expected

    def finish(self) -> dict[str, str]:
        """The trailers of a body that ended as it should. Raises AwsError where it was cut off."""
        if self._state is not _State.TRAILERS or self._received != self._declared:
            raise _incomplete()
        lines = [line.strip("\r") for line in self._buffer.decode("latin-1").split("\n")]
        trailers: dict[str, str] = {}
        for line in filter(None, lines):
            found = _TRAILER(line)
            if found is None or found.group(1) in trailers:
                raise _malformed_trailer()
            trailers[found.group(1)] = found.group(2).strip()
        signature = trailers.pop("x-amz-trailer-signature", "")
        if sorted(trailers) != sorted(self._names):
            raise _malformed_trailer()
        if self._claim.payload == "streaming-trailer":
            text = "".join(f"{name}:{trailers[name]}\n" for name in sorted(trailers))
            digest = hashlib.sha256(text.encode("latin-1")).hexdigest()
            self._check(f"AWS4-HMAC-SHA256-TRAILER\n{{}}\n{digest}", signature)
        elif signature:
            raise _malformed_trailer()
        return trailers


def _malformed() -> AwsError:
    return errors.s3_refusal("InvalidRequest", "The aws-chunked body is not well-formed.", 400)


def _incomplete() -> AwsError:
    message = "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header."
    return errors.s3_refusal("IncompleteBody", message, 400)


def _chunk_too_small() -> AwsError:
    return errors.s3_refusal(
        "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes", 403
    )


def _malformed_trailer() -> AwsError:
    message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
    return errors.s3_refusal("MalformedTrailerError", message, 400)
