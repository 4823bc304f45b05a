"""Frozen values for shapes, operations and services. `load` builds them; `wire` compiles them; nothing walks them per request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(slots=True, eq=False)
class Member:
    """A member of a structure: its shape, and the traits that stand at the reference."""

    name: str
    shape: Shape
    required: bool = False
    location: str = ""
    """header, headers, querystring, uri, statusCode, or empty for the body."""
    wire_name: str = ""
    """locationName, or the member's own name."""
    traits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Shape:
    """One shape. Shapes may be recursive, so they are compared by identity and filled in after they are made."""

    name: str
    type: str
    """structure, list, map, string, integer, long, float, double, boolean, blob, timestamp, (big)decimal..."""
    members: Mapping[str, Member] = field(default_factory=dict)
    item: Member | None = None
    key: Member | None = None
    value: Member | None = None
    required: Sequence[str] = ()
    enum: Sequence[str] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)
    """min, max, pattern, flattened, timestampFormat, xmlNamespace, payload, error, exception, document, union, eventstream..."""


@dataclass(slots=True, eq=False)
class Operation:
    service: ServiceModel
    name: str
    method: str
    uri: str
    status: int
    input: Shape | None
    output: Shape | None
    errors: Sequence[Shape]
    traits: Mapping[str, Any] = field(default_factory=dict)
    """auth, authtype, httpChecksum, endpoint, requestcompression, idempotent..."""
    compiled: dict[str, Any] = field(default_factory=dict)
    """What wire has compiled for this operation at its first use (readers, writers, validators), by codec and direction."""


@dataclass(slots=True, eq=False)
class ServiceModel:
    name: str
    """botocore's name of the service: its folder under data/."""
    metadata: Mapping[str, Any]
    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]
    errors_by_code: Mapping[str, Shape] = field(default_factory=dict)
    protocol: str = field(init=False)
    """The protocol that the service prefers; `protocols` lists all it speaks."""
    protocols: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        self.protocol = str(self.metadata["protocol"])
        self.protocols = tuple(self.metadata.get("protocols") or (self.protocol,))
