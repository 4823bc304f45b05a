"""XML: bytes to a small tree and on to values of a shape, and values to text.

The parser is expat with everything off that is not elements, attributes and text: a document type (and so every entity beyond
the five of XML itself) is refused, depth and number of elements are bounded. Namespaces are read and then ignored, as AWS does.
https://smithy.io/2.0/spec/protocol-traits.html#xml-bindings
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.parsers import expat

from unkai.wire.compile import structure_once
from unkai.wire.formats.text import text_reader, text_writer
from unkai.wire.timestamps import ISO8601

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.model.shapes import Member, Shape

DEPTH_MAX = 64
ELEMENTS_MAX = 200_000
"""CompleteMultipartUpload of 10,000 parts, each with all its checksums, has 90,000."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_SEPARATOR = "}"


class BadXml(ValueError):
    """Not well-formed, or not of the shape, or larger than we read."""


class Node(NamedTuple):
    name: str
    attributes: dict[str, str]
    pieces: list[str]
    children: list[Node]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


NodeReader = Callable[[Node], Any]
ElementWriter = Callable[[list[str], Any], None]


def parse(body: bytes) -> Node:
    """The root element. Raises BadXml."""
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=_SEPARATOR)
    top = Node("", {}, [], [])
    stack = [top]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > DEPTH_MAX or count > ELEMENTS_MAX:
            raise BadXml("too deep or too many elements")
        if attributes:
            attributes = {key.rpartition(_SEPARATOR)[2]: value for key, value in attributes.items()}
        node = Node(name.rpartition(_SEPARATOR)[2], attributes, [], [])
        stack[-1].children.append(node)
        stack.append(node)

    def end(name: str) -> None:
        stack.pop()

    def characters(text: str) -> None:
        stack[-1].pieces.append(text)

    def refuse(*arguments: Any) -> int:
        raise BadXml("a document type is not allowed")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise BadXml("not well-formed") from error
    return top.children[0]


# Reading


def structure_reader(members: list[Member], made: dict[int, Any]) -> NodeReader:
    """Reads the children of a node as `members`. Unknown elements are ignored."""
    single: dict[str, tuple[str, NodeReader]] = {}
    repeated: dict[str, tuple[str, NodeReader, bool]] = {}
    attributes: dict[str, str] = {}
    for member in members:
        if member.traits.get("xmlAttribute"):
            attributes[member.wire_name.rpartition(":")[2]] = member.name
        elif _is_flattened(member):
            reader, is_map = _flat_reader(member, made)
            for name in _flat_names(member):
                repeated[name] = (member.name, reader, is_map)
        else:
            single[member.wire_name] = (member.name, node_reader(member, made))

    def read(node: Node) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for child in node.children:
            found = single.get(child.name)
            if found is not None:
                out[found[0]] = found[1](child)
                continue
            many = repeated.get(child.name)
            if many is None:
                continue
            name, reader, is_map = many
            if is_map:
                key, value = reader(child)
                out.setdefault(name, {})[key] = value
            else:
                out.setdefault(name, []).append(reader(child))
        for attribute, value in node.attributes.items():
            if attribute in attributes:
                out[attributes[attribute]] = value
        return out

    return read


def node_reader(member: Member, made: dict[int, Any]) -> NodeReader:
    shape = member.shape
    if shape.type == "structure":
        return structure_once(made, shape, lambda: structure_reader(list(shape.members.values()), made))
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        item = node_reader(shape.item, made)
        return lambda node: [item(child) for child in node.children]
    if shape.type == "map":
        pair = _pair_reader(shape, made)
        return lambda node: dict(pair(child) for child in node.children)
    convert = text_reader(member, ISO8601)
    return lambda node: convert(node.text)


def _is_flattened(member: Member) -> bool:
    return bool(member.traits.get("flattened")) and member.shape.type in ("list", "map")


def _flat_names(member: Member) -> set[str]:
    """A flattened list's element bears the list's name, but clients disagree where the list's items are named too."""
    item = member.shape.item
    return (
        {member.wire_name, item.traits["locationName"]}
        if item and "locationName" in item.traits
        else {member.wire_name}
    )


def _flat_reader(member: Member, made: dict[int, Any]) -> tuple[NodeReader, bool]:
    if member.shape.type == "map":
        return _pair_reader(member.shape, made), True
    assert member.shape.item is not None, "a list has a member"
    return node_reader(member.shape.item, made), False


def _pair_reader(shape: Shape, made: dict[int, Any]) -> Callable[[Node], tuple[Any, Any]]:
    assert shape.key is not None, "a map has a key"
    assert shape.value is not None, "a map has a value"
    key_name, value_name = _pair_names(shape)
    read_key, read_value = node_reader(shape.key, made), node_reader(shape.value, made)

    def read(node: Node) -> tuple[Any, Any]:
        by_name = {child.name: child for child in node.children}
        if key_name not in by_name or value_name not in by_name:
            raise BadXml("a map entry without key or value")
        return read_key(by_name[key_name]), read_value(by_name[value_name])

    return read


def _pair_names(shape: Shape) -> tuple[str, str]:
    assert shape.key is not None, "a map has a key"
    assert shape.value is not None, "a map has a value"
    key, value = shape.key.traits, shape.value.traits
    return (
        key.get("queryName") or key.get("locationName", "key"),
        value.get("queryName") or value.get("locationName", "value"),
    )


# Writing


class Style(NamedTuple):
    """What differs between services: S3 always writes milliseconds."""

    milliseconds: bool = False


def structure_writer(members: list[Member], style: Style, made: dict[int, Any]) -> ElementWriter:
    """Writes `members` as child elements, in the model's order."""
    writers = [
        (member.name, element_writer(member, _element_name(member), style, made))
        for member in members
        if not member.traits.get("xmlAttribute")
    ]
    attributes = len(members) - len(writers)
    names = frozenset(member.name for member in members)

    def write(out: list[str], value: Mapping[str, Any]) -> None:
        written = 0
        for name, write_member in writers:
            item = value.get(name)
            if item is not None:
                write_member(out, item)
                written += 1
        # Fewer written than given: absent ones are None, attributes stand in the start tag, anything else is a defect.
        if written < len(value) and (not attributes or written + attributes < len(value)):
            assert names >= {key for key, item in value.items() if item is not None}, (
                f"unknown members in {sorted(value)}"
            )

    return write


def element_writer(member: Member, name: str, style: Style, made: dict[int, Any]) -> ElementWriter:
    """Writes `member` as element `name`, or as several of that name where it is flattened."""
    shape = member.shape
    start, end = f"<{name}{_namespace(member.traits)}>", f"</{name}>"
    if shape.type == "structure":
        return _structure_element(member, name, style, made)
    if shape.type == "list":
        return _list_element(member, name, style, made)
    if shape.type == "map":
        return _map_element(member, name, style, made)
    convert = text_writer(member, ISO8601, milliseconds=style.milliseconds)

    def write(out: list[str], value: Any) -> None:
        out.append(f"{start}{escape(convert(value))}{end}")

    return write


def _structure_element(member: Member, name: str, style: Style, made: dict[int, Any]) -> ElementWriter:
    shape = member.shape
    write_children = structure_once(made, shape, lambda: structure_writer(list(shape.members.values()), style, made))
    attributes = [(part.name, part.wire_name) for part in shape.members.values() if part.traits.get("xmlAttribute")]
    start, end = f"<{name}{_namespace(member.traits)}>", f"</{name}>"

    def write(out: list[str], value: Any) -> None:
        if attributes:
            given = "".join(f' {wire}="{escape(value[key])}"' for key, wire in attributes if value.get(key) is not None)
            out.append(f"{start[:-1]}{given}>")
        else:
            out.append(start)
        write_children(out, value)
        out.append(end)

    return write


def _list_element(member: Member, name: str, style: Style, made: dict[int, Any]) -> ElementWriter:
    shape = member.shape
    assert shape.item is not None, "a list has a member"
    if _is_flattened(member):
        item = element_writer(shape.item, name, style, made)

        def write_flat(out: list[str], value: Any) -> None:
            for part in value:
                item(out, part)

        return write_flat
    item = element_writer(shape.item, shape.item.traits.get("locationName", "member"), style, made)
    start, end = f"<{name}{_namespace(member.traits)}>", f"</{name}>"

    def write(out: list[str], value: Any) -> None:
        out.append(start)
        for part in value:
            item(out, part)
        out.append(end)

    return write


def _map_element(member: Member, name: str, style: Style, made: dict[int, Any]) -> ElementWriter:
    shape = member.shape
    assert shape.key is not None, "a map has a key"
    assert shape.value is not None, "a map has a value"
    key_name, value_name = _pair_names(shape)
    write_key = element_writer(shape.key, key_name, style, made)
    write_value = element_writer(shape.value, value_name, style, made)
    flat = _is_flattened(member)
    start, end = ("", "") if flat else (f"<{name}{_namespace(member.traits)}>", f"</{name}>")
    entry = name if flat else "entry"

    def write(out: list[str], value: Any) -> None:
        out.append(start)
        for key, item in value.items():
            if item is not None:
                out.append(f"<{entry}>")
                write_key(out, key)
                write_value(out, item)
                out.append(f"</{entry}>")
        out.append(end)

    return write


def _element_name(member: Member) -> str:
    """A flattened list is known by the name of its items where they have one."""
    if "queryName" in member.traits:  # a service whose JSON names differ from its XML names (SQS)
        return str(member.traits["queryName"])
    item = member.shape.item
    if _is_flattened(member) and item is not None and "locationName" in item.traits:
        return str(item.traits["locationName"])
    return member.wire_name


def _namespace(traits: Mapping[str, Any]) -> str:
    namespace = traits.get("xmlNamespace")
    if not namespace:
        return ""
    if isinstance(namespace, str):
        return f' xmlns="{escape(namespace)}"'
    prefix = f":{namespace['prefix']}" if namespace.get("prefix") else ""
    return f' xmlns{prefix}="{escape(namespace["uri"])}"'


_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """Text for an element or attribute. Characters that XML 1.0 cannot hold become references all the same, as S3 writes them
    (clients ask for encoding-type=url where keys hold them); lone surrogates have no form at all."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    if char in _NAMED:
        return _NAMED[char]
    return "\ufffd" if "\ud800" <= char <= "\udfff" else f"&#{ord(char)};"
