"""Matching of names against patterns: `*` for any run of characters, `?` for one, `${key}` for what the request says.

Never a regular expression over the whole pattern, since those can be made to run for ages: a pattern is cut at its stars, and the
pieces are looked for from left to right, which needs no second try. Substituted values are literal; a star in a tag is a star.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Context(Protocol):
    """The request's condition keys. Asked only for keys that a policy names, so that values may be made on demand."""

    def get(self, key_lower: str, /) -> tuple[str, ...] | None:
        """The values of a key given in lower case; None where the request has no such key."""
        ...


class Wild(Enum):
    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    key: str
    default: str | None


Token = str | Wild | Variable
Matcher = Callable[[str], bool]
Test = Callable[[str, Context], "bool | None"]
"""Whether a text matches. None: a variable of the pattern has no value in this request."""

_SPECIAL = re.compile(r"\$\{([^{}]*)\}")


def tokens(text: str, *, variables: bool, wildcards: bool = True) -> tuple[Token, ...]:
    """`text` taken apart. `variables` is true in policies of version 2012-10-17 only; earlier ones take `${` literally."""
    out: list[Token] = []
    end = 0
    for found in _SPECIAL.finditer(text) if variables and "${" in text else ():
        out.extend(_wild(text[end : found.start()], wildcards))
        end = found.end()
        inner = found.group(1)
        out.append(inner if inner in ("*", "?", "$") else _variable(inner) or found.group(0))
    out.extend(_wild(text[end:], wildcards))
    return tuple(out)


def _variable(inner: str) -> Variable | None:
    """`key` or `key, 'default'`; None where it is neither, which is then plain text."""
    key, comma, default = (part.strip() for part in inner.partition(","))
    quoted = len(default) >= 2 and default[0] == default[-1] == "'" and "'" not in default[1:-1]
    if not key or "'" in key or (comma and not quoted):
        return None
    return Variable(key.lower(), default[1:-1] if comma else None)


def _wild(text: str, wildcards: bool) -> list[Token]:
    if not wildcards:
        return [text] if text else []
    out: list[Token] = []
    for part in re.split(r"([*?])", text):
        if part in ("*", "?"):
            out.append(Wild(part))
        elif part:
            out.append(part)
    return out


def resolve(parts: Sequence[Token], context: Context) -> list[str | Wild] | None:
    """The pattern with the request's values in it, or None where one is missing and has no default."""
    out: list[str | Wild] = []
    for part in parts:
        if not isinstance(part, Variable):
            out.append(part)
            continue
        values = context.get(part.key)
        if values is not None and len(values) == 1:
            out.append(values[0])
        elif part.default is not None:
            out.append(part.default)
        else:
            return None  # no value, or several: a variable stands for exactly one
    return out


def matcher(parts: Sequence[str | Wild]) -> Matcher:
    """A function that tells whether a text matches `parts` from end to end."""
    if not any(isinstance(part, Wild) for part in parts):
        whole = "".join(part for part in parts if isinstance(part, str))
        return whole.__eq__
    pieces: list[list[str | Wild]] = [[]]
    for part in parts:
        if part is Wild.ANY:
            pieces.append([])
        else:
            pieces[-1].append(part)
    cut = [_Piece(piece) for piece in pieces]
    if len(cut) == 1:
        only = cut[0]
        return lambda text: len(text) == only.length and only.is_at(text, 0)
    head, middle, tail = cut[0], [piece for piece in cut[1:-1] if piece.length], cut[-1]
    if not middle and not tail.length and head.literal is not None:
        prefix = head.literal
        return lambda text: text.startswith(prefix)
    return lambda text: _match(text, head, middle, tail)


def _match(text: str, head: _Piece, middle: Sequence[_Piece], tail: _Piece) -> bool:
    end = len(text) - tail.length
    if end < head.length or not head.is_at(text, 0) or not tail.is_at(text, end):
        return False
    at = head.length
    for piece in middle:
        # The first place will do: whatever fits after a later place fits after an earlier one.
        at = piece.find(text, at, end)
        if at < 0:
            return False
        at += piece.length
    return True


class _Piece:
    """What stands between two stars: a fixed number of characters, some of which may be any."""

    __slots__ = ("_literals", "length", "literal")

    def __init__(self, parts: Sequence[str | Wild]) -> None:
        literals: list[tuple[int, str]] = []
        self.length = 0
        for part in parts:
            if isinstance(part, str):
                literals.append((self.length, part))
            self.length += len(part) if isinstance(part, str) else 1
        self._literals = literals
        self.literal = "".join(text for _, text in literals) if Wild.ONE not in parts else None

    def is_at(self, text: str, at: int) -> bool:
        return all(text.startswith(literal, at + offset) for offset, literal in self._literals)

    def find(self, text: str, start: int, end: int) -> int:
        """The first place from `start` where the piece fits and ends by `end`, or -1."""
        if self.literal is not None:
            return text.find(self.literal, start, end)
        offset, first = self._literals[0] if self._literals else (0, "")
        at = start
        while at + self.length <= end:
            hit = text.find(first, at + offset, end)
            if hit < 0 or hit - offset + self.length > end:
                return -1
            at = hit - offset
            if self.is_at(text, at):
                return at
            at += 1
        return -1


def pattern(text: str, *, variables: bool, wildcards: bool = True, fold: bool = False) -> Test:
    """A test for a plain string; `fold` ignores case."""
    parts = tokens(text, variables=variables, wildcards=wildcards)
    if any(isinstance(part, Variable) for part in parts):
        return lambda given, context: _match_resolved(parts, given, context, fold)
    fixed = [part for part in parts if not isinstance(part, Variable)]
    if fold:
        folded = matcher([part.casefold() if isinstance(part, str) else part for part in fixed])
        return lambda given, context: folded(given.casefold())
    matches = matcher(fixed)
    return lambda given, context: matches(given)


def _match_resolved(parts: Sequence[Token], given: str, context: Context, fold: bool) -> bool | None:
    resolved = resolve(parts, context)
    if resolved is None:
        return None
    if fold:
        resolved = [part.casefold() if isinstance(part, str) else part for part in resolved]
        given = given.casefold()
    return matcher(resolved)(given)


def is_arn_pattern(text: str) -> bool:
    """`*`, six parts, or fewer of which the last ends with a star that stands for the rest."""
    if text == "*":
        return True
    parts = _arn_parts(text)
    return parts[0] == "arn" and (len(parts) == 6 or (len(parts) > 1 and parts[-1].endswith("*")))


def _arn_parts(text: str) -> list[str]:
    """Up to six parts. Colons within a variable's name do not count."""
    parts, start, depth = [], 0, 0
    for at, char in enumerate(text):
        if text.startswith("${", at):
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif char == ":" and not depth:
            parts.append(text[start:at])
            start = at + 1
            if len(parts) == 5:
                break
    return [*parts, text[start:]]


def arn_pattern(text: str, *, variables: bool) -> Test:
    """A test for an ARN. Its six parts are compared one by one: a star in the account never reaches into the resource."""
    if text == "*":
        return lambda given, context: True
    parts = _arn_parts(text)
    parts += ["*"] * (6 - len(parts))
    head, last = parts[:5], parts[5]
    if any(mark in part for part in head for mark in "*?$"):
        heads = [pattern(part, variables=variables) for part in head]
        rest = pattern(last, variables=variables)
        return lambda given, context: _match_arn(heads, rest, given, context)
    fixed = ":".join(head) + ":"
    size = len(fixed)
    if not variables or "${" not in last:
        matches = matcher([part for part in tokens(last, variables=False) if not isinstance(part, Variable)])
        return lambda given, context: given.startswith(fixed) and matches(given[size:])
    rest = pattern(last, variables=variables)
    return lambda given, context: given.startswith(fixed) and rest(given[size:], context)


def _match_arn(heads: Sequence[Test], rest: Test, given: str, context: Context) -> bool | None:
    parts = given.split(":", 5)
    if len(parts) != 6:
        return False
    unresolved = False
    for test, part in zip((*heads, rest), parts, strict=True):
        answer = test(part, context)
        if answer is None:
            unresolved = True
        elif not answer:
            return False
    return None if unresolved else True
