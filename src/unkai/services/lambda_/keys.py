"""Every key that Lambda stores. Nothing else in unkai packs them.

    ("lam", account, region, name)              -> FunctionRow, with what $LATEST is
    ("lamf", function_id, "v", version)         -> VersionRow: a published version
    ("lamf", function_id, "a", alias)           -> AliasRow
    ("lamf", function_id, kind, qualifier)      -> SettingRow; kinds: policy, event, url, provisioned, runtime
    ("lamu", url_id)                            -> UrlRow: which function a URL is for
    ("laml", account, region, layer)            -> LayerRow
    ("lamlv", account, region, layer, version)  -> LayerVersionRow
    ("lamb", blob_id, user)                     -> b"": a version of a function or of a layer needs this package
    ("lamr", account, region)                   -> counter: the sum of reserved concurrency
    ("lame", account, region, uuid)             -> MappingRow: an event source mapping
    ("lamk",)                                   -> 32 bytes: the key that signs the URLs of packages

`function_id` is new for every creation, so a function made again under an old name never sees old versions.

Invariants (see invariants.py):
LAMBDA-1  Every package that a version or layer version names has a row of use by it, and every row of use belongs to one.
LAMBDA-2  The blobs layer keeps exactly the packages that are used.
LAMBDA-3  The counter of reserved concurrency equals the sum over the functions.
LAMBDA-4  An alias names versions that exist.
LAMBDA-5  Every URL leads to a function that has it.
"""

from __future__ import annotations

from unkai.store.tuples import pack, prefix_end, unpack

POLICY, EVENT, URL, PROVISIONED, RUNTIME = "policy", "event", "url", "provisioned", "runtime"

MAPPINGS_CHANNEL = b"lambda:mappings"
"""Signalled when an event source mapping was made, changed or removed."""


def function(account: str, region: str, name: str) -> bytes:
    return pack("lam", account, region, name)


def functions(account: str, region: str) -> tuple[bytes, bytes]:
    begin = pack("lam", account, region)
    return begin, prefix_end(begin)


def every_function() -> tuple[bytes, bytes]:
    begin = pack("lam")
    return begin, prefix_end(begin)


def contents(function_id: bytes) -> tuple[bytes, bytes]:
    """The range of all that belongs to a function."""
    begin = pack("lamf", function_id)
    return begin, prefix_end(begin)


def version(function_id: bytes, number: int) -> bytes:
    return pack("lamf", function_id, "v", number)


def versions(function_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("lamf", function_id, "v")
    return begin, prefix_end(begin)


def alias(function_id: bytes, name: str) -> bytes:
    return pack("lamf", function_id, "a", name)


def aliases(function_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("lamf", function_id, "a")
    return begin, prefix_end(begin)


def setting(function_id: bytes, kind: str, qualifier: str) -> bytes:
    return pack("lamf", function_id, kind, qualifier)


def settings(function_id: bytes, kind: str) -> tuple[bytes, bytes]:
    begin = pack("lamf", function_id, kind)
    return begin, prefix_end(begin)


def kind_of(key: bytes) -> str:
    return str(unpack(key)[2])


def url(url_id: str) -> bytes:
    return pack("lamu", url_id)


def layer(account: str, region: str, name: str) -> bytes:
    return pack("laml", account, region, name)


def layers(account: str, region: str) -> tuple[bytes, bytes]:
    begin = pack("laml", account, region)
    return begin, prefix_end(begin)


def layer_version(account: str, region: str, name: str, number: int) -> bytes:
    return pack("lamlv", account, region, name, number)


def layer_versions(account: str, region: str, name: str) -> tuple[bytes, bytes]:
    begin = pack("lamlv", account, region, name)
    return begin, prefix_end(begin)


def use(blob_id: bytes, user: str) -> bytes:
    return pack("lamb", blob_id, user)


def uses(blob_id: bytes) -> tuple[bytes, bytes]:
    begin = pack("lamb", blob_id)
    return begin, prefix_end(begin)


def function_user(function_id: bytes, version: str) -> str:
    return f"f/{function_id.hex()}/{version}"


def layer_user(arn: str) -> str:
    return f"l/{arn}"


def reserved(account: str, region: str) -> bytes:
    return pack("lamr", account, region)


def mapping(account: str, region: str, uuid: str) -> bytes:
    return pack("lame", account, region, uuid)


def mappings(account: str, region: str) -> tuple[bytes, bytes]:
    begin = pack("lame", account, region)
    return begin, prefix_end(begin)


def every_mapping() -> tuple[bytes, bytes]:
    begin = pack("lame")
    return begin, prefix_end(begin)


def url_key() -> bytes:
    return pack("lamk")
