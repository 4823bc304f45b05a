"""How a service words a refusal of what its model forbids. The wire checks; a service that has its own words hands them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unkai.kernel.errors import AwsError


@dataclass(frozen=True, slots=True)
class Failure:
    """One constraint that a value does not satisfy.

    `kind` is required, length, range, pattern or enum. `path` has the members' names as the model spells them (list positions
    are ints from 1, map keys strings). `constraint` is Coral's sentence (`Member must not be null`); `shape` is the model's
    shape, and `limit` what it states: the bound, the pattern, the enum's values.
    """

    kind: str
    path: tuple[str | int, ...]
    value: Any
    constraint: str
    shape: Any
    limit: Any = None


@dataclass(frozen=True, slots=True)
class Wording:
    """How a service refuses an input.

    `code` is the error's code in the common sentence. `refuse(failures)` makes the whole refusal where the service has words of
    its own. `unchecked` names kinds of constraint that the service checks itself, in its handlers (S3 knows its own enums), and
    `unchecked_members` single members by their dotted path without positions (`Entries.Id`).
    """

    code: str = "ValidationException"
    refuse: Callable[[Sequence[Failure]], AwsError] | None = None
    unchecked: frozenset[str] = frozenset()
    unchecked_members: frozenset[str] = frozenset()


DEFAULT = Wording()
