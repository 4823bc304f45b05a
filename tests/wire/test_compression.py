"""Compressed bodies, and those that would fill the memory."""

from __future__ import annotations

import gzip

import pytest

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import load_service
from unkai.wire.compression import inflate, is_compressed


# botocore compresses PutMetricData beyond 10 KB, whatever the protocol.
def test_a_gzipped_body_is_read() -> None:
    request = HttpRequest("POST", "/", "", {"content-encoding": "gzip"})
    assert is_compressed(load_service("cloudwatch"), request)
    assert inflate(gzip.compress(b"a" * 5000), 5000) == b"a" * 5000


# An object's own Content-Encoding is data: S3 stores and returns it.
def test_an_object_is_left_alone() -> None:
    assert not is_compressed(load_service("s3"), HttpRequest("PUT", "/b/k", "", {"content-encoding": "gzip"}))


# A bomb of a few kilobytes is refused once the limit is passed, not when it is whole.
def test_a_bomb_is_refused() -> None:
    with pytest.raises(AwsError, match="RequestEntityTooLarge"):
        inflate(gzip.compress(b"\0" * 50_000_000), 1_000_000)


@pytest.mark.parametrize("body", [b"", b"plain", gzip.compress(b"x" * 100)[:-9]])
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(AwsError, match="SerializationException"):
        inflate(body, 1000)
