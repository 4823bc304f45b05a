"""Identifiers, and the only module that draws random bytes.

Ids that a handler makes are a keyed pseudo-random function of the request id and a counter: a second run of the handler
draws the same ids, and nobody without the node's secret can guess them.
"""

from __future__ import annotations

import hmac
import os

_HEX_PER_BYTE = 2


class Ids:
    """The ids of one request. Not shared between requests; each draw advances the counter."""

    __slots__ = ("_count", "_request_id", "_secret")

    def __init__(self, secret: bytes, request_id: str) -> None:
        self._secret = secret
        self._request_id = request_id
        self._count = 0

    def next_number(self) -> int:
        """A number that grows within the request: an order for what one transaction writes."""
        self._count += 1
        return self._count

    def child(self) -> Ids:
        """Ids for a transaction inside this request: different from this one's, and the same in its second run."""
        return Ids(self._secret, f"{self._request_id}/{self.next_number()}")

    def token(self, size_bytes: int = 16) -> bytes:
        """`size_bytes` unguessable bytes, the same in a second run."""
        out = b""
        request_id = self._request_id.encode()
        while len(out) < size_bytes:
            out += hmac.digest(self._secret, request_id + self.next_number().to_bytes(4, "big"), "sha256")
        return out[:size_bytes]

    @property
    def seed(self) -> str:
        """What the ids are drawn from besides the node's secret; sent along when a handler runs in another process."""
        return self._request_id

    def hex(self, digits: int = 32) -> str:
        return self.token((digits + 1) // _HEX_PER_BYTE).hex()[:digits]

    def uuid(self) -> str:
        """A UUID of version 4 by its shape."""
        return _uuid4(self.token(16))

    def base32(self, length: int) -> str:
        """Upper-case letters and the digits 2 to 7, as in access key ids."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        return "".join(alphabet[byte & 31] for byte in self.token(length))


def _uuid4(drawn: bytes) -> str:
    """16 random bytes as a UUID of version 4."""
    raw = bytearray(drawn)
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def random_bytes(size_bytes: int) -> bytes:
    return os.urandom(size_bytes)


_BATCH = 32
_fresh: list[str] = []
# A fork must not repeat its parent's ids.
os.register_at_fork(after_in_child=_fresh.clear)


def new_request_id() -> str:
    """A fresh UUID version 4. Made a batch at a time, since a system call each would show."""
    if not _fresh:
        drawn = os.urandom(16 * _BATCH)
        _fresh.extend(_uuid4(drawn[at : at + 16]) for at in range(0, len(drawn), 16))
    return _fresh.pop()
