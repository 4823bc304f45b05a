"""S3's checksums: made while the bytes pass by, compared with what the client sent, and put together from those of parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

from awscrt import checksums as crt

from unkai.kernel import checksums as known
from unkai.services.s3 import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DEFAULT = "CRC64NVME"
"""What S3 computes where the client sends none."""

_XX: dict[str, Callable[[], Any]] = {
    "XXHASH64": crt.XXHash.new_xxhash64,
    "XXHASH3": crt.XXHash.new_xxhash3_64,
    "XXHASH128": crt.XXHash.new_xxhash3_128,
}
SIZE_BYTES: dict[str, int] = {
    **{str(n): size for n, size in known.DIGEST_BYTES.items()},
    "SHA512": 64,
    "XXHASH64": 8,
    "XXHASH3": 8,
    "XXHASH128": 16,
}
MEMBERS = {f"Checksum{name}": name for name in SIZE_BYTES}
"""Input and output members, by which AWS's shapes carry a checksum of each algorithm."""
_TRAILERS = {f"x-amz-checksum-{name.lower()}": name for name in SIZE_BYTES}
_UNDECLARED = ("CRC32", "CRC32C", "CRC64NVME")
"""Computed for a stream that does not say beforehand what its trailers will hold. Together they cost less than one MD5."""

COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"


class _Xx:
    __slots__ = ("_hash",)

    def __init__(self, name: str) -> None:
        self._hash = _XX[name]()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return bytes(self._hash.finalize())


def start(name: str) -> known.Hasher:
    """A running checksum of one algorithm."""
    if name in _XX:
        return _Xx(name)
    if name == "SHA512":
        return hashlib.sha512(usedforsecurity=False)
    return known.start(name)  # type: ignore[arg-type]


def declared(inp: Mapping[str, Any]) -> dict[str, str]:
    """The checksums that came in headers, by algorithm, checked for their form."""
    given = {name: inp[member] for member, name in MEMBERS.items() if member in inp}
    if len(given) > 1:
        raise errors.invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    for name, value in given.items():
        check_form(name, value)
    return given


def check_form(name: str, value: str) -> None:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != SIZE_BYTES[name]:
        raise errors.invalid_request(f"Value for x-amz-checksum-{name.lower()} header is invalid.")


def of_part(part: Mapping[str, Any]) -> dict[str, str]:
    """The checksums that a part carries in the list of a complete request."""
    return {name: part[member] for member, name in MEMBERS.items() if member in part}


declared_whole = of_part
"""The same members, of a whole object that is completed: composite ones end in the number of parts."""


def from_trailers(trailers: Mapping[str, str]) -> dict[str, str]:
    return {_TRAILERS[header]: value for header, value in trailers.items() if header in _TRAILERS}


def content_md5(inp: Mapping[str, Any]) -> bytes | None:
    """The digest in Content-MD5, or None. https://www.rfc-editor.org/rfc/rfc1864"""
    given = inp.get("ContentMD5")
    if given is None:
        return None
    try:
        raw = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise errors.invalid_digest(given) from None
    if len(raw) != 16:
        raise errors.invalid_digest(given)
    return raw


class Sums:
    """All running checksums of one body: MD5 for the ETag, and those that are declared, asked for or the default."""

    __slots__ = ("_declared", "_expected_md5", "_keep", "_kept", "_sums", "md5", "size_bytes")

    def __init__(self, inp: Mapping[str, Any], *, streamed: bool, keep: str = "") -> None:
        """`keep` is what an upload's parts are put together by: it is kept whatever else the client sends."""
        self._expected_md5 = content_md5(inp)
        self._declared = declared(inp)
        self._keep = keep
        asked = inp.get("ChecksumAlgorithm") or keep
        self._kept = next(iter(self._declared), asked or DEFAULT)
        names = {self._kept, *self._declared, *filter(None, (asked, keep))}
        if streamed and not self._declared:
            names.update(_UNDECLARED)
        self._sums = {name: start(name) for name in names}
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self.md5.update(data)
        for each in self._sums.values():
            each.update(data)

    def finish(self, trailers: Mapping[str, str]) -> dict[str, str]:
        """The checksums to store, after all that the client sent was compared. Raises BadDigest."""
        if self._expected_md5 is not None and self._expected_md5 != self.md5.digest():
            raise errors.bad_md5(
                base64.b64encode(self._expected_md5).decode(), base64.b64encode(self.md5.digest()).decode()
            )
        expected = dict(self._declared)
        for name, value in from_trailers(trailers).items():
            check_form(name, value)
            expected[name] = value
            self._kept = name
        for name, value in expected.items():
            if name not in self._sums:
                raise errors.invalid_request(f"The x-amz-checksum-{name.lower()} trailer was not announced.")
            if base64.b64encode(self._sums[name].digest()).decode() != value:
                raise errors.bad_checksum(name)
        names = dict.fromkeys(filter(None, (self._kept, self._keep)))
        return {name: base64.b64encode(self._sums[name].digest()).decode() for name in names}


def composite(name: str, parts: Sequence[str]) -> str:
    """The checksum of the parts' checksums, and their number."""
    whole = start(name)
    for value in parts:
        whole.update(base64.b64decode(value))
    return f"{base64.b64encode(whole.digest()).decode()}-{len(parts)}"


def full_object(name: str, parts: Sequence[tuple[str, int]]) -> str:
    """The CRC of the whole from (checksum, size) of the parts, without reading a byte of them."""
    whole = known.full_object(name, [(base64.b64decode(value), size) for value, size in parts])  # type: ignore[arg-type]
    return base64.b64encode(whole).decode()


def upload_type(name: str, asked: str) -> str:
    """COMPOSITE or FULL_OBJECT of a multipart upload. Which algorithm may have which is a table of the page above."""
    if not name:
        return ""
    if name == DEFAULT and asked == COMPOSITE:
        raise errors.invalid_request(
            f"The {COMPOSITE} checksum type cannot be used with the {name.lower()} checksum algorithm."
        )
    if name not in known.FULL_OBJECT and asked == FULL_OBJECT:
        raise errors.invalid_request(
            f"The {FULL_OBJECT} checksum type cannot be used with the {name.lower()} checksum algorithm."
        )
    return asked or (FULL_OBJECT if name == DEFAULT else COMPOSITE)


def shown(sums: Mapping[str, str], kind: str) -> dict[str, str]:
    """Output members for stored checksums."""
    return {f"Checksum{name}": value for name, value in sums.items()} | ({"ChecksumType": kind} if sums else {})
