"""The checksums that S3 clients send and ask for: one interface over six algorithms, and the two ways to put parts together.

A multipart object has either a *composite* checksum (the checksum of its parts' checksums, written with `-N`) or, for the CRCs, a
*full object* one, which is computed from the parts' CRCs and lengths alone, without the bytes.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Literal, Protocol

from awscrt import checksums as crt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Algorithm = Literal["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "MD5"]

DIGEST_BYTES: dict[Algorithm, int] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32, "MD5": 16}
FULL_OBJECT: frozenset[Algorithm] = frozenset({"CRC32", "CRC32C", "CRC64NVME"})
"""Algorithms whose parts can be combined into the checksum of the whole. For CRC64NVME it is the only kind."""

HEADERS: dict[str, Algorithm] = {
    "x-amz-checksum-crc32": "CRC32",
    "x-amz-checksum-crc32c": "CRC32C",
    "x-amz-checksum-crc64nvme": "CRC64NVME",
    "x-amz-checksum-sha1": "SHA1",
    "x-amz-checksum-sha256": "SHA256",
    "content-md5": "MD5",
}


class Hasher(Protocol):
    """A checksum under way."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    __slots__ = ("_step", "_value", "_width")

    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def start(algorithm: Algorithm) -> Hasher:
    """A new checksum of nothing yet."""
    if algorithm == "CRC32":
        return _Crc(zlib.crc32, 4)
    if algorithm == "CRC32C":
        return _Crc(crt.crc32c, 4)
    if algorithm == "CRC64NVME":
        return _Crc(crt.crc64nvme, 8)
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


def of(algorithm: Algorithm, data: bytes) -> bytes:
    hasher = start(algorithm)
    hasher.update(data)
    return hasher.digest()


def to_text(digest: bytes) -> str:
    """The base64 form that headers carry."""
    return b64encode(digest).decode()


def from_text(algorithm: Algorithm, text: str) -> bytes | None:
    """The digest that a header carries, or None where it is not one of this algorithm."""
    try:
        digest = b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return digest if len(digest) == DIGEST_BYTES[algorithm] else None


def composite(algorithm: Algorithm, parts: Sequence[bytes]) -> str:
    """The checksum of the parts' digests, as `base64-N`."""
    assert parts, "an object has at least one part"
    return f"{to_text(of(algorithm, b''.join(parts)))}-{len(parts)}"


def etag_of_parts(parts: Sequence[bytes]) -> str:
    """The ETag (unquoted) of a multipart object from its parts' MD5 digests."""
    assert parts, "an object has at least one part"
    return f"{of('MD5', b''.join(parts)).hex()}-{len(parts)}"


def full_object(algorithm: Algorithm, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of the whole from each part's CRC and length in bytes, in order."""
    assert algorithm in FULL_OBJECT, "only CRCs can be combined"
    combine = _COMBINE[algorithm]
    value = 0
    for digest, length_bytes in parts:
        value = combine(value, int.from_bytes(digest, "big"), length_bytes)
    return value.to_bytes(DIGEST_BYTES[algorithm], "big")


_COMBINE: dict[Algorithm, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}
