"""The Range header. Pure. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import re

from unkai.services.s3 import errors

_ONE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)
_COPY = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII)


def span(header: str, size_bytes: int) -> tuple[int, int] | None:
    """The half-open span of bytes that is asked for; None where the whole is.

    Several ranges, and what is no range at all, give the whole object, as S3 answers them. Raises InvalidRange.
    """
    found = _ONE.fullmatch(header.strip().replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        count = min(int(last), size_bytes)
        if not count:
            raise errors.invalid_range(header, size_bytes)
        return size_bytes - count, size_bytes
    begin = int(first)
    if last and int(last) < begin:
        return None
    if begin >= size_bytes:
        raise errors.invalid_range(header, size_bytes)
    return begin, min(int(last) + 1, size_bytes) if last else size_bytes


def copy_span(header: str, size_bytes: int) -> tuple[int, int]:
    """The span of UploadPartCopy, which knows only `bytes=first-last` within the object."""
    found = _COPY.fullmatch(header)
    if found is None or int(found[2]) < int(found[1]):
        raise errors.invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based "
            "offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            header,
        )
    if int(found[2]) >= size_bytes:
        raise errors.invalid_argument(
            f"Range specified is not valid for source object of size: {size_bytes}", "x-amz-copy-source-range", header
        )
    return int(found[1]), int(found[2]) + 1
