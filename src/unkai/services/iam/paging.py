"""Marker, MaxItems and IsTruncated. https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html

A marker is the name of the last item of the page before: a position, which stays right whatever is made or deleted meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.iam import errors, limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unkai.store.api import ReadTx

BATCH = 256
MARKER_DIGITS_MAX = 9


def truncation(marker: str | None) -> dict[str, Any]:
    return {"IsTruncated": False} if marker is None else {"IsTruncated": True, "Marker": marker}


def _after(inp: Mapping[str, Any]) -> str:
    """The name that the page begins after. Ours are short ASCII; anything else was made up."""
    marker = str(inp.get("Marker", ""))
    if len(marker) > limits.MARKER_SIZE_CHARS_MAX or not marker.isascii():
        raise errors.invalid_marker()
    return marker


def page_of(
    items: Sequence[Any], inp: Mapping[str, Any], name: Callable[[Any], str]
) -> tuple[list[Any], dict[str, Any]]:
    """One page of a short list that is all there, in order of name, and the members that say whether there is more."""
    after = _after(inp)
    rest = [item for item in sorted(items, key=name) if name(item) > after]
    limit = inp.get("MaxItems", limits.PAGE_DEFAULT)
    page = rest[:limit]
    return page, truncation(name(page[-1]) if len(rest) > limit else None)


def page_by_position(items: Sequence[Any], inp: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """One page of what the input itself lists, in its order. The marker is how many came before."""
    marker = inp.get("Marker", "0")
    if not (marker.isascii() and marker.isdigit() and len(marker) < MARKER_DIGITS_MAX):
        raise errors.invalid_marker()
    begin, limit = int(marker), inp.get("MaxItems", limits.PAGE_DEFAULT)
    more = str(begin + limit) if begin + limit < len(items) else None
    return list(items[begin : begin + limit]), truncation(more)


async def page_of_range(
    tx: ReadTx,
    bounds: tuple[bytes, bytes],
    inp: Mapping[str, Any],
    key: Callable[[str], bytes],
    read: Callable[[bytes, bytes], tuple[str, Any]],
) -> tuple[list[Any], str | None]:
    """One page of stored rows. `key(name)` is a name's key; `read(key, value)` gives its name, and the item or None: not wanted.

    Looks at a bounded number of rows: where few are wanted the page is short, and its marker says where to go on.
    """
    begin, end = bounds
    if after := _after(inp):
        begin = max(begin, key(after) + b"\0")
    limit = inp.get("MaxItems", limits.PAGE_DEFAULT)
    items: list[Any] = []
    looked = 0
    marker = None
    while True:
        pairs = await tx.get_range(begin, end, limit=BATCH)
        for at, value in pairs:
            name, item = read(at, value)
            if looked == limits.SCAN_ROWS_MAX or (len(items) == limit and item is not None):
                return items, marker
            marker = name
            looked += 1
            if item is not None:
                items.append(item)
        if len(pairs) < BATCH:
            return items, None
        begin = pairs[-1][0] + b"\0"
