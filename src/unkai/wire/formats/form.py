"""Form parameters of the query protocol: `Tags.member.1.Key=a` to values of a shape.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#request-serialization
The parameters are put into a tree once, in one pass, so that the time is linear whatever is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from unkai.wire.compile import structure_once
from unkai.wire.formats.text import text_reader
from unkai.wire.timestamps import ISO8601

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.model.shapes import Member

PARAMETERS_MAX = 100_000
DEPTH_MAX = 64

Tree = dict[str, Any]
"""Each value is a text or a tree; a text that also has children stands in its tree under the empty name."""

TreeReader = Callable[[Any], Any]


class BadForm(ValueError):
    """Not a form, or not of the shape."""


def pairs(text: str) -> list[tuple[str, str]]:
    """The parameters in order. Percent-decoded as UTF-8, a plus is a space. Raises BadForm."""
    parts = text.split("&") if text else []
    if len(parts) > PARAMETERS_MAX:
        raise BadForm("too many parameters")
    out = []
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            out.append((_decoded(name), _decoded(value)))
    return out


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("utf-8")).decode("utf-8")
    except UnicodeError:
        raise BadForm("not UTF-8") from None


def tree(parameters: list[tuple[str, str]]) -> Tree:
    root: Tree = {}
    for name, value in parameters:
        node = root
        parts = name.split(".", DEPTH_MAX)
        for part in parts[:-1]:
            inner = node.get(part)
            if inner.__class__ is not dict:
                inner = node[part] = {} if inner is None else {"": inner}
            node = inner
        last = parts[-1]
        if node.get(last).__class__ is dict:
            node[last][""] = value
        else:
            node[last] = value
    return root


def structure_reader(members: list[Member], made: dict[int, Any]) -> TreeReader:
    fields = [(name.split("."), member.name, _reader(member, made)) for member in members for name in _names(member)]

    def read(node: Any) -> dict[str, Any]:
        if node.__class__ is not dict:
            if node == "":
                return {}
            raise BadForm("a value stands where a structure is expected")
        out: dict[str, Any] = {}
        for path, name, reader in fields:
            found = _walk(node, path)
            if found is not None and name not in out:
                out[name] = reader(found)
        return out

    return read


def _walk(node: Any, path: list[str]) -> Any:
    for part in path:
        if node.__class__ is not dict:
            return None
        node = node.get(part)
    return node


def query_name(member: Member, default: str) -> str:
    return str(member.traits.get("queryName") or member.traits.get("locationName") or default)


def _names(member: Member) -> list[str]:
    name = query_name(member, member.name)
    item = member.shape.item
    if member.traits.get("flattened") and item is not None and "locationName" in item.traits:
        return [item.traits["locationName"], name]
    return [name]


def _reader(member: Member, made: dict[int, Any]) -> TreeReader:
    shape = member.shape
    if shape.type == "structure":
        return structure_once(made, shape, lambda: structure_reader(list(shape.members.values()), made))
    if shape.type == "list":
        return _list_reader(member, made)
    if shape.type == "map":
        return _map_reader(member, made)
    convert = text_reader(member, ISO8601)

    def read(node: Any) -> Any:
        text = node.get("") if node.__class__ is dict else node
        if text is None:
            raise BadForm("a structure stands where a value is expected")
        return convert(text)

    return read


def _list_reader(member: Member, made: dict[int, Any]) -> TreeReader:
    assert member.shape.item is not None, "a list has a member"
    item = _reader(member.shape.item, made)
    flattened = bool(member.traits.get("flattened"))
    wrappers = dict.fromkeys((query_name(member.shape.item, "member"), "member"))

    def read(node: Any) -> list[Any]:
        if node == "":
            return []  # an empty list is sent as an empty value
        if not flattened:
            node = _unwrapped(node, wrappers)
        return [item(part) for part in _numbered(node)]

    return read


def _map_reader(member: Member, made: dict[int, Any]) -> TreeReader:
    shape = member.shape
    assert shape.key is not None, "a map has a key"
    assert shape.value is not None, "a map has a value"
    read_key, read_value = _reader(shape.key, made), _reader(shape.value, made)
    key_name, value_name = query_name(shape.key, "key"), query_name(shape.value, "value")
    flattened = bool(member.traits.get("flattened"))
    wrappers = {"entry": None}

    def read(node: Any) -> dict[str, Any]:
        if node == "":
            return {}
        if not flattened:
            node = _unwrapped(node, wrappers)
        out = {}
        for part in _numbered(node):
            if part.__class__ is not dict or key_name not in part or value_name not in part:
                raise BadForm("a map entry without key or value")
            out[read_key(part[key_name])] = read_value(part[value_name])
        return out

    return read


def _unwrapped(node: Any, wrappers: Mapping[str, None]) -> Any:
    if node.__class__ is dict:
        for wrapper in wrappers:
            if wrapper in node:
                return node[wrapper]
    return node


def _numbered(node: Any) -> list[Any]:
    """The values of `1`, `2`, ... in the order of their numbers, which need not be without gaps."""
    if node.__class__ is not dict:
        raise BadForm("a value stands where a list is expected")
    numbers = [(int(key), value) for key, value in node.items() if key.isascii() and key.isdigit() and len(key) <= 9]
    if len(numbers) != len(node) - ("" in node):
        raise BadForm("a list's entry is not numbered")
    numbers.sort(key=lambda entry: entry[0])
    return [value for _, value in numbers]
