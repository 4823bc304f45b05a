"""Bytes of objects, in and out: small ones in rows, larger ones in files, nothing whole in memory.

In: pieces of one megabyte are hashed, encrypted and written in a thread; what a transaction then has to know is a plain dict.
Out: a *segment* says where some of the bytes are. Plain files leave as FileBody, so that the kernel copies them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unkai.kernel.http import FileBody
from unkai.layers import blobs
from unkai.layers.blobs import INLINE_SIZE_BYTES_MAX, PIECE_SIZE_BYTES
from unkai.services.s3 import encryption, errors, keys, limits, rows
from unkai.services.s3.checksums import Sums

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.http import BodyStream
    from unkai.kernel.ports import BlobWriter, Node
    from unkai.store.api import Tx

T = TypeVar("T")


@dataclass(slots=True)
class Stored:
    """A body that has arrived. `facts` go into the transaction: Source, Data, Nonce, Size, ETag, Checksums, Key."""

    facts: dict[str, Any]
    writer: BlobWriter | None = None

    async def commit(self, node: Node, committing: Awaitable[T]) -> T:
        """Await the transaction that uses the facts; its answer. Refused, nothing of the body is left."""
        if self.writer is None:
            return await committing
        return await node.blobs.keep([self.writer], committing)


async def store(
    ctx: Ctx,
    node: Node,
    body: bytes | BodyStream | AsyncIterator[bytes] | Any,
    inp: Mapping[str, Any],
    *,
    key: bytes | None,
    algorithm: str = "",
) -> Stored:
    """Take a body in, and compare it with every digest that came with it (BadDigest and its kin)."""
    sums = Sums(inp, streamed=not isinstance(body, bytes), keep=algorithm)
    nonce = ctx.ids.token(encryption.NONCE_SIZE_BYTES) if key is not None else b""
    encrypt = encryption.cipher(key, nonce) if key is not None else None

    def through(piece: bytes) -> bytes:
        sums.update(piece)
        return piece if encrypt is None else encrypt(piece)

    if isinstance(body, bytes) and len(body) <= INLINE_SIZE_BYTES_MAX:
        content, writer = through(body), None
    else:
        content, writer = await _write(node, body, through)
    try:
        checksums = sums.finish(body.trailers() if hasattr(body, "trailers") else {})
        if writer is not None:
            await writer.finish()
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    etag = sums.md5
    if key is not None:
        # As on AWS, such an object's ETag is no MD5 of its data, from which the data could be guessed.
        etag = hashlib.md5(etag.digest() + hashlib.sha256(key).digest(), usedforsecurity=False)
    facts: dict[str, Any] = {
        "Source": rows.BLOB
        if writer
        else rows.IN_ROW
        if len(content) <= limits.IN_ROW_SIZE_BYTES_MAX
        else rows.DATA_ROW,
        "Data": writer.id if writer else content,
        "Nonce": nonce,
        "Size": sums.size_bytes,
        "ETag": etag.hexdigest(),
        "Checksums": checksums,
    }
    return Stored(facts, writer)


async def _write(
    node: Node, body: bytes | BodyStream | AsyncIterator[bytes], through: Callable[[bytes], bytes]
) -> tuple[bytes, BlobWriter | None]:
    """Either the whole content, where it turned out small, or the file it is in."""
    length = len(body) if isinstance(body, bytes) else getattr(body, "length_bytes", None)
    if length is not None and length > limits.PUT_SIZE_BYTES_MAX:
        raise errors.entity_too_large(length, limits.PUT_SIZE_BYTES_MAX)
    writer: BlobWriter | None = None
    buffer = bytearray()
    try:
        async for piece in _pieces(body):
            buffer += piece
            if len(buffer) >= PIECE_SIZE_BYTES:
                writer = writer or await node.blobs.create()
                await writer.write(bytes(buffer), through)
                buffer.clear()
                if writer.size_bytes > limits.PUT_SIZE_BYTES_MAX:
                    raise errors.entity_too_large(writer.size_bytes, limits.PUT_SIZE_BYTES_MAX)
        if writer is None and len(buffer) <= INLINE_SIZE_BYTES_MAX:
            return through(bytes(buffer)), None
        writer = writer or await node.blobs.create()
        if buffer:
            await writer.write(bytes(buffer), through)
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    return b"", writer


async def _pieces(body: bytes | BodyStream | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        for at in range(0, len(body), PIECE_SIZE_BYTES):
            yield body[at : at + PIECE_SIZE_BYTES]
        return
    async for piece in body:
        yield piece


# --- in a transaction


def put_content(ctx: Ctx, tx: Tx, facts: Mapping[str, Any]) -> tuple[int, bytes]:
    """Write or refer to the bytes; what the row that owns them says about where they are."""
    source, content = facts["Source"], facts["Data"]
    if source == rows.DATA_ROW:
        data_id = ctx.ids.token(16)
        tx.set(keys.data(data_id), content)
        return source, data_id
    if source == rows.BLOB:
        blobs.refer(tx, content)
    return source, content


def drop_content(ctx: Ctx, tx: Tx, source: int, data: bytes) -> None:
    """Give up the bytes of one row (of an object of parts: see multipart)."""
    if source == rows.DATA_ROW:
        tx.clear(keys.data(data))
    elif source == rows.BLOB:
        blobs.drop(ctx, tx, [data])


# --- out

Segment = tuple[int, bytes, bytes, int, int]
"""Source (IN_ROW with the bytes themselves, or BLOB with the file's id), data, nonce, begin, end."""


class Held:
    """Keeps the files of an object of many from being unlinked while somebody reads them, also if the reading never starts."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = close


def open_body(
    node: Node, segments: list[Segment], key: bytes | None, guard: bytes
) -> bytes | FileBody | AsyncIterator[bytes]:
    """The bytes of `segments`, ready to be sent. Raises BlobMissing where they have been replaced since they were looked up."""
    if not segments:
        return b""
    source, data, nonce, begin, end = segments[0]
    if len(segments) == 1:
        if source == rows.IN_ROW:
            return data[begin:end] if key is None else encryption.cipher(key, nonce, begin)(data[begin:end])
        fd = node.blobs.open(data)
        if key is None:
            return FileBody(fd, begin, end - begin)
        return _decrypted(Held(fd), fd, key, nonce, begin, end)
    return _joined(node, segments, key, Held(node.blobs.hold(guard)))


async def _decrypted(held: Held, fd: int, key: bytes, nonce: bytes, begin: int, end: int) -> AsyncIterator[bytes]:
    try:
        async for piece in _file_pieces(fd, key, nonce, begin, end):
            yield piece
    finally:
        held.close()


async def _joined(node: Node, segments: list[Segment], key: bytes | None, held: Held) -> AsyncIterator[bytes]:
    """One part after the other, one file open at a time."""
    try:
        for source, data, nonce, begin, end in segments:
            if source == rows.IN_ROW:
                yield data[begin:end] if key is None else encryption.cipher(key, nonce, begin)(data[begin:end])
                continue
            fd = node.blobs.open(data)
            try:
                async for piece in _file_pieces(fd, key, nonce, begin, end):
                    yield piece
            finally:
                os.close(fd)
    finally:
        held.close()


async def _file_pieces(fd: int, key: bytes | None, nonce: bytes, begin: int, end: int) -> AsyncIterator[bytes]:
    decrypt = encryption.cipher(key, nonce, begin) if key is not None else None

    def read(at: int) -> bytes:
        piece = os.pread(fd, min(PIECE_SIZE_BYTES, end - at), at)
        return decrypt(piece) if decrypt is not None else piece

    at = begin
    while at < end:
        piece = await asyncio.to_thread(read, at)
        assert piece, "a blob is as long as its row says"
        at += len(piece)
        yield piece


async def pieces_of(body: bytes | FileBody | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Any outgoing body as pieces: copying reads what GetObject would send."""
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, FileBody):
        try:
            async for piece in _file_pieces(body.fd, None, b"", body.offset, body.offset + body.length_bytes):
                yield piece
        finally:
            os.close(body.fd)
    else:
        async with contextlib.aclosing(body) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece
