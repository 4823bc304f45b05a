"""Regular expressions of filter patterns: AWS's subset, checked and written out for RE2, which matches in linear time.

The subset has letters, digits, spaces, the symbols `: _ # = @ / ; , -`, the operators `^ $ ? [ ] { } | \\ * + .`, the classes
`\\d \\s \\w` and their inverses, and `\\xhh`; no parentheses and nothing outside ASCII.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html#regex-expressions

Nothing of the client's text reaches RE2 as it came: every atom is read and written anew, so that no other syntax of RE2 does.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import re2

from unkai.services.logs import errors

if TYPE_CHECKING:
    from collections.abc import Callable

LITERALS = frozenset(string.ascii_letters + string.digits + ":_#=@/;,- ")
ESCAPABLE = frozenset("^$?[]{}|\\*+.%()-:_#=@/;,\"'!&<>~` ")
CLASSES = {
    "d": "0-9",
    "s": r"\t\n\x0b\f\r ",
    "w": "0-9A-Za-z_",
}
INVERSES = {"D": r"\x00-/:-\x{10FFFF}", "S": r"\x00-\x08\x0e-\x1f!-\x{10FFFF}", "W": r"\x00-/:-@\[-^`{-\x{10FFFF}"}
REPEATS_MAX = 1000  # RE2's own limit
MEMORY_BYTES_MAX = 4 << 20


def compile_regex(expression: str) -> Callable[[str], bool]:
    """A search over a message. Raises InvalidParameterException where the expression is outside the subset."""
    options = re2.Options()
    options.max_mem = MEMORY_BYTES_MAX
    options.log_errors = False
    options.dot_nl = True  # `.` is any single character
    try:
        compiled = re2.compile(_rewrite(expression), options=options)
    except re2.error:
        raise errors.invalid_pattern() from None
    search = compiled.search

    def matches(message: str) -> bool:
        return search(message) is not None

    return matches


def _rewrite(expression: str) -> str:
    if not expression:
        raise errors.invalid_pattern()
    out: list[str] = []
    at = 0
    repeatable = False  # whether an atom stands before, for a quantifier to repeat
    while at < len(expression):
        char = expression[at]
        if char in "*+?{":
            if not repeatable:
                raise errors.invalid_pattern()
            written, at = _quantifier(expression, at)
            repeatable = False
        elif char == "[":
            written, at = _class(expression, at)
            repeatable = True
        elif char == "\\":
            members, at = _escape(expression, at)
            written, repeatable = f"[{members}]", True
        elif char in "^$|":
            written, at, repeatable = char, at + 1, False
        elif char == ".":
            written, at, repeatable = ".", at + 1, True
        elif char in LITERALS:
            written, at, repeatable = re2.escape(char), at + 1, True
        else:
            raise errors.invalid_pattern()
        out.append(written)
    return "".join(out)


def _quantifier(expression: str, at: int) -> tuple[str, int]:
    if expression[at] != "{":
        return expression[at], at + 1
    end = expression.find("}", at)
    low, comma, high = expression[at + 1 : end].replace(" ", "").partition(",") if end > 0 else ("", "", "")
    numbers = [part for part in (low, high) if part]
    if not numbers or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in numbers):
        raise errors.invalid_pattern()
    if max(map(int, numbers)) > REPEATS_MAX or (low and high and int(low) > int(high)):
        raise errors.invalid_pattern()
    return (f"{{{low or 0},{high}}}" if comma else f"{{{low}}}"), end + 1


def _escape(expression: str, at: int) -> tuple[str, int]:
    """What a backslash and its character mean, as members of a class."""
    char = expression[at + 1 : at + 2]
    if char in CLASSES and char:
        return CLASSES[char], at + 2
    if char in INVERSES and char:
        return INVERSES[char], at + 2
    if char == "x":
        digits = expression[at + 2 : at + 4]
        if len(digits) != 2 or any(digit not in string.hexdigits for digit in digits) or int(digits, 16) > 0x7F:
            raise errors.invalid_pattern()
        return f"\\x{digits}", at + 4
    if char in ("t", "n", "r", "f"):
        return f"\\{char}", at + 2
    if char and char in ESCAPABLE:
        return _member(char), at + 2
    raise errors.invalid_pattern()


def _member(char: str) -> str:
    return f"\\x{ord(char):02x}"


def _class(expression: str, at: int) -> tuple[str, int]:
    """A character class, from its bracket on. A `]` that stands first is a member, as is usual."""
    at += 1
    negated = expression.startswith("^", at)
    at += negated
    members: list[str] = []
    while at < len(expression) and (expression[at] != "]" or not members):
        char = expression[at]
        if char == "\\":
            low, at = _escape(expression, at)
        elif char in LITERALS or char in "^$?[]{}|*+.":
            low, at = _member(char), at + 1
        else:
            raise errors.invalid_pattern()
        is_range = expression.startswith("-", at) and expression[at + 1 : at + 2] not in ("]", "")
        if not is_range:
            members.append(low)
            continue
        at += 1
        if expression[at] == "\\":
            high, at = _escape(expression, at)
        elif expression[at] in LITERALS:
            high, at = _member(expression[at]), at + 1
        else:
            raise errors.invalid_pattern()
        members.append(f"{low}-{high}")
    if at >= len(expression) or not members:
        raise errors.invalid_pattern()
    return f"[{'^' if negated else ''}{''.join(members)}]", at + 1
