"""The atomic operations as pure functions from a stored value to the next one, shared by all engines."""

from __future__ import annotations

from typing import Any

from unkai.store.api import ADD, MAX, MIN, read_counter

COUNTER_SIZE_BYTES = 8


def apply(kind: int, stored: bytes | None, operand: Any) -> bytes:
    """What a key holds after `kind` was applied to it. A counter wraps no further than 64 bits: that is a defect."""
    if kind == ADD:
        return (read_counter(stored) + int(operand)).to_bytes(COUNTER_SIZE_BYTES, "big", signed=True)
    value: bytes = operand
    if kind == MAX:
        return value if stored is None or value > stored else stored
    assert kind == MIN, "an atomic operation"
    return value if stored is None or value < stored else stored
