"""Who may do what: bucket policies, and the block on public ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from unkai.services.s3.policies import restricted


def policy(bucket: str, **statement: Any) -> str:
    made = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [made | statement]})


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


# A new bucket refuses a public policy; with the block lifted it is taken, and anybody may read.
def test_public_reads(s3: Any, endpoint: str, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"hello")
    assert urllib3.request("GET", f"{endpoint}/{name}/k").status == 403
    with pytest.raises(ClientError) as error:
        s3.put_bucket_policy(Bucket=name, Policy=policy(name))
    assert code(error) == "AccessDenied"
    s3.delete_public_access_block(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=policy(name))
    assert s3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is True
    assert urllib3.request("GET", f"{endpoint}/{name}/k").data == b"hello"
    assert urllib3.request("PUT", f"{endpoint}/{name}/k", body=b"x").status == 403
    # RestrictPublicBuckets takes effect on a policy that is there already.
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert urllib3.request("GET", f"{endpoint}/{name}/k").status == 403
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]) == json.loads(policy(name))
    s3.delete_bucket_policy(Bucket=name)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_policy(Bucket=name)
    assert code(error) == "NoSuchBucketPolicy"


# Statements for everybody are not public where a condition names fixed addresses; a wildcard address fixes nothing.
def test_what_is_public(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    narrow = {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    s3.put_bucket_policy(Bucket=name, Policy=policy(name, **narrow))
    assert s3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is False
    s3.put_bucket_policy(Bucket=name, Policy=policy(name, Principal={"AWS": "123456789012"}))
    for wide in (
        {"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "64.0.0.0/2"]}}},
        {"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}},
        {"Condition": {"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}},
        {"Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/x"}}},
        {"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}},
        {"Principal": {"AWS": ["*"]}},
    ):
        with pytest.raises(ClientError) as error:
            s3.put_bucket_policy(Bucket=name, Policy=policy(name, **wide))
        assert code(error) == "AccessDenied"


# Conditions on a listing's prefix are compared with what the request asks for.
def test_condition_keys(s3: Any, endpoint: str, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.delete_public_access_block(Bucket=name)
    listing = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{name}"}
    only = {"Condition": {"StringEquals": {"s3:prefix": "public/"}}}
    s3.put_bucket_policy(Bucket=name, Policy=policy(name, **listing, **only))
    assert urllib3.request("GET", f"{endpoint}/{name}?list-type=2&prefix=public/").status == 200
    assert urllib3.request("GET", f"{endpoint}/{name}?list-type=2&prefix=private/").status == 403
    assert urllib3.request("GET", f"{endpoint}/{name}?list-type=2").status == 403


# A policy speaks of this bucket and of S3, in IAM's grammar.
@pytest.mark.parametrize(
    "bad",
    [
        {"Resource": "arn:aws:s3:::another-bucket/*"},
        {"Action": "sqs:SendMessage"},
        {"Principal": {"Wrong": "*"}},
        {"Effect": "Perhaps"},
    ],
)
def test_malformed(s3: Any, bucket: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, **bad))
    assert code(error) == "MalformedPolicy"


# Under RestrictPublicBuckets only services and principals of the owner's account are left; what names nobody else goes.
def test_restricted() -> None:
    own = "arn:aws:iam::123456789012:role/own"
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"},
        {
            "Effect": "Allow",
            "Principal": {"AWS": [own, "999999999999"], "Service": "x.amazonaws.com"},
            "Action": "s3:*",
        },
        {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "s3:*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"},
    ]
    left = json.loads(restricted(json.dumps({"Statement": statements}), "123456789012"))["Statement"]
    assert [each["Principal"] for each in left] == [
        {"AWS": ["123456789012"]},
        {"AWS": [own], "Service": "x.amazonaws.com"},
        "*",
    ]
