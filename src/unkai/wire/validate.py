"""Checks an input against its model, in AWS's words.

Required members, lengths, ranges, patterns and enums come from the model and nowhere else. An operation's checks are compiled at
its first use; shapes without constraints cost nothing. What a service words in its own way is a `Wording` that it hands in.

Lengths are counted in characters (code points) for strings, bytes for blobs, entries for lists and maps:
https://smithy.io/2.0/spec/constraint-traits.html. Patterns must match the whole value, as Coral's do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from unkai.kernel.errors import AwsError
from unkai.kernel.wording import DEFAULT, Failure, Wording
from unkai.wire.compile import compiled, structure_once
from unkai.wire.patterns import compile_pattern
from unkai.wire.refusals import serialization_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.model.shapes import Member, Operation, Shape

SHOWN_CHARACTERS_MAX = 1024
"""How much of a refused value is shown. AWS shows all of it; a client that sends megabytes does not get them back."""

FAILURES_MAX = 50


def coral_refusal(code: str, failures: Sequence[Failure]) -> AwsError:
    """`2 validation errors detected: Value 'a' at 'b' failed to satisfy constraint: ...; Value null at ...`"""
    count = len(failures)
    noun = "error" if count == 1 else "errors"
    parts = [f"{_shown_at(failure)} failed to satisfy constraint: {failure.constraint}" for failure in failures]
    return AwsError(code, f"{count} validation {noun} detected: {'; '.join(parts)}", status=400)


Path = tuple[str | int, ...]
Check = Callable[[Any, Path, list[Failure]], None]


def validate(operation: Operation, inp: Mapping[str, Any], wording: Wording = DEFAULT) -> None:
    """Nothing, or AwsError."""
    check: Check | None = compiled(operation, "validate", _operation_check)
    if check is None:
        return
    failures: list[Failure] = []
    try:
        check(inp, (), failures)
    except RecursionError:
        raise serialization_error("The request body is nested too deeply.") from None
    if failures:
        if wording.unchecked or wording.unchecked_members:
            failures = [failure for failure in failures if _is_checked(wording, failure)]
        if failures:
            shown = failures[:FAILURES_MAX]
            raise wording.refuse(shown) if wording.refuse is not None else coral_refusal(wording.code, shown)


def _is_checked(wording: Wording, failure: Failure) -> bool:
    if failure.kind in wording.unchecked:
        return False
    return ".".join(part for part in failure.path if isinstance(part, str)) not in wording.unchecked_members


# Compilation


def _operation_check(operation: Operation) -> Check | None:
    if operation.input is None:
        return None
    made: dict[int, Any] = {}
    return _structure_check(operation.input, made)


def _has_constraints(shape: Shape, seen: set[int]) -> bool:
    """Whether anything that `shape` reaches is constrained."""
    if id(shape) in seen:
        return False
    seen.add(id(shape))
    if shape.required or shape.enum or any(name in shape.traits for name in ("min", "max", "pattern")):
        return True
    parts = [*shape.members.values(), *(part for part in (shape.item, shape.key, shape.value) if part is not None)]
    return any(_has_own_constraints(part) or _has_constraints(part.shape, seen) for part in parts)


def _has_own_constraints(member: Member) -> bool:
    return any(name in member.traits for name in ("min", "max", "pattern"))


def _structure_check(shape: Shape, made: dict[int, Any]) -> Check | None:
    if not _has_constraints(shape, set()):
        return None
    return structure_once(made, shape, lambda: _build_structure_check(shape, made))


def _build_structure_check(shape: Shape, made: dict[int, Any]) -> Check:
    fields = [
        (member.name, member.required, _member_check(member, made), member.shape) for member in shape.members.values()
    ]
    fields = [field for field in fields if field[1] or field[2] is not None]

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        for name, required, check_member, target in fields:
            item = value.get(name)
            if item is None:
                if required:
                    failures.append(Failure("required", (*path, name), None, "Member must not be null", target))
            elif check_member is not None:
                check_member(item, (*path, name), failures)

    return check


def _member_check(member: Member, made: dict[int, Any]) -> Check | None:
    return _all_of([*_own_checks(member), _inner_check(member, made)])


def _all_of(checks: Sequence[Check | None]) -> Check | None:
    present = [check for check in checks if check is not None]
    if len(present) <= 1:
        return present[0] if present else None

    def check_all(value: Any, path: Path, failures: list[Failure]) -> None:
        for check in present:
            check(value, path, failures)

    return check_all


def _inner_check(member: Member, made: dict[int, Any]) -> Check | None:
    shape = member.shape
    if shape.type == "structure":
        return None if shape.traits.get("document") else _structure_check(shape, made)
    if shape.type == "list":
        assert shape.item is not None, "a list has a member"
        return _all_of([_entries_check(shape, shape.item, "Member", list), _list_check(_inner_check(shape.item, made))])
    if shape.type == "map":
        assert shape.key is not None, "a map has a key"
        assert shape.value is not None, "a map has a value"
        keys = _entries_check(shape, shape.key, "Map keys", dict.keys)
        values = _entries_check(shape, shape.value, "Map value", dict.values)
        return _all_of([keys, values, _map_check(_inner_check(shape.value, made))])
    return None


def _entries_check(shape: Shape, entry: Member, subject: str, entries: Callable[[Any], Any]) -> Check | None:
    """What holds for each entry of a list or map itself. Coral states it once for the whole container, with all that an entry
    must satisfy: `Map value must satisfy constraint: [Member must have length less than or equal to 25, ...]`."""
    check_entry = _all_of(_own_checks(entry))
    if check_entry is None:
        return None
    text = f"{subject} must satisfy constraint: [{', '.join(_constraints(entry))}]"

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        found: list[Failure] = []
        for item in entries(value):
            check_entry(item, path, found)
            if found:
                failures.append(Failure(found[0].kind, path, value, text, shape, found[0].limit))
                return

    return check


def _constraints(member: Member) -> list[str]:
    """All that the model states of `member` itself, in Coral's words and order."""
    shape, traits = member.shape, member.traits
    measure = "length" if shape.type in ("string", "blob", "list", "map") else "value"
    texts = []
    if traits.get("max") is not None:
        texts.append(f"Member must have {measure} less than or equal to {traits['max']}")
    if traits.get("min") is not None:
        texts.append(f"Member must have {measure} greater than or equal to {traits['min']}")
    if "pattern" in traits:
        texts.append(f"Member must satisfy regular expression pattern: {traits['pattern']}")
    if shape.enum:
        texts.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    return texts


def _list_check(check_item: Check | None) -> Check | None:
    if check_item is None:
        return None

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        for position, item in enumerate(value, 1):
            if len(failures) > FAILURES_MAX:
                return
            check_item(item, (*path, position, "member"), failures)

    return check


def _map_check(check_value: Check | None) -> Check | None:
    if check_value is None:
        return None

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        for key, item in value.items():
            if len(failures) > FAILURES_MAX:
                return
            check_value(item, (*path, key[:SHOWN_CHARACTERS_MAX], "member"), failures)

    return check


def _own_checks(member: Member) -> list[Check]:
    shape, traits = member.shape, member.traits
    checks: list[Check] = []
    if shape.traits.get("streaming") or traits.get("streaming"):
        return checks  # its bytes have not arrived yet
    if shape.type in ("string", "blob", "list", "map"):
        checks.extend(_length_checks(shape, traits))
    elif shape.type in ("integer", "long", "short", "byte", "float", "double"):
        checks.extend(_range_checks(shape, traits))
    if shape.type == "string" and "pattern" in traits:
        pattern = _pattern_check(shape, traits)
        checks.extend([pattern] if pattern is not None else [])
    enum = tuple(traits.get("enum", ())) or shape.enum
    if shape.type == "string" and enum:
        checks.append(_enum_check(shape, tuple(enum)))
    return checks


def _length_checks(shape: Shape, traits: Mapping[str, Any]) -> list[Check]:
    checks: list[Check] = []
    low, high = traits.get("min"), traits.get("max")
    if low:

        def check_low(value: Any, path: Path, failures: list[Failure]) -> None:
            if len(value) < low:
                text = f"Member must have length greater than or equal to {low}"
                failures.append(Failure("length", path, value, text, shape, low))

        checks.append(check_low)
    if high is not None:

        def check_high(value: Any, path: Path, failures: list[Failure]) -> None:
            if len(value) > high:
                text = f"Member must have length less than or equal to {high}"
                failures.append(Failure("length", path, value, text, shape, high))

        checks.append(check_high)
    return checks


def _range_checks(shape: Shape, traits: Mapping[str, Any]) -> list[Check]:
    checks: list[Check] = []
    low, high = traits.get("min"), traits.get("max")
    if low is not None:

        def check_low(value: Any, path: Path, failures: list[Failure]) -> None:
            if value < low:
                text = f"Member must have value greater than or equal to {low}"
                failures.append(Failure("range", path, value, text, shape, low))

        checks.append(check_low)
    if high is not None:

        def check_high(value: Any, path: Path, failures: list[Failure]) -> None:
            if value > high:
                text = f"Member must have value less than or equal to {high}"
                failures.append(Failure("range", path, value, text, shape, high))

        checks.append(check_high)
    return checks


def _pattern_check(shape: Shape, traits: Mapping[str, Any]) -> Check | None:
    pattern = traits["pattern"]
    matches = compile_pattern(pattern)
    if matches is None:
        return None
    length_max = traits.get("max")

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        # A value that is too long has failed already; a pattern is not asked about it.
        if (length_max is None or len(value) <= length_max) and not matches(value):
            text = f"Member must satisfy regular expression pattern: {pattern}"
            failures.append(Failure("pattern", path, value, text, shape, pattern))

    return check


def _enum_check(shape: Shape, values: tuple[str, ...]) -> Check:
    allowed = frozenset(values)

    def check(value: Any, path: Path, failures: list[Failure]) -> None:
        if value not in allowed:
            text = f"Member must satisfy enum value set: [{', '.join(values)}]"
            failures.append(Failure("enum", path, value, text, shape, values))

    return check


# Words


def coral_path(path: Path) -> str:
    """`attributeDefinitions.1.member.attributeName`: members with a small first letter."""
    return ".".join(f"{part[:1].lower()}{part[1:]}" if isinstance(part, str) else str(part) for part in path)


def _shown_at(failure: Failure) -> str:
    if _holds_secret(failure.shape):
        return f"Value at '{coral_path(failure.path)}'"  # a secret is never repeated, nor what it stands in
    if failure.value is None:
        return f"Value null at '{coral_path(failure.path)}'"
    return f"Value '{shown(failure.value)}' at '{coral_path(failure.path)}'"


@cache
def _holds_secret(shape: Shape) -> bool:
    """Whether anything that `shape` reaches is marked sensitive."""
    seen: set[int] = set()
    waiting = [shape]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            if one.traits.get("sensitive"):
                return True
            parts = (*one.members.values(), *(part for part in (one.item, one.key, one.value) if part is not None))
            waiting.extend(part.shape for part in parts)
    return False


def shown(value: Any) -> str:
    """A value as Java prints it, cut at SHOWN_CHARACTERS_MAX."""
    return _shown(value, 0)[:SHOWN_CHARACTERS_MAX]


def _shown(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value[:SHOWN_CHARACTERS_MAX]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if depth > 4:
        return "..."
    if isinstance(value, list):
        # A hundred entries fill what is shown.
        return f"[{', '.join(_shown(item, depth + 1) for item in value[:100])}]"
    if isinstance(value, dict):
        pairs = list(value.items())[:100]
        return f"{{{', '.join(f'{key}={_shown(item, depth + 1)}' for key, item in pairs)}}}"
    return str(value)
