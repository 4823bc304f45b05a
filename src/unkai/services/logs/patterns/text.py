"""What the three forms share: a reader over the pattern's text, and the compiled value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unkai.services.logs import errors
from unkai.services.logs.patterns.regexes import compile_regex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

REGEXES_MAX = 2
"""How many regular expressions one JSON or space-delimited pattern may hold."""

NESTING_MAX = 32


@dataclass(frozen=True, slots=True)
class Pattern:
    """`extract` gives the values of the named fields (space-delimited patterns) of a message that matches."""

    matches: Callable[[str], bool]
    extract: Callable[[str], Mapping[str, str]]
    has_regex: bool = False


def nothing_extracted(message: str) -> Mapping[str, str]:
    return {}


class Reader:
    """A position in a pattern's text. Every method either advances or leaves the position where it is."""

    __slots__ = ("at", "depth", "regexes", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.regexes = 0
        self.depth = 0

    def skip_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def rest_is_empty(self) -> bool:
        self.skip_space()
        return self.at >= len(self.text)

    def peek(self) -> str:
        """The character here, or an empty string at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, token: str) -> bool:
        """Step over `token`, and white space before it, where it stands here."""
        self.skip_space()
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.take(token):
            self.refuse()

    def take_while(self, is_wanted: Callable[[str], bool]) -> str:
        start = self.at
        while self.at < len(self.text) and is_wanted(self.text[self.at]):
            self.at += 1
        return self.text[start : self.at]

    def quoted(self, quote: str = '"') -> str:
        """The text between quotes; a backslash stands before a quote or a backslash that is meant as such."""
        assert self.peek() == quote
        self.at += 1
        out: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == quote:
                self.at += 1
                return "".join(out)
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in (quote, "\\"):
                self.at += 1
                char = self.text[self.at]
            out.append(char)
            self.at += 1
        self.refuse()

    def regex(self) -> Callable[[str], bool]:
        """The test of an expression between `%` and `%`."""
        assert self.peek() == "%"
        end = self.text.find("%", self.at + 1)
        while end > 0 and self.text[end - 1] == "\\":
            end = self.text.find("%", end + 1)
        if end < 0:
            self.refuse()
        expression = self.text[self.at + 1 : end]
        self.at = end + 1
        self.regexes += 1
        return compile_regex(expression)

    def enter(self) -> None:
        """One parenthesis deeper. Bounded, because what is compiled from it nests as deep."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            self.refuse()

    def leave(self) -> None:
        self.depth -= 1

    def refuse(self) -> NoReturn:
        raise errors.invalid_pattern()
