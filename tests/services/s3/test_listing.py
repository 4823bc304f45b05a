"""Listings against a sorted list, with every combination of prefix, delimiter, position and page size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.s3.s3_world import World, world
from unkai.services.s3 import listing

_part = st.sampled_from(["a", "b", "ab", "/", "//", "~", "é", "x" * 300, "x" * 441])
_key = st.lists(_part, min_size=1, max_size=3).map("".join).filter(lambda key: len(key) < 1000)


@pytest.fixture(scope="module", autouse=True)
def small_reads() -> Iterator[None]:
    """Reads of two rows at a time, so that listings of a few keys take many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "PAGE_MIN", 2)
        yield


def expected_page(
    keys: list[str], prefix: str, delimiter: str, after: str, limit: int
) -> tuple[list[str], list[str], bool]:
    """Keys and common prefixes of one page, by the documentation: both count, in one order."""
    shown: list[tuple[str, bool]] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = (key[: at + len(delimiter)], True) if at >= 0 else (key, False)
        if entry[1] and (entry[0] == after or key.encode() <= after.encode()):
            continue
        if not entry[1] and key.encode() <= after.encode():
            continue
        if entry not in shown:
            shown.append(entry)
    page = shown[:limit]
    return (
        [key for key, is_prefix in page if not is_prefix],
        [key for key, is_prefix in page if is_prefix],
        len(shown) > limit,
    )


async def walk(w: World, operation: str, limit: int, **inp: Any) -> tuple[list[str], list[str]]:
    """All pages put together."""
    keys: list[str] = []
    prefixes: list[str] = []
    while True:
        out = await w.call(operation, Bucket="listed", MaxKeys=limit, **inp)
        page = [each["Key"] for each in out.get("Contents", [])]
        found = [each["Prefix"] for each in out.get("CommonPrefixes", [])]
        assert 0 < len(page) + len(found) <= limit or not out["IsTruncated"]
        keys += page
        prefixes += found
        if not out["IsTruncated"]:
            return keys, prefixes
        if operation == "ListObjectsV2":
            inp["ContinuationToken"] = out["NextContinuationToken"]
        else:
            inp["Marker"] = out.get("NextMarker") or page[-1]


# Whatever is stored and asked for, the pages together are what a sorted list gives, and each page is full.
@settings(max_examples=150, deadline=None)
@given(
    st.lists(_key, max_size=12, unique=True),
    st.sampled_from(["", "a", "ab", "x" * 441, "/"]),
    st.sampled_from(["", "/", "b", "//"]),
    _key,
    st.integers(1, 4),
)
def test_like_a_sorted_list(keys: list[str], prefix: str, delimiter: str, after: str, limit: int) -> None:
    async def scenario() -> None:
        async with world(conflict=0.0) as w:
            await w.call("CreateBucket", Bucket="listed")
            for key in keys:
                await w.call("PutObject", Bucket="listed", Key=key, Body=b"")
            inp = {"Prefix": prefix, "Delimiter": delimiter}
            first = await w.call("ListObjectsV2", Bucket="listed", MaxKeys=limit, StartAfter=after, **inp)
            page, prefixes, truncated = expected_page(keys, prefix, delimiter, after, limit)
            assert [each["Key"] for each in first.get("Contents", [])] == page
            assert [each["Prefix"] for each in first.get("CommonPrefixes", [])] == prefixes
            assert first["IsTruncated"] == truncated
            everything = expected_page(keys, prefix, delimiter, "", 1000)[:2]
            assert await walk(w, "ListObjectsV2", limit, **inp) == everything
            assert await walk(w, "ListObjects", limit, **inp) == everything

    asyncio.run(scenario())


# A page of common prefixes jumps over what they hold: its cost does not grow with the objects below.
def test_common_prefixes_are_skipped() -> None:
    async def scenario() -> int:
        async with world(conflict=0.0) as w:
            await w.call("CreateBucket", Bucket="listed")
            for folder in range(5):
                for at in range(120):
                    await w.call("PutObject", Bucket="listed", Key=f"{folder}/{at}", Body=b"")
            read = 0
            moment = w.platform.engine.snapshot()
            original = type(moment).get_range
            moment.close()

            async def counting(self: Any, *args: Any, **more: Any) -> Any:
                nonlocal read
                pairs = await original(self, *args, **more)
                read += len(pairs)
                return pairs

            type(moment).get_range = counting  # type: ignore[method-assign]
            try:
                out = await w.call("ListObjectsV2", Bucket="listed", Delimiter="/")
            finally:
                type(moment).get_range = original  # type: ignore[method-assign]
            assert [each["Prefix"] for each in out["CommonPrefixes"]] == [f"{folder}/" for folder in range(5)]
            return read

    assert asyncio.run(scenario()) < 50


# encoding-type=url percent-encodes keys; boto3 asks for it and decodes. Owners are shown on request in version 2.
def test_encoding_and_owner(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a b/ü&<\x01", Body=b"")
    out = s3.list_objects_v2(Bucket=name, FetchOwner=True)
    assert out["Contents"][0]["Key"] == "a b/ü&<\x01"
    assert len(out["Contents"][0]["Owner"]["ID"]) == 64
    assert out["KeyCount"] == 1
    assert s3.list_objects(Bucket=name)["Contents"][0]["Key"] == "a b/ü&<\x01"
    assert s3.list_objects_v2(Bucket=name, MaxKeys=0)["IsTruncated"] is False


# A token that was made up, and a negative page size, are refused.
def test_bad_positions(s3: Any, bucket: str) -> None:
    for more in ({"ContinuationToken": "x!"}, {"ContinuationToken": ""}, {"MaxKeys": -1}):
        with pytest.raises(ClientError) as error:
            s3.list_objects_v2(Bucket=bucket, **more)
        assert error.value.response["Error"]["Code"] == "InvalidArgument"


# Versions and delete markers are listed with prefixes too: each key as often as it has versions, each common prefix once.
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d/1", "d/2", "e"]), st.integers(1, 3)), min_size=3, max_size=8),
    st.sampled_from(["", "/"]),
    st.integers(1, 4),
)
def test_versions_with_prefixes(puts: list[tuple[str, int]], delimiter: str, limit: int) -> None:
    async def scenario() -> None:
        async with world(conflict=0.0) as w:
            await w.call("CreateBucket", Bucket="listed")
            await w.call("PutBucketVersioning", Bucket="listed", VersioningConfiguration={"Status": "Enabled"})
            expected: list[str] = []
            for key, times in puts:
                expected += [key] * times
                for _ in range(times):
                    await w.call("PutObject", Bucket="listed", Key=key, Body=b"")
            rolled = [key for key in expected if delimiter and delimiter in key]
            found: list[str] = []
            prefixes: list[str] = []
            inp: dict[str, Any] = {"Delimiter": delimiter}
            while True:
                out = await w.call("ListObjectVersions", Bucket="listed", MaxKeys=limit, **inp)
                found += [each["Key"] for each in out.get("Versions", [])]
                prefixes += [each["Prefix"] for each in out.get("CommonPrefixes", [])]
                if not out["IsTruncated"]:
                    break
                inp["KeyMarker"] = out["NextKeyMarker"]
                inp["VersionIdMarker"] = out.get("NextVersionIdMarker", "")
            assert found == sorted(key for key in expected if key not in rolled)
            assert prefixes == (["d/"] if rolled else [])

    asyncio.run(scenario())
