"""Versions, delete markers, suspension: against a list of versions per key, and by the documented examples."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.s3.s3_world import World, world
from unkai.kernel.errors import AwsError

_key = st.sampled_from(["a", "a", "k" * 450, "a\x00b"])
_step = st.tuples(
    st.sampled_from(["put", "put", "delete", "delete version", "get", "versioning", "list"]), _key, st.integers(0, 3)
)


@dataclass
class Model:
    """Versions of each key, newest first: (id, content), content None for a delete marker."""

    state: str = ""
    versions: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def push(self, key: str, version: str, content: bytes | None) -> None:
        kept = self.versions.setdefault(key, [])
        if version == "null":
            kept[:] = [each for each in kept if each[0] != "null"]
        kept.insert(0, (version, content))

    def listed(self) -> list[tuple[str, str, bool, bool]]:
        return [
            (key, version, at == 0, content is None)
            for key in sorted(self.versions, key=str.encode)
            for at, (version, content) in enumerate(self.versions[key])
        ]


# A random program of puts, deletes and changes of state leaves what the model says, page by page, and each step is run twice.
@settings(max_examples=100, deadline=None)
@given(st.lists(_step, min_size=8, max_size=40), st.booleans())
def test_like_a_list_of_versions(steps: list[tuple[str, str, int]], versioned: bool) -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.call("CreateBucket", Bucket="bucket")
            model = Model()
            if versioned:
                await _do(w, model, "versioning", "", 1, b"")
            for number, (action, key, which) in enumerate(steps):
                w.clock.advance(1)
                await _do(w, model, action, key, which, b"%d" % number * (1 + 3000 * which))
                await _compare(w, model, 1 + which)

    asyncio.run(scenario())


async def _do(w: World, model: Model, action: str, key: str, which: int, content: bytes) -> None:
    named: dict[str, Any] = {"Bucket": "bucket", "Key": key}
    kept = model.versions.get(key, [])
    if action == "put":
        out = await w.call("PutObject", **named, Body=content)
        assert ("VersionId" in out) == (model.state == "Enabled")
        model.push(key, out.get("VersionId", "null"), content)
    elif action == "delete":
        out = await w.call("DeleteObject", **named)
        if model.state:
            assert out["DeleteMarker"] is True
            model.push(key, out["VersionId"], None)
        else:
            model.versions.pop(key, None)
    elif action == "delete version" and kept:
        version, was = kept.pop(min(which, len(kept) - 1))
        out = await w.call("DeleteObject", **named, VersionId=version)
        assert out.get("DeleteMarker", False) == (was is None)
        if not kept:
            model.versions.pop(key)
    elif action == "get" and kept:
        version, was = kept[min(which, len(kept) - 1)]
        if was is None:
            with pytest.raises(AwsError, match="MethodNotAllowed"):
                await w.call("GetObject", **named, VersionId=version)
        else:
            assert (await w.call("GetObject", **named, VersionId=version))["Body"] == was
    elif action == "versioning":
        model.state = "Suspended" if which == 0 else "Enabled"
        await w.call("PutBucketVersioning", Bucket="bucket", VersioningConfiguration={"Status": model.state})


async def _compare(w: World, model: Model, limit: int) -> None:
    found: list[tuple[str, str, bool, bool]] = []
    inp: dict[str, Any] = {}
    while True:
        out = await w.call("ListObjectVersions", Bucket="bucket", MaxKeys=limit, **inp)
        page = [(each["Key"], each["VersionId"], each["IsLatest"], False) for each in out.get("Versions", [])]
        page += [(each["Key"], each["VersionId"], each["IsLatest"], True) for each in out.get("DeleteMarkers", [])]
        expected = model.listed()[len(found) : len(found) + limit]
        assert sorted(page) == sorted(expected)
        found += expected
        if not out["IsTruncated"]:
            break
        inp = {"KeyMarker": out["NextKeyMarker"], "VersionIdMarker": out["NextVersionIdMarker"]}
    assert found == model.listed()
    current = [
        key
        for key, versions in sorted(model.versions.items(), key=lambda item: item[0].encode())
        if versions[0][1] is not None
    ]
    assert [each["Key"] for each in (await w.call("ListObjectsV2", Bucket="bucket")).get("Contents", [])] == current
    for key, versions in model.versions.items():
        if versions[0][1] is not None:
            assert (await w.call("GetObject", Bucket="bucket", Key=key))["Body"] == versions[0][1]


# A deleted object answers 404 and says that a delete marker is the reason; naming the marker is 405.
def test_delete_marker(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="k")
    assert marker["DeleteMarker"] is True
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=versioned, Key="k")
    assert error.value.response["Error"]["Code"] == "NoSuchKey"
    assert error.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=versioned, Key="k", VersionId=marker["VersionId"])
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 405
    assert s3.get_object(Bucket=versioned, Key="k", VersionId=first)["Body"].read() == b"1"
    undone = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker["VersionId"])
    assert undone["DeleteMarker"] is True
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == first


# Version ids that nobody gave out are no such version, and what is none at all is an invalid argument.
def test_unknown_versions(s3: Any, versioned: str) -> None:
    version = s3.put_object(Bucket=versioned, Key="k", Body=b"")["VersionId"]
    forged = version[:-1] + ("A" if version[-1] != "A" else "B")
    for given_id, code in ((forged, "NoSuchVersion"), ("null", "NoSuchVersion"), ("x", "InvalidArgument")):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=versioned, Key="k", VersionId=given_id)
        assert error.value.response["Error"]["Code"] == code


# Many versions go in one request; a deleted marker is told apart from a made one.
def test_delete_versions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"")["VersionId"]
    made = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k"}]})["Deleted"][0]
    assert made["DeleteMarker"] is True
    gone = s3.delete_objects(
        Bucket=versioned,
        Delete={
            "Objects": [{"Key": "k", "VersionId": first}, {"Key": "k", "VersionId": made["DeleteMarkerVersionId"]}]
        },
    )["Deleted"]
    assert "DeleteMarker" not in gone[0]
    assert gone[1]["DeleteMarkerVersionId"] == made["DeleteMarkerVersionId"]
    assert "Versions" not in s3.list_object_versions(Bucket=versioned)
    s3.delete_bucket(Bucket=versioned)


# A bucket with versions left is not empty, even where no object is visible.
def test_bucket_with_versions_stays(s3: Any, versioned: str) -> None:
    s3.put_object(Bucket=versioned, Key="k", Body=b"")
    s3.delete_object(Bucket=versioned, Key="k")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=versioned)
    assert error.value.response["Error"]["Code"] == "BucketNotEmpty"
