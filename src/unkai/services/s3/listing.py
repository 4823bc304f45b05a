"""Listing objects and versions. A page of common prefixes seeks past what each of them holds.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import base64
import binascii
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unkai.layers import longkeys
from unkai.services.s3 import arns, buckets, errors, keys, limits, rows, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.kernel.ctx import Ctx
    from unkai.services.s3.rows import BucketRow, ObjectRow
    from unkai.store.api import ReadTx

PAGE_MIN, PAGE_MAX = 16, 500
_SAFE = "/-_.*~"

Entry = tuple[bytes, Any]
Read = Any
"""`async read(begin, limit) -> (entries, more)`: entries from a position on. What a position is, `Order` says."""


@dataclass(frozen=True, slots=True)
class Order:
    """How positions are made: `at` gives one before every entry of a key, `after` the one behind an entry."""

    at: Callable[[bytes], bytes]
    after: Callable[[Entry], bytes]


@dataclass(slots=True)
class Page:
    """A page of a listing: entries and common prefixes in one order, at most `limit` together."""

    entries: list[Entry] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    last: bytes = b""
    """The last key or common prefix on the page."""
    truncated: bool = False

    @property
    def size(self) -> int:
        return len(self.entries) + len(self.prefixes)


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all that begin with `prefix`; None where there is none (every key does, or all bytes are FF)."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


BY_KEY = Order(lambda key: key, lambda entry: entry[0] + b"\0")


async def collect(
    read: Read, order: Order, begin: bytes, prefix: bytes, delimiter: bytes, limit: int, skip_prefix: bytes = b""
) -> Page:
    """Walk from the position `begin`. `skip_prefix` is a common prefix that an earlier page has shown."""
    page = Page()
    begin = max(begin, order.at(prefix))
    if skip_prefix and (end := prefix_end(skip_prefix)) is not None:
        begin = max(begin, order.at(end))
    size = PAGE_MIN if delimiter else min(limit + 1, PAGE_MAX)
    while True:
        entries, more = await read(begin, size)
        seen = page.size
        past = b""
        for key, value in entries:
            if key < past:
                continue
            if page.size == limit:
                page.truncated = True
                return page
            found = key.find(delimiter, len(prefix)) if delimiter else -1
            if found < 0:
                page.entries.append((key, value))
                page.last = key
                continue
            page.last = key[: found + len(delimiter)]
            page.prefixes.append(page.last)
            end = prefix_end(page.last)
            if end is None:
                return page
            past = end
        if not more:
            return page
        # The next read starts behind the last entry, or behind the common prefix that it belongs to.
        begin = order.at(past) if past > entries[-1][0] else order.after(entries[-1])
        # Where common prefixes hold much, most of a read is of no use: take little. Where all of it is shown, take more.
        size = min(PAGE_MAX, size * 4) if page.size - seen > size // 2 else PAGE_MIN


def current_reader(tx: ReadTx, bucket: BucketRow, prefix: bytes) -> Read:
    space, end = keys.current(bucket.id), prefix_end(prefix)

    async def read(begin: bytes, limit: int) -> tuple[list[Entry], bool]:
        page = await longkeys.page(tx, space, begin, end, limit=limit)
        return page, len(page) == limit

    return read


# --- what all listings share


def page_size(inp: dict[str, Any], member: str = "MaxKeys") -> int:
    asked = inp.get(member, limits.PAGE_MAX)
    if asked < 0:
        raise errors.invalid_argument(
            "Argument maxKeys must be an integer between 0 and 2147483647", "maxKeys", str(asked)
        )
    return min(int(asked), limits.PAGE_MAX)


def encoder(inp: dict[str, Any]) -> Callable[[bytes], str]:
    """How keys are written: as they are, or percent-encoded where the client asks for that."""
    if inp.get("EncodingType") == "url":
        return lambda raw: quote(raw, safe=_SAFE)
    return lambda raw: raw.decode()


def whole_seconds(ms: int) -> int:
    """S3 keeps time to the second, in headers and lists alike."""
    return ms // 1000 * 1000


def common(page: Page, write: Callable[[bytes], str]) -> dict[str, Any]:
    return {"CommonPrefixes": [{"Prefix": write(each)} for each in page.prefixes]} if page.prefixes else {}


def entry(key: bytes, row: ObjectRow, write: Callable[[bytes], str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Key": write(key),
        "LastModified": whole_seconds(row.modified_ms),
        "ETag": f'"{row.etag}"',
        "Size": row.size,
        "StorageClass": row.storage_class,
    }
    if row.checksums:
        shown |= {"ChecksumAlgorithm": list(row.checksums), "ChecksumType": row.checksum_type}
    return shown


def echo(inp: dict[str, Any], names: tuple[str, ...], write: Callable[[bytes], str]) -> dict[str, Any]:
    out = {name: write(inp[name].encode()) for name in names if inp.get(name)}
    return out | ({"EncodingType": inp["EncodingType"]} if "EncodingType" in inp else {})


async def list_objects_v2(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    limit, write = page_size(inp), encoder(inp)
    prefix, delimiter = inp.get("Prefix", "").encode(), inp.get("Delimiter", "").encode()
    start = inp.get("StartAfter", "").encode()
    if "ContinuationToken" in inp:
        start = _from_token(inp["ContinuationToken"])
    page = Page()
    if limit:
        read = current_reader(tx, bucket, prefix)
        shown = shown_before(start, prefix, delimiter)
        page = await collect(read, BY_KEY, start and start + b"\0", prefix, delimiter, limit, shown)

    contents = [entry(key, rows.decode_object(value), write) for key, value in page.entries]
    if inp.get("FetchOwner"):
        contents = [{**each, "Owner": arns.owner(bucket.account)} for each in contents]
    out: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": write(prefix),
        "MaxKeys": limit,
        "KeyCount": page.size,
        "IsTruncated": page.truncated,
        **echo(inp, ("Delimiter", "StartAfter"), write),
        **common(page, write),
    }
    if contents:
        out["Contents"] = contents
    if "ContinuationToken" in inp:
        out["ContinuationToken"] = inp["ContinuationToken"]
    if page.truncated:
        out["NextContinuationToken"] = _to_token(page.last)
    return out


async def list_objects(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    limit, write = page_size(inp), encoder(inp)
    prefix, delimiter = inp.get("Prefix", "").encode(), inp.get("Delimiter", "").encode()
    start = inp.get("Marker", "").encode()
    page = Page()
    if limit:
        read = current_reader(tx, bucket, prefix)
        shown = shown_before(start, prefix, delimiter)
        page = await collect(read, BY_KEY, start and start + b"\0", prefix, delimiter, limit, shown)

    contents = [
        {**entry(key, rows.decode_object(value), write), "Owner": arns.owner(bucket.account)}
        for key, value in page.entries
    ]
    out: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": write(prefix),
        "Marker": write(start),
        "MaxKeys": limit,
        "IsTruncated": page.truncated,
        **echo(inp, ("Delimiter",), write),
        **common(page, write),
    }
    if contents:
        out["Contents"] = contents
    # Without a delimiter the last key is the marker, and S3 does not repeat it.
    if page.truncated and delimiter:
        out["NextMarker"] = write(page.last)
    return out


def shown_before(start: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """`start` where it is a common prefix itself: then the page before ended with it, and it is not shown again."""
    if not delimiter or not start.startswith(prefix):
        return b""
    found = start.find(delimiter, len(prefix))
    return start if found >= 0 and found + len(delimiter) == len(start) else b""


def _to_token(last: bytes) -> str:
    """Opaque to clients. A position, so it stays right whatever is put or deleted."""
    return base64.urlsafe_b64encode(b"1" + last).decode()


def _from_token(token: str) -> bytes:
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if raw[:1] != b"1" or len(raw) > limits.KEY_SIZE_BYTES_MAX + 1:
        raise errors.invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    return raw[1:]


# --- versions


async def list_object_versions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    limit, write = page_size(inp), encoder(inp)
    prefix, delimiter = inp.get("Prefix", "").encode(), inp.get("Delimiter", "").encode()
    marker, id_marker = inp.get("KeyMarker", "").encode(), inp.get("VersionIdMarker", "")
    if id_marker and not marker:
        raise errors.invalid_argument(
            "A version-id marker cannot be specified without a key marker.", "version-id-marker", id_marker
        )
    begin, skip = keys.escaped(marker) + b"\xff" if marker else b"", shown_before(marker, prefix, delimiter)
    if id_marker:
        begin = await _after_version(tx, bucket, marker, id_marker)
    page = Page()
    if limit:
        page = await collect(version_reader(tx, bucket, prefix), BY_VERSION, begin, prefix, delimiter, limit, skip)

    shown, markers = [], []
    for key, (row, is_latest) in page.entries:
        one = {"IsLatest": is_latest, "VersionId": row.version, "Owner": arns.owner(bucket.account)}
        if row.source == rows.DELETE_MARKER:
            markers.append({"Key": write(key), "LastModified": whole_seconds(row.modified_ms), **one})
        else:
            shown.append({**entry(key, row, write), **one})
    out: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": write(prefix),
        "KeyMarker": write(marker),
        "VersionIdMarker": id_marker,
        "MaxKeys": limit,
        "IsTruncated": page.truncated,
        **echo(inp, ("Delimiter",), write),
        **common(page, write),
    }
    out |= ({"Versions": shown} if shown else {}) | ({"DeleteMarkers": markers} if markers else {})
    if page.truncated:
        out["NextKeyMarker"] = write(page.last)
        if page.entries and page.entries[-1][0] == page.last:
            out["NextVersionIdMarker"] = page.entries[-1][1][0].version
    return out


BY_VERSION = Order(
    lambda key: keys.escaped(key)[:-1],
    lambda entry: keys.version(entry[0], entry[1][0].order) + b"\0",
)


def version_reader(tx: ReadTx, bucket: BucketRow, prefix: bytes) -> Read:
    """Entries (key, (row, is_latest)) of both spaces in one order: current objects, other versions, delete markers."""
    end = prefix_end(prefix)
    versions_end = keys.escaped(end)[:-1] if end is not None else None

    async def read(begin: bytes, limit: int) -> tuple[list[Entry], bool]:
        kept = await longkeys.page(tx, keys.versions(bucket.id), begin, versions_end, limit=limit)
        now = await longkeys.page(tx, keys.current(bucket.id), keys.key_at(begin), end, limit=limit)
        found: list[tuple[bytes, Entry]] = []
        for name, value in kept:
            row = rows.decode_object(value)
            is_latest = row.source == rows.DELETE_MARKER and not row.noncurrent_ms
            found.append((name, (keys.split(name, 8)[0], (row, is_latest))))
        for key, value in now:
            row = rows.decode_object(value)
            found.append((keys.version(key, row.order), (key, (row, True))))
        # What one space holds is known only up to its last entry, where its page is full.
        full = [found[len(kept) - 1][0]] if len(kept) == limit else []
        full += [found[-1][0]] if len(now) == limit else []
        known = min(full, default=None)
        found = [each for each in found if each[0] >= begin and (known is None or each[0] <= known)]
        found.sort(key=operator.itemgetter(0))
        return [each[1] for each in found], known is not None

    return read


async def _after_version(tx: ReadTx, bucket: BucketRow, key: bytes, version_id: str) -> bytes:
    """The position behind a version, which may be gone meanwhile: its id tells where it was."""
    order = versions.order_of(version_id)
    if version_id == versions.NULL:
        found = await versions.find(tx, bucket, key, version_id)
        order = found[0].order if found else 0
    if order is None or order > keys.ORDER_MAX:
        raise errors.invalid_argument("Invalid version id specified", "version-id-marker", version_id)
    return keys.version(key, order) + b"\0"
