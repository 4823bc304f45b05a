"""How background work talks to the handlers that services give it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as its handler sees it. `key` goes to `Node.call(finishing=...)` where the delivery stays inside this node."""

    key: bytes
    payload: bytes
    created_ms: int
    due_ms: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Done:
    """Carried out: the task is removed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Carried out in a transaction that removed the task already (`finishing`)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `at_ms` (node time)."""

    at_ms: int


TaskResult = Done | Finished | Retry
