"""Stored values of S3: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec

IN_ROW, DATA_ROW, BLOB, PARTS, DELETE_MARKER = range(5)
"""Where the bytes are: in the row itself, in a row of their own, in a file, in the parts of an upload; or there is no object."""


class BucketRow(msgspec.Struct, frozen=True, array_like=True):
    """`has` names the settings that the way of an object asks for, so that it reads only those that exist."""

    id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    versioning: str = ""
    has: list[str] = []


class Key(msgspec.Struct, frozen=True, array_like=True):
    """A customer's encryption key, as far as it is kept: its MD5, which clients see, and a salted hash to recognise it by."""

    md5: str
    salt: bytes
    hash: bytes


class ObjectRow(msgspec.Struct, frozen=True, array_like=True):
    """One version of an object, or a delete marker.

    `data` is what `source` says: the bytes, the id of the row or file with the bytes, or the id of the upload with the parts.
    `headers` are content headers by AWS's member names. `guard` is the file that a reader of many files holds.
    """

    version: str
    order: int
    modified_ms: int
    size: int = 0
    etag: str = ""
    source: int = IN_ROW
    data: bytes = b""
    nonce: bytes = b""
    headers: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    storage_class: str = "STANDARD"
    checksums: dict[str, str] = {}
    checksum_type: str = "FULL_OBJECT"
    sse: str = "AES256"
    key: Key | None = None
    tags: dict[str, str] = {}
    parts: int = 0
    guard: bytes = b""
    noncurrent_ms: int = 0


class UploadRow(msgspec.Struct, frozen=True, array_like=True):
    """A multipart upload that is going on. `head` is what the object will have besides its bytes, as an ObjectRow."""

    initiated_ms: int
    initiator: str
    head: ObjectRow
    algorithm: str = ""
    checksum_type: str = ""


class PartRow(msgspec.Struct, frozen=True, array_like=True):
    size: int
    etag: str
    modified_ms: int
    source: int
    data: bytes
    nonce: bytes = b""
    checksums: dict[str, str] = {}


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode
decode_bucket = msgspec.msgpack.Decoder(BucketRow).decode
decode_object = msgspec.msgpack.Decoder(ObjectRow).decode
decode_upload = msgspec.msgpack.Decoder(UploadRow).decode
decode_part = msgspec.msgpack.Decoder(PartRow).decode
