"""Where a member lives in a REST request or response: label, header, prefix headers, query, status, payload or body.

https://smithy.io/2.0/spec/http-bindings.html
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.wire.formats import form
from unkai.wire.formats.text import text_reader, text_writer
from unkai.wire.routing import decoded, path_of
from unkai.wire.timestamps import ISO8601, RFC822

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.http import HttpRequest
    from unkai.model.shapes import Member, Operation, Shape

Part = Callable[["HttpRequest", dict[str, Any]], None]
"""Reads one place of a request into the input."""


class BadBinding(ValueError):
    """A label, parameter or header is not of its member's type."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(name)
        self.name = name
        self.value = value


# Requests


def request_reader(operation: Operation) -> Part:
    """Reads all that is not in the body. Raises BadBinding."""
    members = list(operation.input.members.values()) if operation.input else []
    parts = [
        *_label_parts(operation, [member for member in members if member.location == "uri"]),
        *_query_parts(operation, [member for member in members if member.location == "querystring"]),
        *_header_parts([member for member in members if member.location == "header"]),
        *(_prefix_part(member) for member in members if member.location == "headers"),
    ]

    def read(request: HttpRequest, out: dict[str, Any]) -> None:
        for part in parts:
            part(request, out)

    return read


def payload_member(shape: Shape | None) -> Member | None:
    """The member that is the whole body, or None where the body is made of all members without a place."""
    if shape is None or "payload" not in shape.traits:
        return None
    return shape.members[shape.traits["payload"]]


def is_raw(member: Member) -> bool:
    """Whether a payload's bytes are the value itself."""
    return member.shape.type in ("blob", "string")


def streams_input(operation: Operation) -> bool:
    """Whether the operation's input has a body that is handed on as it arrives."""
    member = payload_member(operation.input)
    return member is not None and bool(member.traits.get("streaming")) and member.shape.type == "blob"


def input_body_members(shape: Shape | None) -> list[Member]:
    """The members that travel in a request's body without a payload member."""
    return [member for member in shape.members.values() if not member.location] if shape else []


def output_body_members(shape: Shape | None) -> list[Member]:
    """Those of a response. Places that only requests have (a shape may serve both ways) do not count there."""
    if shape is None:
        return []
    return [member for member in shape.members.values() if member.location not in ("header", "headers", "statusCode")]


def _label_parts(operation: Operation, members: list[Member]) -> list[Part]:
    if not members:
        return []
    segments = path_of(operation.uri)
    greedy = next((at for at, segment in enumerate(segments) if segment.endswith("+}")), len(segments))
    by_name = {member.wire_name: member for member in members}
    places: list[tuple[str, int, int | None, Callable[[str], Any]]] = []
    for at, segment in enumerate(segments):
        if segment.startswith("{"):
            member = by_name[segment.strip("{}+")]
            # Places behind a greedy label are counted from the end.
            start = at if at <= greedy else at - len(segments)
            end = (at + 1 - len(segments) or None) if at == greedy else start + 1 or None
            places.append((member.name, start, end, text_reader(member, ISO8601)))

    def read(request: HttpRequest, out: dict[str, Any]) -> None:
        given = request.path[1:].split("/")
        for name, start, end, convert in places:
            text = decoded("/".join(given[start:end]))
            out[name] = _converted(name, text, convert)

    return [read]


def _converted(name: str, text: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(text)
    except (ValueError, OverflowError):
        raise BadBinding(name, text) from None


def query_pairs(request: HttpRequest) -> list[tuple[str, str]]:
    """The query's parameters. Raises form.BadForm."""
    query = request.query
    if not query.isascii():
        try:
            query = query.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise form.BadForm("not UTF-8") from None
    return form.pairs(query)


def _query_parts(operation: Operation, members: list[Member]) -> list[Part]:
    if not members:
        return []
    single: dict[str, tuple[str, Callable[[str], Any]]] = {}
    lists: dict[str, tuple[str, Callable[[str], Any]]] = {}
    rest: tuple[str, bool] | None = None
    # Parameters that the template itself has belong to no map.
    fixed = {part.partition("=")[0] for part in operation.uri.partition("?")[2].split("&")}
    for member in members:
        shape = member.shape
        if shape.type == "list":
            assert shape.item is not None, "a list has a member"
            lists[member.wire_name] = (member.name, text_reader(shape.item, ISO8601))
        elif shape.type == "map":
            assert shape.value is not None, "a map has a value"
            rest = (member.name, shape.value.shape.type == "list")
        else:
            single[member.wire_name] = (member.name, text_reader(member, ISO8601))

    def read(request: HttpRequest, out: dict[str, Any]) -> None:
        if not request.query:
            return
        for name, text in query_pairs(request):
            if name in single:
                target, convert = single[name]
                out[target] = _converted(target, text, convert)
            elif name in lists:
                target, convert = lists[name]
                out.setdefault(target, []).append(_converted(target, text, convert))
            elif rest is not None and name not in fixed:
                gathered = out.setdefault(rest[0], {})
                if rest[1]:
                    gathered.setdefault(name, []).append(text)
                else:
                    gathered[name] = text

    return [read]


def _header_parts(members: list[Member]) -> list[Part]:
    if not members:
        return []
    targets = {member.wire_name.lower(): (member.name, _header_reader(member)) for member in members}
    assert len(targets) == len(members), "a header is one member's"

    def read(request: HttpRequest, out: dict[str, Any]) -> None:
        # By the headers that came, since a model may know forty of which three do.
        for header, text in request.headers.items():
            target = targets.get(header)
            if target is not None:
                name, convert = target
                value = _converted(name, text, convert)
                if value != []:  # an empty list is not sent
                    out[name] = value

    return [read]


def _header_reader(member: Member) -> Callable[[str], Any]:
    shape = member.shape
    if member.traits.get("jsonvalue"):
        return lambda text: msgspec.json.decode(binascii.a2b_base64(text, strict_mode=True))
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        convert = text_reader(shape.item, RFC822)
        dates = (
            shape.item.shape.type == "timestamp" and shape.item.traits.get("timestampFormat", RFC822).lower() == RFC822
        )
        return lambda text: [convert(item) for item in split_header_list(text, dates=dates)]
    return text_reader(member, RFC822)


# A quoted string with escapes, or anything up to the next comma; both linear.
_LIST_ITEM = re.compile(r'[ \t]*(?:"((?:[^"\\]|\\.)*)"[ \t]*|([^,]*))(?:,|$)', re.DOTALL)


def split_header_list(text: str, *, dates: bool = False) -> list[str]:
    """The values of a header that holds a list (RFC 9110, section 5.6.1). HTTP dates have a comma of their own."""
    if '"' not in text:
        items = [item.strip() for item in text.split(",")]
    else:
        items = []
        at = 0
        while at < len(text):
            match = _LIST_ITEM.match(text, at)
            if match is None or match.end() == at:
                raise ValueError("a broken quoted string")
            quoted, plain = match.groups()
            items.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
            at = match.end()
    if dates:
        items = [f"{day}, {rest}" for day, rest in zip(items[::2], items[1::2], strict=True)]
    return [item for item in items if item]


def _prefix_part(member: Member) -> Part:
    name, prefix = member.name, str(member.traits.get("locationName", "")).lower()

    def read(request: HttpRequest, out: dict[str, Any]) -> None:
        found = {header[len(prefix) :]: text for header, text in request.headers.items() if header.startswith(prefix)}
        if found:
            out[name] = found

    return read


# Responses


@dataclass(frozen=True, slots=True)
class ResponseParts:
    """What of an output stands outside the body."""

    headers: Callable[[Mapping[str, Any], list[tuple[str, str]]], None]
    status: str
    """The member that is the HTTP status, or empty."""
    length: str
    """The member that is Content-Length, or empty: the sender writes that header."""
    content_type: str
    """The member that is Content-Type, or empty."""


def response_parts(shape: Shape | None) -> ResponseParts:
    members = list(shape.members.values()) if shape else []
    by_header = {member.wire_name.lower(): member.name for member in members if member.location == "header"}
    length = by_header.get("content-length", "")
    plain = {
        member.name: (member.wire_name, _header_writer(member))
        for member in members
        if member.location == "header" and member.name != length
    }
    prefixed = [
        (member.name, str(member.traits.get("locationName", ""))) for member in members if member.location == "headers"
    ]

    def write(out: Mapping[str, Any], headers: list[tuple[str, str]]) -> None:
        for name, value in out.items():
            target = plain.get(name)
            if target is not None and value is not None:
                header, convert = target
                headers.append((header, convert(value)))
        for name, prefix in prefixed:
            for key, value in (out.get(name) or {}).items():
                headers.append((header_text(prefix + key), header_text(value)))

    status = next((member.name for member in members if member.location == "statusCode"), "")
    return ResponseParts(write, status, length, by_header.get("content-type", ""))


def _header_writer(member: Member) -> Callable[[Any], str]:
    """A value as a header's text. Only strings can hold what a header may not."""
    shape = member.shape
    if member.traits.get("jsonvalue"):
        return lambda value: binascii.b2a_base64(msgspec.json.encode(value), newline=False).decode("ascii")
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        convert = text_writer(shape.item, RFC822)
        quotes = shape.item.shape.type == "string"
        return lambda value: header_text(",".join(_list_item(convert(item), quotes) for item in value))
    if shape.type in ("string", "character"):
        return header_text
    return text_writer(member, RFC822)


def _list_item(text: str, quotes: bool) -> str:
    if quotes and ("," in text or '"' in text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


_NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def header_text(value: str) -> str:
    """A header's value without line breaks and controls, which would end the header: some values (S3's response-* overrides)
    come from the client."""
    return value if value.isprintable() else _NOT_IN_HEADERS.sub(" ", value)
