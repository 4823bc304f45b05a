"""The filter pattern language: text to a compiled `Pattern`, which says of a message whether it matches.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html

Three forms, told apart by the first character: `{...}` tests JSON, `[...]` tests fields between spaces, anything else tests for
terms. Patterns are at most 1,024 characters, are compiled once per process, and take time linear in the message: comparison
with `*` is a prefix, suffix or substring test, and regular expressions run in RE2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from unkai.services.logs.patterns import fields, json_form, terms

if TYPE_CHECKING:
    from unkai.services.logs.patterns.text import Pattern

CACHED_PATTERNS_MAX = 2048


@lru_cache(maxsize=CACHED_PATTERNS_MAX)
def compile_pattern(text: str) -> Pattern:
    """Raises InvalidParameterException where `text` is no pattern."""
    stripped = text.strip()
    if stripped.startswith("{"):
        return json_form.compile_json(stripped)
    if stripped.startswith("["):
        return fields.compile_fields(stripped)
    return terms.compile_terms(stripped)
