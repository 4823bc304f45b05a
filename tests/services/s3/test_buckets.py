"""Buckets and their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refused(call: Callable[..., Any], **inp: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(**inp)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


# In us-east-1 making one's own bucket again succeeds; elsewhere it is refused, so that SDKs can tell.
def test_create_again(s3: Any, client: Callable[..., Any], node: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    west = node.client("s3", region_name="eu-west-1")
    here = {"LocationConstraint": "eu-west-1"}
    for none in ("us-east-1", "nowhere"):
        given = {"LocationConstraint": none}
        assert refused(s3.create_bucket, Bucket=f"{name}-x", CreateBucketConfiguration=given) == (
            "InvalidLocationConstraint",
            400,
        )
    assert refused(west.create_bucket, Bucket=f"{name}-w") == ("IllegalLocationConstraintException", 400)
    west.create_bucket(Bucket=f"{name}-w", CreateBucketConfiguration=here)
    assert refused(west.create_bucket, Bucket=f"{name}-w", CreateBucketConfiguration=here) == (
        "BucketAlreadyOwnedByYou",
        409,
    )
    assert s3.get_bucket_location(Bucket=f"{name}-w")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=f"{name}-w")["BucketRegion"] == "eu-west-1"


# Names follow DNS.
@pytest.mark.parametrize(
    "bad",
    ["ab", "Upper", "a..b", "192.168.1.1", "-abc", "abc-", "a.-b", "a-.b", "xn--abc", "a_b", "x" * 64, "abc-s3alias"],
)
def test_names(s3: Any, bad: str) -> None:
    assert refused(s3.create_bucket, Bucket=bad) == ("InvalidBucketName", 400)


# Listing pages by name and filters by prefix.
def test_list_buckets(s3: Any, name: str) -> None:
    for at in range(3):
        s3.create_bucket(Bucket=f"{name}-{at}")
    page = s3.list_buckets(Prefix=name, MaxBuckets=2)
    assert [each["Name"] for each in page["Buckets"]] == [f"{name}-0", f"{name}-1"]
    rest = s3.list_buckets(Prefix=name, MaxBuckets=2, ContinuationToken=page["ContinuationToken"])
    assert [each["Name"] for each in rest["Buckets"]] == [f"{name}-2"]
    assert "ContinuationToken" not in rest


# Only an empty bucket goes; afterwards its name is free and its settings are gone.
def test_delete(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_object(Bucket=name, Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket=name) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    assert refused(s3.head_bucket, Bucket=name) == ("404", 404)
    s3.create_bucket(Bucket=name)
    assert refused(s3.get_bucket_tagging, Bucket=name) == ("NoSuchTagSet", 404)


# A caller who expects another owner is refused.
def test_expected_owner(s3: Any, bucket: str) -> None:
    assert refused(s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="999999999999") == ("AccessDenied", 403)


# What Terraform reads of a new bucket: defaults, or AWS's code for what was never made.
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    ],
)
def test_absent_settings(s3: Any, bucket: str, operation: str, code: str) -> None:
    assert refused(getattr(s3, operation), Bucket=bucket) == (code, 404)


def test_defaults(s3: Any, bucket: str) -> None:
    """A new bucket of AWS blocks public access, has its owner enforced, and encrypts with SSE-S3."""
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert ownership["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    for operation in ("get_bucket_logging", "get_bucket_accelerate_configuration", "get_bucket_versioning"):
        assert set(getattr(s3, operation)(Bucket=bucket)) == {"ResponseMetadata"}
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"


_WEBSITE = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "e.html"}}
_RULE = {
    "ID": "1",
    "Status": "Enabled",
    "Priority": 1,
    "Filter": {"Prefix": ""},
    "DeleteMarkerReplication": {"Status": "Disabled"},
    "Destination": {"Bucket": "arn:aws:s3:::b"},
}
_REPLICATION = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [_RULE]}


# What is put is given back as it was, and is gone after it was deleted.
@pytest.mark.parametrize(
    ("what", "member", "value"),
    [
        ("website", "WebsiteConfiguration", _WEBSITE),
        ("tagging", "Tagging", {"TagSet": [{"Key": "k", "Value": "v"}]}),
        ("cors", "CORSConfiguration", {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}),
        ("logging", "BucketLoggingStatus", {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": "p"}}),
        ("accelerate_configuration", "AccelerateConfiguration", {"Status": "Enabled"}),
        ("request_payment", "RequestPaymentConfiguration", {"Payer": "Requester"}),
    ],
)
def test_kept_settings(s3: Any, bucket: str, what: str, member: str, value: dict[str, Any]) -> None:
    getattr(s3, f"put_bucket_{what}")(Bucket=bucket, **{member: value})
    got = getattr(s3, f"get_bucket_{what}")(Bucket=bucket)
    assert {name: got[name] for name in value} == value
    if hasattr(s3, f"delete_bucket_{what}"):
        getattr(s3, f"delete_bucket_{what}")(Bucket=bucket)
        with pytest.raises(ClientError):
            getattr(s3, f"get_bucket_{what}")(Bucket=bucket)


def test_kept_replication(s3: Any, bucket: str) -> None:
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=_REPLICATION)
    assert s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"] == _REPLICATION
    s3.delete_bucket_replication(Bucket=bucket)


# Settings of which a bucket has many are told apart by id.
def test_configurations_with_ids(s3: Any, bucket: str) -> None:
    for each in ("one", "two"):
        s3.put_bucket_metrics_configuration(Bucket=bucket, Id=each, MetricsConfiguration={"Id": each})
    out = s3.list_bucket_metrics_configurations(Bucket=bucket)["MetricsConfigurationList"]
    assert [each["Id"] for each in out] == ["one", "two"]
    s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="one")
    assert refused(s3.get_bucket_metrics_configuration, Bucket=bucket, Id="one") == ("NoSuchConfiguration", 404)
    assert s3.get_bucket_metrics_configuration(Bucket=bucket, Id="two")["MetricsConfiguration"] == {"Id": "two"}


# Lists of grants are off: saying what is so anyway is fine, saying anything else is refused.
def test_acls(s3: Any, bucket: str, name: str) -> None:
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == ("AccessControlListNotSupported", 400)
    assert refused(s3.put_object, Bucket=bucket, Key=name, Body=b"", ACL="public-read") == (
        "AccessControlListNotSupported",
        400,
    )
    s3.put_object(Bucket=bucket, Key=name, Body=b"", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket=bucket, Key=name)["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"


# What would have to be enforced and is not yet says so.
def test_object_lock_is_refused(s3: Any, bucket: str, name: str) -> None:
    assert refused(s3.create_bucket, Bucket=name, ObjectLockEnabledForBucket=True) == ("NotImplemented", 501)
    lock = {"ObjectLockEnabled": "Enabled"}
    assert refused(s3.put_object_lock_configuration, Bucket=bucket, ObjectLockConfiguration=lock) == (
        "NotImplemented",
        501,
    )


# A body that is no XML, or not the operation's, is refused as such.
def test_malformed_bodies(s3: Any, bucket: str) -> None:
    assert refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "On"}) == (
        "MalformedXML",
        400,
    )
    assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": []}) == ("MalformedXML", 400)
