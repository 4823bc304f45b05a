"""Checksums against known answers and against themselves: parts put together equal the whole."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel import checksums

if TYPE_CHECKING:
    from unkai.kernel.checksums import Algorithm


# The check values of the CRC catalogue (https://reveng.sourceforge.io/crc-catalogue/all.htm) and of FIPS 180-4.
@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("SHA1", hashlib.sha1(b"123456789").hexdigest()),
        ("SHA256", hashlib.sha256(b"123456789").hexdigest()),
        ("MD5", "25f9e794323b453885f5181f1b624d0b"),
    ],
)
def test_known_answers(algorithm: Algorithm, digest: str) -> None:
    hasher = checksums.start(algorithm)
    hasher.update(b"1234")
    hasher.update(b"56789")
    assert hasher.digest().hex() == digest
    text = checksums.to_text(hasher.digest())
    assert checksums.from_text(algorithm, text) == hasher.digest()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.sampled_from(sorted(checksums.FULL_OBJECT)))
def test_full_object_equals_the_whole(parts: list[bytes], algorithm: Algorithm) -> None:
    combined = checksums.full_object(algorithm, [(checksums.of(algorithm, part), len(part)) for part in parts])
    assert combined == checksums.of(algorithm, b"".join(parts))


# A composite checksum is the checksum of the digests, and says of how many; ETags are the same in hex.
def test_composite() -> None:
    parts = [checksums.of("SHA256", b"a"), checksums.of("SHA256", b"b")]
    expected = checksums.to_text(hashlib.sha256(parts[0] + parts[1]).digest())
    assert checksums.composite("SHA256", parts) == f"{expected}-2"
    md5 = [hashlib.md5(b"a").digest()]
    assert checksums.etag_of_parts(md5) == f"{hashlib.md5(md5[0]).hexdigest()}-1"


@pytest.mark.parametrize("text", ["", "AAAA", "AAAAAAAAAAA=", "****", "ÄAAAAA==", "AAAAAA"])
def test_what_is_no_crc32(text: str) -> None:
    assert checksums.from_text("CRC32", text) is None
