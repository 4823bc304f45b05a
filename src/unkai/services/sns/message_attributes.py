"""What a message's attributes may be, in AWS's words, and how large they make the message. Pure.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.sns import errors, limits
from unkai.services.sns.filter_policy import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIXES = ("String", "Number", "Binary")


def check_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of all attributes in bytes: names, types and values. Raises ParameterValueInvalid."""
    size_bytes = 0
    for name, attribute in attributes.items():
        _check_name(name)
        value = _check_value(name, attribute)
        size_bytes += len(name.encode()) + len(attribute["DataType"].encode())
        size_bytes += len(value) if isinstance(value, bytes) else len(value.encode())
    return size_bytes


def _check_name(name: str) -> None:
    if len(name) >= limits.ATTRIBUTE_NAME_CHARS_MAX:
        raise errors.invalid_value("Length of message attribute name must be less than 256 bytes.")
    if not limits.ATTRIBUTE_NAME.fullmatch(name):
        strange = next((char for char in name if not limits.ATTRIBUTE_NAME.fullmatch(char)), " ")
        raise errors.invalid_value(
            f"Invalid non-alphanumeric character '#x{ord(strange):X}' was found in the message attribute name. "
            "Can only include alphanumeric characters, hyphens, underscores, or dots."
        )
    if name.startswith("."):
        raise errors.invalid_value("Invalid message attribute name starting with character '.' was found.")
    if name.endswith("."):
        raise errors.invalid_value("Invalid message attribute name ending with character '.' was found.")
    if ".." in name:
        raise errors.invalid_value("Message attribute name can not have successive '.' character.")


def _check_value(name: str, attribute: Mapping[str, Any]) -> str | bytes:
    kind: str = attribute["DataType"]
    base = kind.partition(".")[0]
    if base not in _PREFIXES:
        raise errors.invalid_value(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is "
            "Binary, Number, and String."
        )
    wanted, other = ("BinaryValue", "StringValue") if base == "Binary" else ("StringValue", "BinaryValue")
    if wanted not in attribute and other in attribute:
        field = wanted.removesuffix("Value")
        raise errors.invalid_value(f"The message attribute '{name}' with type '{kind}' must use field '{field}'.")
    value: str | bytes = attribute.get(wanted, "")
    if not value:
        raise errors.invalid_value(
            f"The message attribute '{name}' must contain non-empty message attribute value for message attribute type "
            f"'{kind}'."
        )
    if base == "Number" and not limits.NUMBER.fullmatch(value):  # type: ignore[arg-type]
        raise errors.invalid_value(f"Could not cast message attribute '{name}' value to number.")
    if kind == "String.Array":
        _check_array(name, str(value))
    return value


def _check_array(name: str, text: str) -> None:
    values = parse_json(text)
    if not isinstance(values, list) or any(isinstance(each, (list, dict)) for each in values):
        raise errors.invalid_value(
            f"The message attribute '{name}' with type 'String.Array' must contain a JSON array of strings, numbers, "
            "booleans or nulls."
        )
