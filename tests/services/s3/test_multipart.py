"""Multipart uploads: from parts to an object that was never copied together."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

MB = 1024 * 1024
PARTS = [os.urandom(5 * MB), os.urandom(5 * MB + 3), os.urandom(1000)]


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def upload(s3: Any, bucket: str, key: str, parts: list[bytes], **more: Any) -> tuple[str, list[dict[str, Any]]]:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    keys = {name: value for name, value in more.items() if name.startswith("SSEC") or name == "ChecksumAlgorithm"}
    done = []
    for number, part in enumerate(parts, 1):
        out = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=part, **keys)
        sums = {name: value for name, value in out.items() if name.startswith("Checksum")}
        done.append({"PartNumber": number, "ETag": out["ETag"], **sums})
    return upload_id, done


def complete(s3: Any, bucket: str, key: str, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


# The object is the parts in order, with S3's ETag of ETags; a part or any range of it can be read alone.
def test_upload_in_parts(s3: Any, bucket: str, name: str) -> None:
    whole = b"".join(PARTS)
    upload_id, parts = upload(s3, bucket, name, PARTS, Metadata={"a": "b"}, ContentType="x/y")
    out = complete(s3, bucket, name, upload_id, parts)
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in PARTS)).hexdigest()
    assert out["ETag"] == f'"{digest}-3"'
    got = s3.get_object(Bucket=bucket, Key=name)
    assert got["Body"].read() == whole
    assert (got["ContentLength"], got["Metadata"], got["ContentType"]) == (len(whole), {"a": "b"}, "x/y")
    for begin, end in ((0, 10), (5 * MB - 5, 5 * MB + 5), (len(whole) - 3, len(whole)), (3, len(whole) - 3)):
        got = s3.get_object(Bucket=bucket, Key=name, Range=f"bytes={begin}-{end - 1}")
        assert got["Body"].read() == whole[begin:end]
    second = s3.get_object(Bucket=bucket, Key=name, PartNumber=2)
    assert second["Body"].read() == PARTS[1]
    assert (second["PartsCount"], second["ResponseMetadata"]["HTTPStatusCode"]) == (3, 206)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key=name, PartNumber=4)
    assert code(error) == "InvalidPartNumber"
    attributes = s3.get_object_attributes(Bucket=bucket, Key=name, ObjectAttributes=["ObjectParts"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3


# A client that lost the answer completes again and is told the same; an upload that is over takes no parts.
def test_complete_again(s3: Any, bucket: str, name: str) -> None:
    upload_id, parts = upload(s3, bucket, name, [b"x"])
    first = complete(s3, bucket, name, upload_id, parts)
    assert complete(s3, bucket, name, upload_id, parts)["ETag"] == first["ETag"]
    with pytest.raises(ClientError) as error:
        s3.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=1, Body=b"")
    assert code(error) == "NoSuchUpload"


# What the list of parts says is compared with what was uploaded.
def test_refused_completions(s3: Any, bucket: str, name: str) -> None:
    upload_id, parts = upload(s3, bucket, name, [b"small", b"small too"])
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([parts[0], {**parts[1], "ETag": '"0123"'}], "InvalidPart"),
        ([parts[0], {"PartNumber": 9, "ETag": parts[1]["ETag"]}], "InvalidPart"),
        ([parts[1], parts[0]], "InvalidPartOrder"),
        (parts, "EntityTooSmall"),
        ([], "MalformedXML"),
    ]
    for given, expected in cases:
        with pytest.raises(ClientError) as error:
            complete(s3, bucket, name, upload_id, given)
        assert code(error) == expected
    # Only the listed parts become the object.
    complete(s3, bucket, name, upload_id, [parts[1]])
    assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == b"small too"


# A part under the same number replaces the one before; listing pages by number.
def test_list_parts(s3: Any, bucket: str, name: str) -> None:
    upload_id, _ = upload(s3, bucket, name, [b"1", b"22", b"333"])
    s3.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=2, Body=b"4444")
    page = s3.list_parts(Bucket=bucket, Key=name, UploadId=upload_id, MaxParts=2)
    assert [(each["PartNumber"], each["Size"]) for each in page["Parts"]] == [(1, 1), (2, 4)]
    assert page["IsTruncated"] is True
    rest = s3.list_parts(Bucket=bucket, Key=name, UploadId=upload_id, PartNumberMarker=page["NextPartNumberMarker"])
    assert [each["PartNumber"] for each in rest["Parts"]] == [3]
    s3.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id)
    for call in (s3.list_parts, s3.abort_multipart_upload):
        with pytest.raises(ClientError) as error:
            call(Bucket=bucket, Key=name, UploadId=upload_id)
        assert code(error) == "NoSuchUpload"


# Uploads that go on are listed by key and time, with prefixes and pages.
def test_list_uploads(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    ids = [s3.create_multipart_upload(Bucket=name, Key=key)["UploadId"] for key in ("a", "d/1", "d/2", "z", "z")]
    out = s3.list_multipart_uploads(Bucket=name, Delimiter="/")
    assert [each["Key"] for each in out["Uploads"]] == ["a", "z", "z"]
    assert [each["Prefix"] for each in out["CommonPrefixes"]] == ["d/"]
    found: list[str] = []
    position: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=name, MaxUploads=2, **position)
        found += [each["UploadId"] for each in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert found[:3] == ids[:3]
    assert set(found[3:]) == set(ids[3:])
    # Uploads are no content: the bucket can go, and they go with it.
    s3.delete_bucket(Bucket=name)


# Full-object CRCs are computed from those of the parts; composite checksums are sums of sums.
@pytest.mark.parametrize(
    ("algorithm", "kind"), [("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE")]
)
def test_checksums(s3: Any, bucket: str, name: str, algorithm: str, kind: str) -> None:
    given = {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    parts = [PARTS[0], b"end"]
    upload_id, done = upload(s3, bucket, name, parts, **given)
    out = complete(s3, bucket, name, upload_id, done, ChecksumType=kind)
    if kind == "FULL_OBJECT":
        expected = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    elif algorithm == "SHA256":
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
        expected = base64.b64encode(digest).decode() + "-2"
    else:
        sums = b"".join(zlib.crc32(part).to_bytes(4, "big") for part in parts)
        expected = base64.b64encode(zlib.crc32(sums).to_bytes(4, "big")).decode() + "-2"
    assert out[f"Checksum{algorithm}"] == expected
    head = s3.head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, kind)


# Without an algorithm S3 makes a CRC64NVME of the whole, whatever the client sends with its parts; their sums need not be listed.
def test_default_checksum(s3: Any, bucket: str, name: str) -> None:
    upload_id, done = upload(s3, bucket, name, [PARTS[0], b"end"])
    out = complete(s3, bucket, name, upload_id, [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in done])
    s3.put_object(Bucket=bucket, Key=f"{name}-whole", Body=PARTS[0] + b"end", ChecksumAlgorithm="CRC64NVME")
    whole = s3.head_object(Bucket=bucket, Key=f"{name}-whole", ChecksumMode="ENABLED")
    assert (out["ChecksumCRC64NVME"], out["ChecksumType"]) == (whole["ChecksumCRC64NVME"], "FULL_OBJECT")


# Parts are copied from other objects, whole or by range.
def test_copied_parts(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=f"{name}-source", Body=PARTS[0])
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
    source = {"Bucket": bucket, "Key": f"{name}-source"}
    common = {"Bucket": bucket, "Key": name, "UploadId": upload_id, "CopySource": source}
    first = s3.upload_part_copy(PartNumber=1, **common)["CopyPartResult"]
    second = s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=10-19", **common)["CopyPartResult"]
    parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["ETag"]}]
    complete(s3, bucket, name, upload_id, parts)
    assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == PARTS[0] + PARTS[0][10:20]
    with pytest.raises(ClientError) as error:
        s3.upload_part_copy(PartNumber=3, CopySourceRange="bytes=0-99999999", **common)
    assert code(error) in ("InvalidArgument", "NoSuchUpload")


# Every part is encrypted under the customer's key by itself, and ranges over their borders come out right.
def test_customer_key(s3: Any, bucket: str, name: str) -> None:
    key = {"SSECustomerKey": "k" * 32, "SSECustomerAlgorithm": "AES256"}
    parts = [PARTS[0], PARTS[2]]
    upload_id, done = upload(s3, bucket, name, parts, **key)
    with pytest.raises(ClientError) as error:
        s3.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=3, Body=b"")
    assert code(error) == "InvalidRequest"
    complete(s3, bucket, name, upload_id, done)
    got = s3.get_object(Bucket=bucket, Key=name, Range=f"bytes={5 * MB - 3}-{5 * MB + 2}", **key)
    assert got["Body"].read() == PARTS[0][-3:] + PARTS[2][:3]


# An object of parts is copied into one whole, whose ETag is its MD5.
def test_copy_of_parts(s3: Any, bucket: str, name: str) -> None:
    upload_id, parts = upload(s3, bucket, name, PARTS)
    complete(s3, bucket, name, upload_id, parts)
    out = s3.copy_object(Bucket=bucket, Key=f"{name}-copy", CopySource={"Bucket": bucket, "Key": name})
    assert out["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"".join(PARTS)).hexdigest()}"'
