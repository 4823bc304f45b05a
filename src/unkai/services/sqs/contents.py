"""What a message may consist of, its size and the checksums that SDKs compare. Pure rules.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from unkai.services.sqs import errors, limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from hashlib import _Hash

    Attributes = Mapping[str, Mapping[str, Any]]

_TEXT, _BYTES = b"\x01", b"\x02"
NUMBER_DIGITS_MAX = 38
NUMBER_EXPONENT_MAX = 126


def md5_of_body(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Attributes) -> str:
    """The checksum of message attributes: of each by name, length and bytes of name, type and value, and the kind of value.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        _part(digest, name.encode())
        _part(digest, attribute["DataType"].encode())
        if "BinaryValue" in attribute:
            digest.update(_BYTES)
            _part(digest, attribute["BinaryValue"])
        else:
            digest.update(_TEXT)
            _part(digest, attribute["StringValue"].encode())
    return digest.hexdigest()


def _part(digest: _Hash, data: bytes) -> None:
    digest.update(len(data).to_bytes(4, "big"))
    digest.update(data)


def size_bytes(body: str, attributes: Attributes) -> int:
    """What counts against MaximumMessageSize: the body, and names, types and values of the message attributes."""
    size = len(body.encode())
    for name, attribute in attributes.items():
        size += len(name.encode()) + len(attribute.get("DataType", "").encode())
        size += len(attribute.get("StringValue", "").encode()) + len(attribute.get("BinaryValue", b""))
    return size


def check_message(body: str, attributes: Attributes, size_bytes_max: int, *, in_batch: bool = False) -> None:
    """Refuse what SendMessage refuses in body and message attributes."""
    if not body:
        raise errors.missing_parameter("MessageBody")
    if attributes:
        _check_attributes(attributes)
    if len(body) > size_bytes_max or size_bytes(body, attributes) > size_bytes_max:
        raise errors.message_too_long(size_bytes_max, in_batch=in_batch)
    if limits.FORBIDDEN_CHARACTERS.search(body):
        raise errors.invalid_message_contents()


def _check_attributes(attributes: Attributes) -> None:
    if len(attributes) > limits.ATTRIBUTES_MAX:
        raise errors.invalid_parameter(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{limits.ATTRIBUTES_MAX}]."
        )
    for name, attribute in attributes.items():
        _check_name(name)
        check_value(name, attribute)


def _check_name(name: str) -> None:
    if not name or len(name.encode()) > limits.ATTRIBUTE_NAME_MAX:
        raise errors.invalid_parameter("Message (user) attribute names must be shorter than 256 Bytes")
    if not limits.ATTRIBUTE_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "Message (user) attributes name can only contain upper and lower score characters, digits, periods, "
            "hyphens and underscores."
        )
    if name.lower().startswith(("aws.", "amazon.")) or name[0] == "." or name[-1] == "." or ".." in name:
        raise errors.invalid_parameter(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for "
            "internal use. Additionally, they cannot start or end with '.'."
        )


def check_value(name: str, attribute: Mapping[str, Any]) -> None:
    """The value of one message attribute, or message system attribute: of the type that it names, and not empty."""
    data_type = attribute.get("DataType", "")
    base = data_type.split(".", 1)[0]
    if base not in ("String", "Number", "Binary") or len(data_type.encode()) > limits.ATTRIBUTE_TYPE_MAX:
        raise errors.invalid_parameter(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is "
            "Binary, Number, and String."
        )
    wanted = "BinaryValue" if base == "Binary" else "StringValue"
    other = "StringValue" if base == "Binary" else "BinaryValue"
    if attribute.get("StringListValues") or attribute.get("BinaryListValues"):
        raise errors.unsupported_operation("Message attribute list values in SendMessage operation are not supported.")
    if not attribute.get(wanted) or attribute.get(other):
        raise errors.invalid_parameter(
            f"Message (user) attribute '{name}' must contain a non-empty value of type '{base}'."
        )
    if base == "Number" and not _is_number(attribute["StringValue"]):
        raise errors.invalid_parameter(f"Could not cast message attribute '{name}' value to number.")
    if base == "String" and limits.FORBIDDEN_CHARACTERS.search(attribute["StringValue"]):
        raise errors.invalid_message_contents()


def _is_number(text: str) -> bool:
    """Up to 38 digits, between -10^126 and 10^126."""
    if len(text) > 256 or "_" in text:
        return False
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return (
        number.is_finite()
        and len("".join(map(str, number.as_tuple().digits)).strip("0")) <= NUMBER_DIGITS_MAX
        and number.adjusted() <= NUMBER_EXPONENT_MAX
    )


def chosen_attributes(attributes: Attributes, asked: Iterable[str]) -> dict[str, Any]:
    """The message attributes that `asked` names: `All` or `.*`, names, and prefixes that end in `.*`."""
    names = set(asked)
    if names & {"All", ".*"}:
        return dict(attributes)
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return {
        name: value
        for name, value in attributes.items()
        if name in names or any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
    }


def stored_attributes(attributes: Attributes) -> dict[str, Any]:
    """What is kept of message attributes: the empty lists that some clients send along are not."""
    kept = ("DataType", "StringValue", "BinaryValue")
    return {name: {key: value[key] for key in kept if value.get(key)} for name, value in attributes.items()}
