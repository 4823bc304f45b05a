"""Putting, getting, deleting objects."""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import os
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


# Bytes come back as they were put, whether they lie in a row (up to 2 KB), a row of their own (32 KB) or a file.
@pytest.mark.parametrize("size", [0, 1, 2048, 2049, 32 * 1024, 32 * 1024 + 1, 3 * 1024 * 1024 + 7])
def test_sizes(s3: Any, bucket: str, name: str, size: int) -> None:
    data = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key=name, Body=data)
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key=name)
    assert got["Body"].read() == data
    assert (got["ContentLength"], got["ETag"]) == (size, put["ETag"])
    assert s3.head_object(Bucket=bucket, Key=name)["ContentLength"] == size


# Streams are sent as aws-chunked with a checksum in the trailer; the object is what was framed, not the frames.
def test_upload_of_a_file(s3: Any, bucket: str, name: str) -> None:
    data = os.urandom(9 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(data), bucket, name)
    target = io.BytesIO()
    s3.download_fileobj(bucket, name, target)
    assert target.getvalue() == data
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key=name)


# Content headers and metadata are kept; response-* parameters replace what is sent for this one answer.
def test_headers(s3: Any, bucket: str, name: str) -> None:
    given = {
        "CacheControl": "max-age=1",
        "ContentDisposition": "inline",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/x-test",
        "Metadata": {"one": "1", "two-words": "a b"},
    }
    s3.put_object(Bucket=bucket, Key=name, Body=b"x", **given)
    head = s3.head_object(Bucket=bucket, Key=name)
    assert {each: head[each] for each in given} == given
    when = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    got = s3.get_object(
        Bucket=bucket, Key=name, ResponseContentType="a/b", ResponseCacheControl="no-store", ResponseExpires=when
    )
    assert (got["ContentType"], got["CacheControl"], got["Expires"]) == ("a/b", "no-store", when)
    s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    assert s3.head_object(Bucket=bucket, Key=name)["ContentType"] == "binary/octet-stream"


# A missing object is 404 with its key; a missing bucket with the bucket's name. HEAD has no body to say so.
def test_missing(s3: Any, bucket: str, name: str) -> None:
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="no/such")
    assert refused(error) == ("NoSuchKey", 404)
    assert error.value.response["Error"]["Key"] == "no/such"
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=name, Key="x")
    assert refused(error) == ("NoSuchBucket", 404)
    assert error.value.response["Error"]["BucketName"] == name
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key="no/such")
    assert refused(error) == ("404", 404)


# Content-MD5 and x-amz-checksum-* are compared with the bytes; nothing is stored where they differ.
def test_digests(s3: Any, bucket: str, name: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x", ContentMD5=wrong)
    assert refused(error) == ("BadDigest", 400)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x", ContentMD5="bad")
    assert refused(error) == ("InvalidDigest", 400)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x" * 100_000, ChecksumSHA256=base64.b64encode(b"1" * 32).decode())
    assert refused(error) == ("BadDigest", 400)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x", ChecksumSHA1="short")
    assert refused(error) == ("InvalidRequest", 400)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=name)


# The checksum that came with an object is stored and shown to those who ask for it.
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(s3: Any, bucket: str, name: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key=name, Body=b"some bytes", ChecksumAlgorithm=algorithm)
    got = s3.head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert f"Checksum{algorithm}" not in s3.head_object(Bucket=bucket, Key=name)


# Keys have at most 1,024 bytes of UTF-8; order and content hold beyond what a key of the store can be.
def test_long_keys(s3: Any, bucket: str) -> None:
    long = "k" * 1000 + "é" * 12
    for key in (long, long[:-1] + "f", "k" * 440, "k" * 441):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    found = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="kkk")["Contents"]]
    assert found == sorted(["k" * 440, "k" * 441, long, long[:-1] + "f"], key=str.encode)
    assert s3.get_object(Bucket=bucket, Key=long)["Body"].read() == long.encode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b"")
    assert refused(error) == ("KeyTooLongError", 400)


# Strange keys are keys like any other: dots and slashes mean nothing.
@pytest.mark.parametrize("key", ["a//b", "/lead", "a/../b", "ü/ö", "a+b c%20", "q?x=1", "x\ty", "&<>\"'"])
def test_strange_keys(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert key in [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]


# Deleting is idempotent; many keys go in one request, each with its own result.
def test_delete(s3: Any, bucket: str, name: str) -> None:
    for at in range(3):
        s3.put_object(Bucket=bucket, Key=f"{name}/{at}", Body=b"")
    assert s3.delete_object(Bucket=bucket, Key=f"{name}/0")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.delete_object(Bucket=bucket, Key=f"{name}/0")["ResponseMetadata"]["HTTPStatusCode"] == 204
    keys = [{"Key": f"{name}/{at}"} for at in range(5)]
    out = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert [each["Key"] for each in out["Deleted"]] == [each["Key"] for each in keys]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=name)


# More metadata than 2 KB is refused before anything is stored.
def test_metadata_limit(s3: Any, bucket: str, name: str) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", Metadata={"a": "x" * 2048})
    assert refused(error) == ("MetadataTooLarge", 400)


# Tags come with the object, are read and replaced, and are counted in the answer.
def test_tags(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=b"", Tagging="no-value")
    assert s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"] == [{"Key": "no-value", "Value": ""}]
    s3.put_object(Bucket=bucket, Key=name, Body=b"", Tagging="a=1&b=two%20words")
    tags = s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}]
    assert s3.get_object(Bucket=bucket, Key=name)["TagCount"] == 2
    s3.put_object_tagging(Bucket=bucket, Key=name, Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    assert s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"] == [{"Key": "c", "Value": ""}]
    s3.delete_object_tagging(Bucket=bucket, Key=name)
    assert s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"] == []
    many = [{"Key": str(at), "Value": ""} for at in range(11)]
    with pytest.raises(ClientError) as error:
        s3.put_object_tagging(Bucket=bucket, Key=name, Tagging={"TagSet": many})
    assert refused(error) == ("BadRequest", 400)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", Tagging="a=1&a=2")
    assert refused(error) == ("InvalidArgument", 400)


# Ranges: from, to, the last; what cannot be satisfied is 416 with the size; several ranges give the whole.
def test_ranges(s3: Any, bucket: str, name: str) -> None:
    data = os.urandom(100_000)
    s3.put_object(Bucket=bucket, Key=name, Body=data)
    for header, expected in (
        ("bytes=0-0", data[:1]),
        ("bytes=99990-", data[99990:]),
        ("bytes=-10", data[-10:]),
        ("bytes=50-1000000", data[50:]),
    ):
        got = s3.get_object(Bucket=bucket, Key=name, Range=header)
        assert got["Body"].read() == expected
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        begin = data.index(expected)
        assert got["ContentRange"] == f"bytes {begin}-{begin + len(expected) - 1}/100000"
    for header in ("bytes=0-1,5-6", "lines=1-2", "bytes=5-2"):
        got = s3.get_object(Bucket=bucket, Key=name, Range=header)
        assert (got["ResponseMetadata"]["HTTPStatusCode"], len(got["Body"].read())) == (200, 100_000)
    for header in ("bytes=100000-", "bytes=-0"):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=bucket, Key=name, Range=header)
        assert refused(error) == ("InvalidRange", 416)


# Conditions on reads: a tag outweighs a date; 304 has no body and carries the tag.
def test_conditional_reads(s3: Any, bucket: str, name: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key=name, Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key=name)["LastModified"]
    old = modified.replace(year=2000)
    assert s3.get_object(Bucket=bucket, Key=name, IfMatch=etag, IfUnmodifiedSince=old)["ETag"] == etag
    assert s3.get_object(Bucket=bucket, Key=name, IfNoneMatch='"other"', IfModifiedSince=modified)["ETag"] == etag
    for condition in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": old}):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=bucket, Key=name, **condition)
        assert refused(error) == ("PreconditionFailed", 412)
    for condition in ({"IfNoneMatch": etag}, {"IfModifiedSince": modified}):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=bucket, Key=name, **condition)
        assert refused(error) == ("304", 304)
        assert error.value.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag


# Conditions on writes: create only where nothing is, replace only what is known.
def test_conditional_writes(s3: Any, bucket: str, name: str) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", IfMatch='"x"')
    assert refused(error) == ("NoSuchKey", 404)
    etag = s3.put_object(Bucket=bucket, Key=name, Body=b"1", IfNoneMatch="*")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=bucket, Key=name, Body=b"2" * 100_000, **condition)
        assert refused(error) == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key=name, Body=b"3", IfMatch=etag)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", IfNoneMatch='"x"')
    assert refused(error) == ("NotImplemented", 501)
    with pytest.raises(ClientError) as error:
        s3.delete_object(Bucket=bucket, Key=name, IfMatch=etag)
    assert refused(error) == ("PreconditionFailed", 412)


# Attributes without the bytes; the ETag has no quotes here.
def test_attributes(s3: Any, bucket: str, name: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key=name, Body=b"abc")["ETag"]
    names = ["ETag", "ObjectSize", "StorageClass", "Checksum", "ObjectParts"]
    out = s3.get_object_attributes(Bucket=bucket, Key=name, ObjectAttributes=names)
    assert (out["ETag"], out["ObjectSize"], out["StorageClass"]) == (etag.strip('"'), 3, "STANDARD")
    assert out["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert "ObjectParts" not in out


# Storage classes are recorded; unknown ones are refused.
def test_storage_class(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=b"", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key=name)["StorageClass"] == "STANDARD_IA"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", StorageClass="WRONG")
    assert refused(error) == ("InvalidStorageClass", 400)


# With a customer's key the bytes are encrypted: the key is needed to read, and another is no key. Ranges work.
@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_customer_keys(s3: Any, bucket: str, name: str, size: int) -> None:
    data, key, other = os.urandom(size), {"SSECustomerKey": "k" * 32}, {"SSECustomerKey": "o" * 32}
    key["SSECustomerAlgorithm"] = other["SSECustomerAlgorithm"] = "AES256"
    put = s3.put_object(Bucket=bucket, Key=name, Body=data, **key)
    assert put["SSECustomerAlgorithm"] == "AES256"
    assert put["ETag"] != f'"{hashlib.md5(data).hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key=name, **key)["Body"].read() == data
    assert s3.get_object(Bucket=bucket, Key=name, Range="bytes=3-7", **key)["Body"].read() == data[3:8]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key=name)
    assert refused(error) == ("InvalidRequest", 400)
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key=name, **other)
    assert refused(error) == ("403", 403)


# What would need a key service says so instead of storing in the clear under its name.
def test_kms_is_refused(s3: Any, bucket: str, name: str) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", ServerSideEncryption="aws:kms")
    assert refused(error) == ("NotImplemented", 501)
    assert s3.put_object(Bucket=bucket, Key=name, Body=b"")["ServerSideEncryption"] == "AES256"
