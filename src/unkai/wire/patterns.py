"""The models' patterns: regular expressions in Java's (and ICU's) dialect, made safe to run on hostile input.

The `regex` package reads what `re` cannot (`\\p{L}`, POSIX classes, possessive quantifiers) and takes a time limit, which bounds
the patterns that backtrack. A pattern that it cannot read is skipped, and a test lists each of them.
https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/regex/Pattern.html
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MATCH_SECONDS_MAX = 0.05
VALUE_CHARACTERS_MAX = 1 << 20

# In Java these are ASCII, beside properties (\p{L}) that are not; no flag of Python's says that, so they are spelled out.
_ASCII_CLASSES = {"w": "_a-zA-Z0-9", "d": "0-9", "s": r" \t\n\x0b\f\r"}
_POSIX = {
    "ASCII": r"\x00-\x7f",
    "Alnum": "a-zA-Z0-9",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Graph": "!-~",
    "Print": " -~",
    "Punct": r"!-/:-@\[-`{-~",
}
_TOKEN = re.compile(
    r"\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"  # a pair of UTF-16 surrogates
    r"|\\p\{(?:Is|In)(?P<block>\w+)\}|\\p\{(?P<posix>ASCII|Alnum|Alpha|Digit|Graph|Print|Punct)\}"
    r"|\\(?P<escape>.)|(?P<bracket>[\[\]])|(?P<other>.)",
    re.DOTALL,
)
# One character or class, once or repeated, is linear in the value and means the same to `re`, which is always loaded.
_ONE = r"(?:[\w \-:/.,@=%!#~&;<>]|\[\^?(?:\\[tnr\-.\]\[/+*\\]|[^\[\]\\&])+\])"
_PLAIN = re.compile(rf"\^?{_ONE}(?:[+*?]|\{{\d+,?\d*\}})?\$?")


def java_to_python(pattern: str) -> str:
    """Java's spelling to that of the `regex` package."""
    out: list[str] = []
    depth = 0  # of character classes, which Java nests
    for match in _TOKEN.finditer(pattern):
        escape, bracket = match["escape"], match["bracket"]
        if match["high"]:
            point = 0x10000 + ((int(match["high"], 16) - 0xD800) << 10) + int(match["low"], 16) - 0xDC00
            out.append(f"\\U{point:08x}")
        elif match["block"]:
            out.append(f"\\p{{{match['block']}}}")
        elif match["posix"]:
            out.append(_POSIX[match["posix"]] if depth else f"[{_POSIX[match['posix']]}]")
        elif escape and escape in _ASCII_CLASSES:
            out.append(_ASCII_CLASSES[escape] if depth else f"[{_ASCII_CLASSES[escape]}]")
        elif escape == "z":
            out.append(r"\Z")
        else:
            depth = depth + 1 if bracket == "[" else max(0, depth - 1) if bracket == "]" else depth
            out.append(match.group())
    return "".join(out)


@cache
def compile_pattern(pattern: str) -> Callable[[str], bool] | None:
    """Whether a whole value matches `pattern`; None where the pattern cannot be read."""
    text = java_to_python(pattern)
    if _PLAIN.fullmatch(text) is not None:
        match = re.compile(text).fullmatch
        return lambda value: match(value) is not None
    return _guarded(text)


def _guarded(text: str) -> Callable[[str], bool] | None:
    import regex  # 20 ms to import: only once a pattern needs it

    try:
        match = regex.compile(text, regex.VERSION0).fullmatch
    except regex.error:
        return None

    def matches(value: str) -> bool:
        if len(value) > VALUE_CHARACTERS_MAX:
            return False
        try:
            return match(value, timeout=MATCH_SECONDS_MAX) is not None
        except TimeoutError:
            return False

    return matches
