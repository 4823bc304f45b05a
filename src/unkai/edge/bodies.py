"""The body that a handler gets: aws-chunked framing undone, and everything that the signature covers checked while it streams.

A stream's check ends with the stream: a handler makes nothing visible before it has read to the end.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from unkai.auth import errors as auth_errors
from unkai.auth.chunked import decoder_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unkai.auth.chunked import Decoder
    from unkai.auth.claim import Claim
    from unkai.kernel.http import BodyStream, HttpRequest


class Covered(msgspec.Struct, frozen=True):
    """A body as its handler sees it, and the headers that describe that body instead of its transfer."""

    body: bytes | BodyStream
    headers: dict[str, str]


def covered_body(claim: Claim | None, request: HttpRequest, body: bytes | BodyStream, secret: str) -> Covered:
    """The body under `claim`, which has been verified. Raises AwsError for a whole body that is not as signed."""
    if claim is None:
        return Covered(body, request.headers)
    decoder = decoder_for(claim, request, secret)
    if decoder is not None:
        headers = _described(request.headers)
        if not isinstance(body, bytes):
            return Covered(ChunkedBody(body, decoder, int(headers["content-length"])), headers)
        decoded = b"".join(decoder.feed(body))
        # A trailer says of a whole body what a header would have said.
        return Covered(decoded, headers | decoder.finish())
    if claim.payload == "declared" and not isinstance(body, bytes):
        return Covered(HashedBody(body, claim.content_sha256), request.headers)
    return Covered(body, request.headers)


def _described(headers: dict[str, str]) -> dict[str, str]:
    """Headers of the object, without its aws-chunked transfer."""
    described = {name: value for name, value in headers.items() if name != "content-encoding"}
    codings = [coding.strip() for coding in headers.get("content-encoding", "").split(",")]
    kept = [coding for coding in codings if coding and coding.lower() != "aws-chunked"]
    if kept:
        described["content-encoding"] = ",".join(kept)
    described["content-length"] = headers["x-amz-decoded-content-length"]
    return described


class ChunkedBody:
    """An aws-chunked stream, decoded. `trailers` are those that its signature covers."""

    def __init__(self, body: BodyStream, decoder: Decoder, length_bytes: int) -> None:
        self.length_bytes: int | None = length_bytes
        self._body = body
        self._decoder = decoder
        self._trailers: dict[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for received in self._body:
            for piece in self._decoder.feed(received):
                yield piece
        self._trailers = self._decoder.finish()

    def trailers(self) -> dict[str, str]:
        return self._trailers


class HashedBody:
    """A stream whose SHA-256 was signed beforehand; the last piece is followed by the comparison."""

    def __init__(self, body: BodyStream, declared_sha256: str) -> None:
        self.length_bytes = body.length_bytes
        self._body = body
        self._declared = declared_sha256.lower()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        async for piece in self._body:
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self._declared:
            raise auth_errors.payload_mismatch(self._declared, digest.hexdigest())

    def trailers(self) -> dict[str, str]:
        return self._body.trailers()
