"""Patterns of unstructured terms: `ERROR -Exiting`, `?ERROR ?WARN`, `"exact phrase"`, `%regex%`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.services.logs import errors
from unkai.services.logs.patterns.text import Pattern, Reader, nothing_extracted

if TYPE_CHECKING:
    from collections.abc import Callable


def compile_terms(text: str) -> Pattern:
    """Terms with `?` are alternatives, but count only where the pattern has nothing else, as AWS documents."""
    reader = Reader(text)
    included: list[Callable[[str], bool]] = []
    excluded: list[Callable[[str], bool]] = []
    optional: list[Callable[[str], bool]] = []
    while not reader.rest_is_empty():
        chosen = included
        if reader.take("?"):
            chosen = optional
        elif reader.take("-"):
            chosen = excluded
        reader.skip_space()
        chosen.append(_term(reader))

    if included or excluded:
        optional = []

    def matches(message: str) -> bool:
        for test in included:
            if not test(message):
                return False
        for test in excluded:
            if test(message):
                return False
        return not optional or any(test(message) for test in optional)

    return Pattern(matches, nothing_extracted, reader.regexes > 0)


def _term(reader: Reader) -> Callable[[str], bool]:
    if reader.peek() == "%":
        return reader.regex()
    if reader.peek() == '"':
        term = reader.quoted()
        if not term.strip():
            return _everything
    else:
        term = reader.take_while(lambda char: not char.isspace())
        if not term or not all(char.isalnum() or char == "_" for char in term):
            raise errors.invalid_term(term)

    def contains(message: str) -> bool:
        return term in message

    return contains


def _everything(message: str) -> bool:
    return True
