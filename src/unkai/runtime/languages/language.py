"""What the runtime needs to know of a language family: one frozen value each. The Runtime API, pool and sandbox are shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a runtime process: a program and its environment; or, with `minor`, in a fork server's child."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    minor: int = 0


@dataclass(frozen=True, slots=True)
class Package:
    """A function's unpacked code: `task` and `opt` are its folders on this machine (opt: None without layers)."""

    task: Path
    opt: Path | None
    environment: Mapping[str, str]
    handler: str


@dataclass(frozen=True, slots=True)
class Language:
    """`runtimes` are the ids that it serves *here*, given the interpreters found. `launch` chooses how to start a package."""

    name: str
    runtimes: Callable[[], Mapping[str, str]]
    """Runtime id to its interpreter's path (empty where the package brings its own)."""
    launch: Callable[[str, str, Package], Launch]
    prefixes: Callable[[], tuple[Path, ...]] = tuple
    """Folders outside the system's program directories that environments must see."""
    missing: str = ""
    """What to install where no interpreter is found."""
