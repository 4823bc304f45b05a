"""Tags of buckets and objects: the sets in AWS's form, and the header. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from unkai.services.s3 import errors, limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def from_set(tag_set: Sequence[Mapping[str, str]], count_max: int) -> dict[str, str]:
    """The tags of a TagSet, checked."""
    if len(tag_set) > count_max:
        if count_max == limits.TAGS_PER_OBJECT_MAX:
            raise errors.bad_request("Object tags cannot be greater than 10")
        raise errors.bad_request(f"Bucket tag count cannot be greater than {count_max}")
    tags: dict[str, str] = {}
    for tag in tag_set:
        name, value = tag["Key"], tag["Value"]
        _check(name, value)
        if name in tags:
            raise errors.invalid_tag("Cannot provide multiple Tags with the same key")
        tags[name] = value
    return tags


def from_header(header: str) -> dict[str, str]:
    """The tags of x-amz-tagging: a query string."""
    try:
        pairs = parse_qsl(header, keep_blank_values=True, max_num_fields=100, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise _bad_header(header) from None
    if len(pairs) != len(dict(pairs)):
        raise _bad_header(header)
    return from_set([{"Key": name, "Value": value} for name, value in pairs], limits.TAGS_PER_OBJECT_MAX)


def _bad_header(header: str) -> Exception:
    return errors.invalid_argument(
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        "x-amz-tagging",
        header,
    )


def _check(name: str, value: str) -> None:
    if not 0 < len(name) <= limits.TAG_KEY_CHARS_MAX or not limits.TAG_CHARACTERS.fullmatch(name):
        raise errors.invalid_tag("The TagKey you have provided is invalid")
    if len(value) > limits.TAG_VALUE_CHARS_MAX or not limits.TAG_CHARACTERS.fullmatch(value):
        raise errors.invalid_tag("The TagValue you have provided is invalid")
    if name.lower().startswith("aws:"):
        raise errors.invalid_tag("System tags cannot be added/updated by requester")


def to_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """In order of their names, as S3 gives them."""
    return [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
