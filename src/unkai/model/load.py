"""Loads botocore's service models, without importing botocore, and only as much of them as is asked for.

A model file is up to 4 MB of JSON, mostly prose. It is unpacked and scanned once (a few milliseconds); each operation
and each shape is built at its first use. Where a model is wrong or silent, `patches.json` corrects it, with a reason each.
The file format is botocore's "service-2": https://github.com/boto/botocore/tree/develop/botocore/data
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from unkai.model.shapes import Member, Operation, ServiceModel, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

V = TypeVar("V")

_NOT_TRAITS = frozenset({"type", "members", "member", "key", "value", "required", "enum", "documentation", "shape"})


class _File(msgspec.Struct):
    """The parts of a service-2 file that are used, their insides left as bytes."""

    metadata: dict[str, Any]
    operations: dict[str, msgspec.Raw]
    shapes: dict[str, msgspec.Raw]


class _Lazy(Mapping[str, V]):
    """A mapping whose names are known and whose values are built at first use."""

    __slots__ = ("_build", "_built", "_names")

    def __init__(self, names: Mapping[str, Any], build: Callable[[str], V]) -> None:
        self._names = names
        self._build = build
        self._built: dict[str, V] = {}

    def __getitem__(self, name: str) -> V:
        value = self._built.get(name)
        if value is None:
            if name not in self._names:
                raise KeyError(name)
            value = self._built[name] = self._build(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _LazyErrors(_Lazy[Shape]):
    """Error shapes by code; finding the codes reads every shape, so that too waits for the first error."""

    def __init__(self, shape_of_code: Callable[[], Mapping[str, str]], shapes: Mapping[str, Shape]) -> None:
        super().__init__({}, lambda code: shapes[self._names[code]])
        self._shape_of_code: Callable[[], Mapping[str, str]] | None = shape_of_code

    def _find(self) -> None:
        if self._shape_of_code is not None:
            self._names = self._shape_of_code()
            self._shape_of_code = None

    def __getitem__(self, code: str) -> Shape:
        self._find()
        return super().__getitem__(code)

    def __contains__(self, code: object) -> bool:
        self._find()
        return super().__contains__(code)

    def __iter__(self) -> Iterator[str]:
        self._find()
        return super().__iter__()

    def __len__(self) -> int:
        self._find()
        return super().__len__()


@cache
def load_service(name: str) -> ServiceModel:
    """The newest model of botocore's service `name`. Raises KeyError where botocore has none."""
    return model_of(name, _read_newest(name), [patch["merge"] for patch in _patches() if patch["service"] == name])


def model_of(name: str, text: bytes, patches: Sequence[Mapping[str, Any]] = ()) -> ServiceModel:
    """The model that a service-2 file's text describes, with `patches` laid over it."""
    file = msgspec.json.decode(text, type=_File)
    metadata = file.metadata
    for patch in patches:
        metadata = _merged(metadata, patch.get("metadata", {}))
    for patch in patches:
        for kind in ("operations", "shapes"):
            unknown = patch.get(kind, {}).keys() - getattr(file, kind).keys()
            assert not unknown, f"patches.json names what the model of {name} lacks: {sorted(unknown)}"

    def raw(kind: str, entries: dict[str, msgspec.Raw], key: str) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(entries[key])
        for patch in patches:
            decoded = _merged(decoded, patch.get(kind, {}).get(key, {}))
        return decoded

    built: dict[str, Shape] = {}

    def shape(key: str) -> Shape:
        return _build_shape(key, lambda k: raw("shapes", file.shapes, k), built)

    def operation(key: str) -> Operation:
        return _build_operation(model, key, raw("operations", file.operations, key))

    def error_codes() -> dict[str, str]:
        found: dict[str, str] = {}
        for key, text in file.shapes.items():
            if b'"exception"' in bytes(text) or b'"error"' in bytes(text):
                decoded = raw("shapes", file.shapes, key)
                if decoded.get("exception") or decoded.get("error"):
                    found.setdefault(decoded.get("error", {}).get("code", key), key)
                    found[key] = key
        return found

    shapes = _Lazy(file.shapes, shape)
    model = ServiceModel(name, metadata, _Lazy(file.operations, operation), shapes, _LazyErrors(error_codes, shapes))
    return model


def _build_shape(name: str, raw: Callable[[str], dict[str, Any]], built: dict[str, Shape]) -> Shape:
    """The shape `name` with all that it reaches. Entered in `built` before it is filled, since shapes refer to themselves."""
    ready = built.get(name)
    if ready is not None:
        return ready
    text = raw(name)
    shape = built[name] = Shape(name, text["type"], traits=_traits(text))
    shape.required = tuple(text.get("required", ()))
    shape.enum = tuple(text.get("enum", ()))

    def member(member_name: str, reference: dict[str, Any]) -> Member:
        target = _build_shape(reference["shape"], raw, built)
        traits = {**target.traits, **_traits(reference)}
        return Member(
            member_name,
            target,
            required=member_name in shape.required,
            location=traits.get("location", ""),
            wire_name=traits.get("locationName", member_name),
            traits=traits,
        )

    shape.members = {key: member(key, reference) for key, reference in text.get("members", {}).items()}
    if "member" in text:
        shape.item = member("member", text["member"])
    if "key" in text:
        shape.key = member("key", text["key"])
        shape.value = member("value", text["value"])
    return shape


def _build_operation(model: ServiceModel, name: str, text: dict[str, Any]) -> Operation:
    # Known by its key: CloudFront's names carry the API version there (CreateDistribution2020_05_31).
    http = text.get("http", {})
    traits = {
        key: value for key, value in text.items() if key not in ("http", "input", "output", "errors", "documentation")
    }
    return Operation(
        model,
        name,
        http.get("method", "POST"),
        http.get("requestUri", "/"),
        http.get("responseCode", 200),
        _referred(model, text.get("input")),
        _referred(model, text.get("output")),
        tuple(model.shapes[error["shape"]] for error in text.get("errors", ())),
        traits,
    )


def _referred(model: ServiceModel, reference: dict[str, Any] | None) -> Shape | None:
    """The shape of an operation's input or output, with the traits that stand at the reference (resultWrapper, xmlNamespace)."""
    if reference is None:
        return None
    shape = model.shapes[reference["shape"]]
    traits = _traits(reference)
    if not traits:
        return shape
    # Fields are shared with the original, which is whole by now.
    return Shape(shape.name, shape.type, shape.members, required=shape.required, traits={**shape.traits, **traits})


def _traits(text: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in text.items() if key not in _NOT_TRAITS}


def _merged(base: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` laid over it; dicts are merged, anything else replaced, null removes."""
    if not patch:
        return base
    out = dict(base)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = _merged(out[key], value)
        else:
            out[key] = value
    return out


@cache
def _patches() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = msgspec.json.decode((files("unkai.model") / "patches.json").read_bytes())
    return loaded


@cache
def _data_dir() -> Path:
    # find_spec locates the package without running it: importing botocore costs more than our whole start.
    spec = importlib.util.find_spec("botocore")
    assert spec is not None, "botocore is installed with unkai"
    assert spec.origin is not None, "botocore is a regular package"
    return Path(spec.origin).parent / "data"


def _read_newest(name: str) -> bytes:
    folder = _data_dir() / name
    # A name comes from our own tables, never from a request; this keeps it so.
    assert "/" not in name, "a service's name is a single folder"
    assert not name.startswith("."), "a service's name is a single folder"
    versions = sorted(folder.glob("*/service-2.json*"), key=lambda path: path.parent.name)
    versions = [path for path in versions if path.name in ("service-2.json", "service-2.json.gz")]
    if not versions:
        raise KeyError(name)
    text = versions[-1].read_bytes()
    return gzip.decompress(text) if versions[-1].suffix == ".gz" else text
