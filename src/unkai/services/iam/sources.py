"""Policy documents as texts: where a statement stands in one, and which condition keys it asks for."""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_VARIABLE = re.compile(r"\$\{\s*([^{}*?$,'\s][^{},']{0,256})\s*(?:,[^{}]{0,256})?\}")
_decode = json.JSONDecoder().raw_decode

Span = tuple[int, int]


def statement_spans(text: str) -> list[Span]:
    """Begin and end of every statement in a well-formed document."""
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, at = _decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if name == "Statement":
            return _elements(text, at) if text[at] == "[" else [(at, _decode(text, at)[1])]
        _, at = _decode(text, at)
        at = _skip(text, at)
        at = _skip(text, at + 1) if text[at] == "," else at
    return []


def _elements(text: str, at: int) -> list[Span]:
    spans = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _decode(text, at)
        spans.append((at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return spans


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def position(text: str, at: int) -> dict[str, int]:
    """Line and column of an offset, both from one."""
    return {"Line": text.count("\n", 0, at) + 1, "Column": at - text.rfind("\n", 0, at)}


def context_keys(text: str) -> list[str]:
    """The condition keys and policy variables of a well-formed document, as they are written, in their order."""
    document = json.loads(text)
    statements = document["Statement"]
    found: dict[str, None] = {}
    for statement in statements if isinstance(statements, list) else [statements]:
        for keys in statement.get("Condition", {}).values():
            found |= dict.fromkeys(keys)
            _variables(keys, found)
        for element in ("Resource", "NotResource"):
            _variables(statement.get(element, ()), found)
    return list(found)


def _variables(value: Any, found: dict[str, None]) -> None:
    if isinstance(value, str):
        found |= dict.fromkeys(key.strip() for key in _VARIABLE.findall(value))
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            _variables(each, found)
