"""Turns shapes into closures, once per operation, and keeps them with the operation.

What the formats share is here: the cache, the knot of recursive shapes, and readers and writers for the formats whose bytes
parse into plain dicts and lists (JSON and CBOR), which differ in their scalars only. Nothing walks a model per request.

A reader checks what it reads (a client may send anything). A writer asserts what it writes (a handler is our own code):
an unknown member or a wrong type is a defect, never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unkai.wire.refusals import serialization_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.model.shapes import Member, Operation, Shape

Closure = Callable[[Any], Any]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Scalar:
    """How one type of scalar is converted. `kind` is the class of values that pass as they are, without a call."""

    kind: type | None
    convert: Closure


@dataclass(frozen=True, slots=True)
class Scalars:
    """The scalars of one format in one direction, by type; timestamps by the format that the model states.

    `renames`: whether locationName names a member (in CBOR it does not).
    """

    by_type: Mapping[str, Scalar]
    timestamp: Callable[[Mapping[str, Any]], Scalar]
    renames: bool = True


def compiled(operation: Operation, key: str, build: Callable[[Operation], T]) -> T:
    """What `build` makes of `operation`, made at first use. `key` names the codec and direction."""
    try:
        made: T = operation.compiled[key]
    except KeyError:
        made = operation.compiled[key] = build(operation)
    return made


def structure_once(made: dict[int, Any], shape: Shape, build: Callable[[], F]) -> F:
    """The closure of structure `shape`, one per compilation. Every cycle of shapes passes through a structure, so while
    one is being built, references to it get a closure that looks the finished one up when it is called."""
    key = id(shape)
    ready: F | None = made.get(key)
    if ready is not None:
        return ready

    def later(*arguments: Any) -> Any:
        return made[key](*arguments)

    made[key] = later
    finished = build()
    made[key] = finished
    return finished


def wire_name(member: Member, scalars: Scalars) -> str:
    return member.wire_name if scalars.renames else member.name


# Reading: parsed JSON or CBOR to values.


def structure_reader(members: list[Member], scalars: Scalars, made: dict[int, Any]) -> Closure:
    fields = {wire_name(member, scalars): (member.name, *reader(member, scalars, made)) for member in members}
    find = fields.get

    def read(value: Any) -> Any:
        if value.__class__ is not dict:
            raise _not_a("structure", value)
        out = {}
        for key, item in value.items():
            field = find(key)
            # Unknown members are ignored, so that newer clients work; null is absent.
            if field is None or item is None:
                continue
            name, kind, convert = field
            out[name] = item if item.__class__ is kind else convert(item)
        return out

    return read


def reader(member: Member, scalars: Scalars, made: dict[int, Any]) -> tuple[type | None, Closure]:
    """The class of values that pass as they are, and what converts or refuses all others."""
    shape = member.shape
    if shape.traits.get("document"):
        return None, _document
    if shape.type == "structure":
        build = lambda: structure_reader(list(shape.members.values()), scalars, made)  # noqa: E731
        return None, structure_once(made, shape, build)
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        return None, _list_reader(*reader(shape.item, scalars, made))
    if shape.type == "map":
        assert shape.value is not None, "a map has a value"
        return None, _map_reader(*reader(shape.value, scalars, made))
    scalar = _scalar(member, scalars)
    return scalar.kind, scalar.convert


def _scalar(member: Member, scalars: Scalars) -> Scalar:
    if member.shape.type == "timestamp":
        return scalars.timestamp(member.traits)
    return scalars.by_type[member.shape.type]


def _list_reader(kind: type | None, convert: Closure) -> Closure:
    def read(value: Any) -> Any:
        if value.__class__ is not list:
            raise _not_a("list", value)
        return [item if item.__class__ is kind else convert(item) for item in value]

    return read


def _map_reader(kind: type | None, convert: Closure) -> Closure:
    def read(value: Any) -> Any:
        if value.__class__ is not dict:
            raise _not_a("map", value)
        out = {}
        for key, item in value.items():
            if item is None:
                continue
            if key.__class__ is not str:  # CBOR allows others
                raise serialization_error("Unexpected key type")
            out[key] = item if item.__class__ is kind else convert(item)
        return out

    return read


def _document(value: Any) -> Any:
    return value


def _not_a(wanted: str, value: Any) -> Exception:
    """Coral's wordings, as clients of DynamoDB and Kinesis see them."""
    if value.__class__ is dict:
        return serialization_error("Start of structure or map found where not expected.")
    if value.__class__ is list:
        return serialization_error("Start of list found where not expected")
    return serialization_error("Expected list or null" if wanted == "list" else "Unexpected field type")


# Writing: values to what the format's encoder takes.


def structure_writer(members: list[Member], scalars: Scalars, made: dict[int, Any]) -> Closure:
    fields = {member.name: (wire_name(member, scalars), *writer(member, scalars, made)) for member in members}

    def write(value: Any) -> Any:
        out = {}
        for key, item in value.items():
            if item is None:
                continue
            name, kind, convert = fields[key]
            out[name] = item if item.__class__ is kind else convert(item)
        return out

    return write


def writer(member: Member, scalars: Scalars, made: dict[int, Any]) -> tuple[type | None, Closure]:
    shape = member.shape
    if shape.traits.get("document"):
        return None, _document
    if shape.type == "structure":
        build = lambda: structure_writer(list(shape.members.values()), scalars, made)  # noqa: E731
        return None, structure_once(made, shape, build)
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        return None, _list_writer(*writer(shape.item, scalars, made))
    if shape.type == "map":
        assert shape.value is not None, "a map has a value"
        return None, _map_writer(*writer(shape.value, scalars, made))
    scalar = _scalar(member, scalars)
    return scalar.kind, scalar.convert


def _list_writer(kind: type | None, convert: Closure) -> Closure:
    def write(value: Any) -> Any:
        return [item if item.__class__ is kind else convert(item) for item in value]

    return write


def _map_writer(kind: type | None, convert: Closure) -> Closure:
    def write(value: Any) -> Any:
        return {
            key: item if item.__class__ is kind else convert(item) for key, item in value.items() if item is not None
        }

    return write
