"""Which operation a REST request names: method, URI template, and what must stand in its query and headers.

Templates become a tree of path segments, once per service. Where several operations share a method and path (S3 has 20 on
`GET /{Bucket}`), those that ask for more (`?acl`, `uploadId`, x-amz-copy-source) are tried first.
https://smithy.io/2.0/spec/http-bindings.html#http-trait
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from unkai.wire.refusals import invalid_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Operation, ServiceModel


@dataclass(frozen=True, slots=True)
class _Candidate:
    operation: Operation
    literals: Mapping[str, str | None]
    """Query parameters of the template itself; None where any value will do."""
    query: frozenset[str]
    headers: frozenset[str]
    """Required members; they tell operations apart only where another one can be meant."""


@dataclass(slots=True)
class _End:
    """The operations of one method and path, those that ask for most first."""

    candidates: list[_Candidate] = field(default_factory=list)
    plain: list[_Candidate] = field(default_factory=list)
    """Those whose templates name no query: all that a request can mean whose query has none of `names`."""
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    greedy: list[tuple[tuple[str, ...], _End]] = field(default_factory=list)
    """What follows a greedy label, and what it may be."""
    end: _End = field(default_factory=_End)


def path_of(uri: str) -> tuple[str, ...]:
    """The segments of a template's path. A slash at its end means nothing."""
    path = uri.partition("?")[0].strip("/")
    return tuple(path.split("/")) if path else ()


_NO_QUERY: dict[str, str] = {}


def route(model: ServiceModel, request: HttpRequest) -> Operation | None:
    """The operation, or None where the service has none at this method and path."""
    root = _tables(model).get(request.method)
    if root is None:
        return None
    end = _match(root, request.path[1:].split("/"), 0)
    if end is None:
        return None
    matching = end.plain
    if len(matching) == 1 and not end.names:
        return matching[0].operation
    given = _query_names(request.query) if request.query else _NO_QUERY
    if not end.names.isdisjoint(given):
        matching = [candidate for candidate in end.candidates if _has_literals(candidate, given)]
        # The template that names most of the query is meant, whatever else is missing.
        matching = [candidate for candidate in matching if len(candidate.literals) == len(matching[0].literals)]
    for candidate in matching:
        if candidate.query <= given.keys() and candidate.headers <= request.headers.keys():
            return candidate.operation
    # Something required is missing everywhere: the operation that asks for least refuses it in its own words.
    operations = [candidate.operation for candidate in matching]
    current = [operation for operation in operations if not operation.traits.get("deprecated")]
    return next(reversed(current or operations), None)


def has_path(model: ServiceModel, request: HttpRequest) -> bool:
    """Whether the path is known with some other method (405 against 404)."""
    segments = request.path[1:].split("/")
    return any(_match(root, segments, 0) is not None for root in _tables(model).values())


def _has_literals(candidate: _Candidate, given: Mapping[str, str]) -> bool:
    return all(name in given and (value is None or given[name] == value) for name, value in candidate.literals.items())


def _query_names(query: str) -> dict[str, str]:
    """The query's names and raw values. Names that templates ask for are plain words, so nothing is decoded here."""
    out: dict[str, str] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            out[name] = value
    return out


def _match(node: _Node, segments: Sequence[str], at: int) -> _End | None:
    rest = len(segments) - at
    if rest == 0 or (rest == 1 and segments[at] == ""):
        return node.end if node.end.candidates else None
    segment = segments[at]
    child = node.literal.get(segment)
    if child is not None:
        found = _match(child, segments, at + 1)
        if found is not None:
            return found
    if node.label is not None and segment:
        found = _match(node.label, segments, at + 1)
        if found is not None:
            return found
    for suffix, end in node.greedy:
        stop = len(segments) - len(suffix)
        # At least one character, and what follows the label word for word.
        if stop > at and tuple(segments[stop:]) == suffix and (stop - at > 1 or segment):
            return end
    return None


@cache
def _tables(model: ServiceModel) -> dict[str, _Node]:
    tables: dict[str, _Node] = {}
    for name in model.operations:
        operation = model.operations[name]
        if not operation.traits.get("unrouted"):
            _insert(tables.setdefault(operation.method, _Node()), operation)
    for root in tables.values():
        _settle(root)
    return tables


def _insert(root: _Node, operation: Operation) -> None:
    node = root
    segments = path_of(operation.uri)
    candidate = _candidate(operation)
    for position, segment in enumerate(segments):
        if segment.startswith("{") and segment.endswith("+}"):
            suffix = segments[position + 1 :]
            for known, end in node.greedy:
                if known == suffix:
                    end.candidates.append(candidate)
                    return
            node.greedy.append((suffix, _End([candidate])))
            return
        if segment.startswith("{"):
            node.label = node.label or _Node()
            node = node.label
        else:
            node = node.literal.setdefault(segment, _Node())
    node.end.candidates.append(candidate)


def _candidate(operation: Operation) -> _Candidate:
    literals: dict[str, str | None] = {}
    for part in operation.uri.partition("?")[2].split("&"):
        if part:
            name, has_value, value = part.partition("=")
            literals[name] = value if has_value else None
    members = operation.input.members.values() if operation.input else ()
    required = [member for member in members if member.required]
    return _Candidate(
        operation,
        literals,
        frozenset(member.wire_name for member in required if member.location == "querystring"),
        frozenset(member.wire_name.lower() for member in required if member.location == "header"),
    )


def _settle(node: _Node) -> None:
    """Put in order what was inserted."""
    for end in (node.end, *(end for _, end in node.greedy)):
        end.candidates.sort(key=_specificity)
        end.plain = [candidate for candidate in end.candidates if not candidate.literals]
        end.names = {name for candidate in end.candidates for name in candidate.literals}
    # The longest suffix first.
    node.greedy.sort(key=lambda entry: -len(entry[0]))
    for child in (*node.literal.values(), *((node.label,) if node.label else ())):
        _settle(child)


def _specificity(candidate: _Candidate) -> tuple[int, int, bool]:
    return (
        -len(candidate.literals),
        -len(candidate.query) - len(candidate.headers),
        bool(candidate.operation.traits.get("deprecated")),
    )


def decoded(raw: str) -> str:
    """A label's value: percent-decoded once, UTF-8. Nothing is normalised: `..` and `//` are parts of a key like any other."""
    if "%" not in raw and raw.isascii():
        return raw
    try:
        # The request's target is latin-1 text of the bytes as sent.
        return unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise invalid_uri() from None
