"""Every key that S3 stores. Nothing else in unkai packs them.

    ("s3b", bucket)                     -> BucketRow; names are global in a node
    ("s3a", account, bucket)            -> b"": the account's buckets, in order of their names
    ("s3c", bucket_id, name, id)        -> a setting in AWS's form (msgpack); `id` is empty but for settings that have many
    ("s3k", bucket_id) longkey key      -> ObjectRow: the current version, where it is an object
    ("s3v", bucket_id) longkey key + order, newest first
                                        -> ObjectRow: every other version, and every delete marker
    ("s3n", bucket_id) longkey key      -> order (8 bytes) of the null version, where that is under "s3v"
    ("s3d", data_id)                    -> bytes of an object or part that are too many for its row and too few for a file
    ("s3u", bucket_id) longkey key + upload_id
                                        -> UploadRow: a multipart upload that is going on, in order of key and time
    ("s3p", upload_id) + number (4)     -> PartRow; they stay when the upload becomes an object

`bucket_id` is new for every creation. A version's order is one more than that of the version before it; its id begins with it.

Invariants (see invariants.py):
S3-1  A row under "s3k" is no delete marker and newer than every row of its key under "s3v"; where there is none, the newest
      row under "s3v" is a delete marker.
S3-2  A key has at most one null version, and "s3n" points to it exactly where it is under "s3v".
S3-3  Every data row, part row and blob reference belongs to exactly one version or part, and none is missing.
S3-4  Every bucket has its row in its owner's list, and every row there its bucket.
"""

from __future__ import annotations

from unkai.store.tuples import pack, prefix_end

ORDER_MAX = (1 << 48) - 1
UPLOAD_ID_SIZE_BYTES = 24


def bucket(name: str) -> bytes:
    return pack("s3b", name)


def buckets() -> tuple[bytes, bytes]:
    return pack("s3b"), prefix_end(pack("s3b"))


def owned(account: str, name: str) -> bytes:
    return pack("s3a", account, name)


def owned_from(account: str, prefix: str) -> tuple[bytes, bytes]:
    """The range of an account's buckets whose names begin with `prefix`."""
    begin = pack("s3a", account) + b"\x02" + prefix.encode()
    return begin, prefix_end(begin)


def owned_name(key: bytes, account: str) -> str:
    return key[len(pack("s3a", account)) + 1 : -1].decode()


def setting(bucket_id: bytes, name: str, item: str = "") -> bytes:
    return pack("s3c", bucket_id, name, item)


def setting_items(bucket_id: bytes, name: str) -> tuple[bytes, bytes]:
    begin = pack("s3c", bucket_id, name)
    return begin, prefix_end(begin)


def settings(bucket_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("s3c", bucket_id)
    return begin, prefix_end(begin)


def current(bucket_id: bytes) -> bytes:
    """The space of current objects: a longkeys map by the object's key."""
    return pack("s3k", bucket_id)


def versions(bucket_id: bytes) -> bytes:
    return pack("s3v", bucket_id)


def nulls(bucket_id: bytes) -> bytes:
    return pack("s3n", bucket_id)


def uploads(bucket_id: bytes) -> bytes:
    return pack("s3u", bucket_id)


def escaped(key: bytes) -> bytes:
    """`key` so that something may follow it and the order is still that of the keys."""
    return key.replace(b"\0", b"\0\xff") + b"\0"


def split(name: bytes, tail_size_bytes: int) -> tuple[bytes, bytes]:
    """The object's key and what follows it, of a version's or upload's name in its space."""
    return name[: -tail_size_bytes - 1].replace(b"\0\xff", b"\0"), name[-tail_size_bytes:]


def key_at(position: bytes) -> bytes:
    """The object's key in which a position in the space of versions lies."""
    at = position.find(b"\0")
    while at >= 0 and position[at + 1 : at + 2] == b"\xff":
        at = position.find(b"\0", at + 2)
    return (position if at < 0 else position[:at]).replace(b"\0\xff", b"\0")


def version(key: bytes, order: int) -> bytes:
    """A version's name in the space of versions. The complement of its order, so that the newest comes first."""
    return escaped(key) + (ORDER_MAX - order).to_bytes(8, "big")


def order_of(tail: bytes) -> int:
    return ORDER_MAX - int.from_bytes(tail, "big")


def upload(key: bytes, upload_id: bytes) -> bytes:
    assert len(upload_id) == UPLOAD_ID_SIZE_BYTES, "an upload's id"
    return escaped(key) + upload_id


def data(data_id: bytes) -> bytes:
    return pack("s3d", data_id)


def part(upload_id: bytes, number: int) -> bytes:
    return pack("s3p", upload_id) + number.to_bytes(4, "big")


def parts(upload_id: bytes, after: int = 0) -> tuple[bytes, bytes]:
    """The range of an upload's parts with a number above `after`."""
    prefix = pack("s3p", upload_id)
    return prefix + (after + 1).to_bytes(4, "big"), prefix_end(prefix)


def part_number(key: bytes) -> int:
    return int.from_bytes(key[-4:], "big")
