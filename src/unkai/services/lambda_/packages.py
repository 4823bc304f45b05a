"""Deployment packages: zip archives, from the request or from S3, checked by their central directory alone and kept as blobs.

A package is used by versions of functions and of layers; the last one to let go of it gives the blob up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import zipfile
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.layers import blobs
from unkai.services.lambda_ import errors, keys, limits
from unkai.services.lambda_.rows import PackageUse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import BlobWriter, Node
    from unkai.store.api import ReadTx, Tx

PIECE_SIZE_BYTES = 1024 * 1024
URL_PREFIX = "/_lambda/code/"
OWNER = b"lambda"


def check_zip(data: bytes, size_bytes_max: int = limits.UNZIPPED_SIZE_BYTES_MAX) -> None:
    """What the archive says of itself. The runtime counts again while it unpacks, so a lie here gains nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError, EOFError, KeyError):
        raise errors.cannot_unzip() from None
    if not entries:
        raise errors.invalid_parameter("Uploaded file must be a non-empty zip")
    if len(entries) > limits.ZIP_ENTRIES_MAX or sum(entry.file_size for entry in entries) >= size_bytes_max:
        raise errors.invalid_parameter(f"Unzipped size must be smaller than {limits.UNZIPPED_SIZE_BYTES_MAX} bytes")


async def receive(ctx: Ctx, node: Node, code: Mapping[str, Any], operation: str) -> bytes:
    """The archive that a request carries or names, checked."""
    if "ImageUri" in code:
        raise errors.unsupported("container images (PackageType Image)")
    if ("ZipFile" in code) == ("S3Bucket" in code):
        raise errors.invalid_parameter("Please provide a source for function code.")
    if "ZipFile" in code:
        data: bytes = code["ZipFile"]
        if len(data) > limits.ZIP_DIRECT_SIZE_BYTES_MAX:
            raise errors.request_too_large(operation, limits.REQUEST_SIZE_BYTES_MAX)
    else:
        data = await _from_s3(ctx, node, code)
    check_zip(data)
    return data


async def _from_s3(ctx: Ctx, node: Node, code: Mapping[str, Any]) -> bytes:
    """Read with the caller's own rights."""
    inp = {"Bucket": code["S3Bucket"], "Key": code.get("S3Key", "")}
    if "S3ObjectVersion" in code:
        inp["VersionId"] = code["S3ObjectVersion"]
    try:
        out = await node.call("s3", "GetObject", inp, as_=ctx.caller, region=ctx.region)
    except AwsError as error:
        if error.code == "NotImplemented" or not error.sender_fault:
            raise
        raise errors.invalid_parameter(
            f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
        ) from None
    return await _whole(out.get("Body", b""))


async def _whole(body: bytes | AsyncIterator[bytes]) -> bytes:
    if isinstance(body, bytes):
        return body
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        size += len(piece)
        if size > limits.UNZIPPED_SIZE_BYTES_MAX:
            raise errors.invalid_parameter(f"Unzipped size must be smaller than {limits.UNZIPPED_SIZE_BYTES_MAX} bytes")
        pieces.append(piece)
    return b"".join(pieces)


async def store(node: Node, data: bytes) -> tuple[BlobWriter, dict[str, Any]]:
    """A durable blob that nothing refers to yet, and the package as a step's input names it."""
    writer = await node.blobs.create()
    for at in range(0, len(data), PIECE_SIZE_BYTES):
        await writer.write(data[at : at + PIECE_SIZE_BYTES])
    await writer.finish()
    return writer, {"blob": writer.id, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def package_of(given: Mapping[str, Any]) -> PackageUse:
    return PackageUse(given["blob"], given["sha256"], given["size"])


def shown_sha256(package: PackageUse) -> str:
    """CodeSha256 as AWS writes it: base64."""
    return base64.b64encode(bytes.fromhex(package.sha256)).decode()


async def refer(ctx: Ctx, tx: Tx, package: PackageUse) -> None:
    """Keep a new package's blob, and make the key that signs package URLs with the first one."""
    blobs.refer(tx, package.blob, OWNER)
    if await tx.get(keys.url_key()) is None:
        tx.set(keys.url_key(), ctx.ids.token(32))


def use(tx: Tx, package: PackageUse, user: str) -> None:
    tx.set(keys.use(package.blob, user), b"")


async def let_go(ctx: Ctx, tx: Tx, package: PackageUse, user: str) -> None:
    """`user` needs the package no longer; the last one gives the blob up."""
    tx.clear(keys.use(package.blob, user))
    if not await tx.get_range(*keys.uses(package.blob), limit=1):
        blobs.drop(ctx, tx, [package.blob])


# --- URLs of packages: GetFunction's Code.Location


async def location(ctx: Ctx, tx: ReadTx, package: PackageUse) -> str:
    """A URL that gives the package to whoever has it, for ten minutes."""
    key = await tx.get(keys.url_key())
    assert key is not None, "made with the first package"
    expires_s = (ctx.now_ms + limits.CODE_URL_MS) // 1000
    name = package.blob.hex()
    return f"{ctx.base_url}{URL_PREFIX}{name}?Expires={expires_s}&Signature={_signature(key, name, expires_s)}"


def _signature(key: bytes, name: str, expires_s: int) -> str:
    return hmac.new(key, f"{name}\n{expires_s}".encode(), "sha256").hexdigest()


def is_signed(key: bytes, name: str, expires: str, signature: str, now_ms: int) -> bool:
    if not (expires.isascii() and expires.isdigit() and len(expires) < 13):
        return False
    genuine = hmac.compare_digest(_signature(key, name, int(expires)), signature)
    return genuine and now_ms < int(expires) * 1000
