"""Copies of objects."""

from __future__ import annotations

import os
from typing import Any

import pytest
from botocore.exceptions import ClientError


# Metadata goes along, or is replaced; so do tags.
def test_metadata_and_tags(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=b"x", Metadata={"a": "1"}, ContentType="a/b", Tagging="t=1")
    source = {"Bucket": bucket, "Key": name}
    out = s3.copy_object(Bucket=bucket, Key=f"{name}-1", CopySource=source)
    assert out["CopyObjectResult"]["ETag"] == s3.head_object(Bucket=bucket, Key=name)["ETag"]
    copied = s3.get_object(Bucket=bucket, Key=f"{name}-1")
    assert (copied["Metadata"], copied["ContentType"], copied["TagCount"]) == ({"a": "1"}, "a/b", 1)
    s3.copy_object(
        Bucket=bucket,
        Key=f"{name}-2",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
        TaggingDirective="REPLACE",
        Tagging="u=2",
    )
    replaced = s3.get_object(Bucket=bucket, Key=f"{name}-2")
    assert (replaced["Metadata"], replaced["ContentType"]) == ({"b": "2"}, "binary/octet-stream")
    assert s3.get_object_tagging(Bucket=bucket, Key=f"{name}-2")["TagSet"] == [{"Key": "u", "Value": "2"}]


# Large objects are copied by their bytes: source and copy are independent, and encoded keys are found.
def test_large(s3: Any, bucket: str, name: str) -> None:
    data, key = os.urandom(2_500_000), f"{name} ü+&"
    s3.put_object(Bucket=bucket, Key=key, Body=data)
    s3.copy_object(Bucket=bucket, Key=f"{name}-copy", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.get_object(Bucket=bucket, Key=f"{name}-copy")["Body"].read() == data


# A copy onto itself has to change something.
def test_onto_itself(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    source = {"Bucket": bucket, "Key": name}
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=bucket, Key=name, CopySource=source)
    assert error.value.response["Error"]["Code"] == "InvalidRequest"
    s3.copy_object(Bucket=bucket, Key=name, CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "1"})
    assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == b"x"


# Conditions speak of the source; a missing source is 404, a source without a key no source.
def test_refusals(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    source = {"Bucket": bucket, "Key": name}
    for inp, code in (
        ({"CopySource": source, "CopySourceIfMatch": '"no"'}, "PreconditionFailed"),
        ({"CopySource": {"Bucket": bucket, "Key": "missing"}}, "NoSuchKey"),
        ({"CopySource": {"Bucket": f"{bucket}-missing", "Key": "k"}}, "NoSuchBucket"),
        ({"CopySource": "only-a-bucket"}, "InvalidArgument"),
    ):
        with pytest.raises(ClientError) as error:
            s3.copy_object(Bucket=bucket, Key=f"{name}-x", **inp)
        assert error.value.response["Error"]["Code"] == code


# A version is named in the source; encryption may change on the way.
def test_versions_and_encryption(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"first" * 1000)["VersionId"]
    s3.put_object(Bucket=versioned, Key="k", Body=b"second")
    key = {"SSECustomerKey": "k" * 32, "SSECustomerAlgorithm": "AES256"}
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    out = s3.copy_object(Bucket=versioned, Key="copy", CopySource=source, **key)
    assert out["CopySourceVersionId"] == first
    assert s3.get_object(Bucket=versioned, Key="copy", **key)["Body"].read() == b"first" * 1000
    back = {f"CopySource{name}": value for name, value in key.items()}
    s3.copy_object(Bucket=versioned, Key="plain", CopySource={"Bucket": versioned, "Key": "copy"}, **back)
    assert s3.get_object(Bucket=versioned, Key="plain")["Body"].read() == b"first" * 1000
