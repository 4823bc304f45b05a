"""The pure parts, against simple statements of what they mean, and with what nobody would send in good faith."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.errors import AwsError
from unkai.services.s3 import arns, checksums, encryption, keys, ranges, tags, versions


# Any text at all gives a span within the object, the whole, or InvalidRange.
@given(
    st.one_of(st.text(max_size=40), st.from_regex(r"bytes=[0-9]{0,22}-[0-9]{0,22}", fullmatch=True)), st.integers(0, 50)
)
def test_any_range_header(header: str, size: int) -> None:
    try:
        span = ranges.span(header, size)
    except AwsError as error:
        if error.code != "InvalidRange":
            raise
        return
    if span is not None:
        assert 0 <= span[0] < span[1] <= size


# The order of version names is: keys as bytes, then newest first; a name gives its key back.
@given(st.binary(max_size=6), st.binary(max_size=6), st.integers(1, 9), st.integers(1, 9))
def test_version_names(one: bytes, other: bytes, first: int, second: int) -> None:
    names = keys.version(one, first), keys.version(other, second)
    assert (names[0] < names[1]) == ((one, -first) < (other, -second))
    key, tail = keys.split(names[0], 8)
    assert (key, keys.order_of(tail), keys.key_at(names[0])) == (one, first, one)


# A piece from anywhere decrypts as it would within the whole.
@given(st.binary(min_size=1, max_size=100), st.integers(0, 99))
def test_encryption_from_anywhere(data: bytes, offset: int) -> None:
    key, nonce = b"k" * 32, b"n" * 8
    whole = encryption.cipher(key, nonce)(data)
    assert encryption.cipher(key, nonce, offset)(whole[offset:]) == data[offset:]


# The CRC of a whole comes out of its parts, however it was cut.
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_crc_of_parts(parts: list[bytes]) -> None:
    sums = [(base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode(), len(part)) for part in parts]
    whole = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    assert checksums.full_object("CRC32", sums) == whole


# All ten algorithms, in pieces or at once, are of their size and can be read twice.
@pytest.mark.parametrize("name", sorted(checksums.SIZE_BYTES))
def test_algorithms(name: str) -> None:
    pieces, once = checksums.start(name), checksums.start(name)
    pieces.update(b"one")
    pieces.update(b"two")
    once.update(b"onetwo")
    assert pieces.digest() == once.digest() == once.digest()
    assert len(once.digest()) == checksums.SIZE_BYTES[name]


# Ids that were made up are none of ours, or name an order that holds nothing; never an error.
@given(st.text(max_size=40))
def test_any_version_id(text: str) -> None:
    order = versions.order_of(text)
    assert order is None or 0 <= order <= keys.ORDER_MAX


# A copy source is bucket, key and version, percent-encoded; everything else is refused as an argument.
@given(st.text(max_size=30))
def test_any_copy_source(text: str) -> None:
    try:
        bucket, key, _ = arns.copy_source(text)
    except AwsError as error:
        if error.code != "InvalidArgument":
            raise
        return
    assert bucket
    assert key


def test_copy_sources() -> None:
    assert arns.copy_source("/b/a%20b+c%2Bd?versionId=v") == ("b", "a b+c+d", "v")
    assert arns.copy_source("b/x/y?z") == ("b", "x/y?z", "")


# The tagging header is a query string or refused, whatever it is.
@given(st.text(max_size=60))
def test_any_tagging_header(text: str) -> None:
    try:
        assert len(tags.from_header(text)) <= 10
    except AwsError as error:
        if error.code not in ("InvalidArgument", "InvalidTag", "BadRequest"):
            raise
