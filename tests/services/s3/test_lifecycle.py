"""Lifecycle rules, carried out as the clock is moved over midnights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

DAY_S = 86_400


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    given = [{"Status": "Enabled", "Filter": {"Prefix": ""}, **rule} for rule in rules]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})


def keys(s3: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


# Objects go at the midnight after their days, by prefix, tag and size; the header says when.
def test_expiration(s3: Any, name: str, advance: Callable[[float], None]) -> None:
    s3.create_bucket(Bucket=name)
    put_rules(
        s3,
        name,
        {"ID": "logs", "Filter": {"Prefix": "log/"}, "Expiration": {"Days": 2}},
        {"ID": "tagged", "Filter": {"Tag": {"Key": "t", "Value": "1"}}, "Expiration": {"Days": 1}},
    )
    put = s3.put_object(Bucket=name, Key="log/1", Body=b"x")
    assert 'rule-id="logs"' in put["Expiration"]
    assert 'expiry-date="' in s3.head_object(Bucket=name, Key="log/1")["Expiration"]
    s3.put_object(Bucket=name, Key="tagged", Body=b"x" * 50_000, Tagging="t=1")
    s3.put_object(Bucket=name, Key="kept", Body=b"x")
    advance(2 * DAY_S)
    assert keys(s3, name) == ["kept", "log/1"]
    advance(1.1 * DAY_S)
    assert keys(s3, name) == ["kept"]


# With versions: a delete marker comes, noncurrent versions go after their days, then the lonely marker.
def test_versions(s3: Any, versioned: str, advance: Callable[[float], None]) -> None:
    put_rules(
        s3,
        versioned,
        {"ID": "a", "Expiration": {"Days": 1}},
        {"ID": "b", "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 1}},
        {"ID": "c", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    for _ in range(3):
        s3.put_object(Bucket=versioned, Key="k", Body=b"x")
    advance(2.1 * DAY_S)
    out = s3.list_object_versions(Bucket=versioned)
    assert (len(out["Versions"]), len(out["DeleteMarkers"])) == (3, 1)
    advance(4 * DAY_S)
    assert len(s3.list_object_versions(Bucket=versioned)["Versions"]) == 1, "the newest noncurrent one is kept"
    put_rules(
        s3,
        versioned,
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"ID": "c", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    advance(2.1 * DAY_S)
    out = s3.list_object_versions(Bucket=versioned)
    assert "Versions" not in out
    assert "DeleteMarkers" not in out


# Uploads that nobody completes are aborted; storage classes change where a rule says so.
def test_uploads_and_transitions(s3: Any, name: str, advance: Callable[[float], None]) -> None:
    s3.create_bucket(Bucket=name)
    put_rules(
        s3,
        name,
        {"ID": "a", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"ID": "t", "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]},
    )
    upload_id = s3.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    s3.upload_part(Bucket=name, Key="k", UploadId=upload_id, PartNumber=1, Body=b"x" * 40_000)
    s3.put_object(Bucket=name, Key="o", Body=b"")
    advance(2.1 * DAY_S)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)
    assert s3.head_object(Bucket=name, Key="o")["StorageClass"] == "GLACIER_IR"


# Rules that make no sense are refused; an id is made where none is given; deleting ends it.
def test_configuration(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    put_rules(s3, name, {"Expiration": {"Days": 1}})
    got = s3.get_bucket_lifecycle_configuration(Bucket=name)
    assert got["Rules"][0]["ID"]
    assert got["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    for rules, code in (
        ([{"Expiration": {"Days": 0}}], "InvalidArgument"),
        ([{"ID": "x", "Expiration": {"Days": 1}}, {"ID": "x", "Expiration": {"Days": 1}}], "InvalidArgument"),
        ([{"Status": "on", "Expiration": {"Days": 1}}], "MalformedXML"),
        ([{"ID": "x" * 256, "Expiration": {"Days": 1}}], "InvalidArgument"),
        ([{}], "InvalidRequest"),
    ):
        with pytest.raises(ClientError) as error:
            put_rules(s3, name, *rules)
        assert error.value.response["Error"]["Code"] == code
    s3.delete_bucket_lifecycle(Bucket=name)
    with pytest.raises(ClientError):
        s3.get_bucket_lifecycle_configuration(Bucket=name)
