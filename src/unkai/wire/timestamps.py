"""Timestamps on the wire: three formats, to and from integer milliseconds since the epoch.

`iso8601` (RFC 3339, UTC), `rfc822` (the HTTP date of RFC 9110 section 5.6.7) and `unixTimestamp` (seconds).
Which applies where: https://smithy.io/2.0/spec/protocol-traits.html#timestampformat-trait
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ISO8601 = "iso8601"
RFC822 = "rfc822"
UNIX = "unixtimestamp"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS_MIN = -62_135_596_800_000  # 0001-01-01
MS_MAX = 253_402_300_799_999  # 9999-12-31

_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?(?:(Z|z)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_RFC822 = re.compile(
    r"(?:[A-Za-z]{3,9},? )? ?(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? (GMT|UTC|[+-]0000)",
    re.ASCII,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = tuple(name.capitalize() for name in _MONTHS)
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def format_of(traits: Mapping[str, Any], default: str) -> str:
    """The format that `traits` state, or the default of the place."""
    return str(traits.get("timestampFormat", default)).lower()


def seconds_of(ms: int) -> int | float:
    """Seconds for a JSON or CBOR number: whole where `ms` is whole seconds."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def from_seconds(value: float) -> int:
    """Milliseconds of a number of seconds. Raises ValueError outside the years 1 to 9999."""
    if not -62_135_596_800 <= value <= 253_402_300_800:  # False for NaN too
        raise ValueError("out of range")
    ms = value * 1000 if value.__class__ is int else round(value * 1000)
    return int(ms)


def to_text(ms: int, form: str, *, milliseconds: bool = False) -> str:
    """`milliseconds`: ISO timestamps always carry a fraction, as S3's do; others leave a fraction of zero away."""
    assert ms.__class__ is int, f"a timestamp in an output is {type(ms).__name__}"
    if form == ISO8601:
        moment = _EPOCH + timedelta(seconds=ms // 1000)
        fraction = f".{ms % 1000:03d}" if milliseconds or ms % 1000 else ""
        return f"{moment.isoformat()[:19]}{fraction}Z"
    if form == RFC822:
        moment = _EPOCH + timedelta(seconds=ms // 1000)
        # Not strftime's %a and %b: they follow the process's locale.
        return (
            f"{_DAY_NAMES[moment.weekday()]}, {moment.day:02d} {_MONTH_NAMES[moment.month - 1]} "
            f"{moment.year:04d} {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} GMT"
        )
    assert form == UNIX, f"unknown timestamp format {form}"
    return str(seconds_of(ms))


def from_text(text: str, form: str) -> int:
    """Milliseconds of `text` in format `form`; the other formats are understood too, as AWS's own parsers do.

    Raises ValueError.
    """
    if len(text) > 64:
        raise ValueError("not a timestamp")
    text = text.strip()
    if form != UNIX or not _is_number(text):
        match = _ISO.fullmatch(text) if text[:4].isdigit() else None
        if match:
            return _from_iso(match)
        match = _RFC822.fullmatch(text)
        if match:
            return _from_rfc822(match)
    if _is_number(text):
        return from_seconds(float(text) if "." in text or "e" in text.lower() else int(text))
    raise ValueError("not a timestamp")


_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _from_iso(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = match.groups()
    moment = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), tzinfo=UTC
    )
    offset_minutes = (int(zone_hour or 0) * 60 + int(zone_minute or 0)) * (-1 if sign == "-" else 1)
    return _milliseconds(moment, fraction) - offset_minutes * 60_000


def _from_rfc822(match: re.Match[str]) -> int:
    day, month, year, hour, minute, second, fraction, _ = match.groups()
    if month.lower() not in _MONTHS:
        raise ValueError("not a month")
    moment = datetime(
        int(year),
        _MONTHS.index(month.lower()) + 1,
        int(day),
        int(hour),
        int(minute),
        min(int(second), 59),
        tzinfo=UTC,
    )
    return _milliseconds(moment, fraction)


def _milliseconds(moment: datetime, fraction: str | None) -> int:
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + int((fraction or "0")[:3].ljust(3, "0"))
