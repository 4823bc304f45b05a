"""Stored values of Lambda: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec


class PackageUse(msgspec.Struct, frozen=True, array_like=True):
    """A zip archive: its blob, SHA-256 in hex, and size. `arn` is the layer version's, where it is one."""

    blob: bytes
    sha256: str
    size_bytes: int
    arn: str = ""


class VersionRow(msgspec.Struct, frozen=True, array_like=True):
    """What one version runs. `config` holds what AWS calls FunctionConfiguration, by AWS's names, as far as clients set it."""

    version: str
    config: dict[str, Any]
    code: PackageUse
    layers: list[PackageUse]
    modified_ms: int
    revision: str


class FunctionRow(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    latest: VersionRow
    tags: dict[str, str]
    next_version: int = 1
    reserved: int | None = None
    recursive_loop: str = "Terminate"


class AliasRow(msgspec.Struct, frozen=True, array_like=True):
    """`weights` are shares of other versions; `version` gets the rest."""

    name: str
    version: str
    description: str
    revision: str
    weights: dict[str, float] = {}


class SettingRow(msgspec.Struct, frozen=True, array_like=True):
    """One kind of setting of one qualifier (`$LATEST` where none is given), by AWS's names."""

    qualifier: str
    value: dict[str, Any]
    created_ms: int
    modified_ms: int
    revision: str = ""


class UrlRow(msgspec.Struct, frozen=True, array_like=True):
    account: str
    region: str
    name: str
    qualifier: str


class LayerRow(msgspec.Struct, frozen=True, array_like=True):
    name: str
    next_version: int


class LayerVersionRow(msgspec.Struct, frozen=True, array_like=True):
    arn: str
    version: int
    package: PackageUse
    created_ms: int
    description: str = ""
    license: str = ""
    runtimes: list[str] = []
    architectures: list[str] = []
    statements: list[dict[str, Any]] = []
    revision: str = ""


class MappingRow(msgspec.Struct, frozen=True, array_like=True):
    """An event source mapping. `value` holds its settings by AWS's names; `change` counts its changes."""

    uuid: str
    account: str
    region: str
    source_arn: str
    function_arn: str
    enabled: bool
    modified_ms: int
    value: dict[str, Any]
    tags: dict[str, str]
    change: int = 0
    result: str = "No records processed"


encode = msgspec.msgpack.Encoder().encode
decode_function = msgspec.msgpack.Decoder(FunctionRow).decode
decode_version = msgspec.msgpack.Decoder(VersionRow).decode
decode_alias = msgspec.msgpack.Decoder(AliasRow).decode
decode_setting = msgspec.msgpack.Decoder(SettingRow).decode
decode_url = msgspec.msgpack.Decoder(UrlRow).decode
decode_layer = msgspec.msgpack.Decoder(LayerRow).decode
decode_layer_version = msgspec.msgpack.Decoder(LayerVersionRow).decode
decode_mapping = msgspec.msgpack.Decoder(MappingRow).decode
