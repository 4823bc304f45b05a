"""The language families, as a table. A new one is a module here and a line below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.runtime.languages.nodejs import NODEJS
from unkai.runtime.languages.provided import PROVIDED
from unkai.runtime.languages.python import PYTHON

if TYPE_CHECKING:
    from unkai.runtime.languages.language import Language

LANGUAGES = (PYTHON, NODEJS, PROVIDED)


def find(runtime: str) -> tuple[Language, str] | None:
    """The language that serves a runtime id here, and its interpreter."""
    for language in LANGUAGES:
        interpreter = language.runtimes().get(runtime)
        if interpreter is not None:
            return language, interpreter
    return None


def available() -> dict[str, str]:
    """Every runtime id that this machine can run, with its interpreter: for `doctor`."""
    return {runtime: path for language in LANGUAGES for runtime, path in language.runtimes().items()}
