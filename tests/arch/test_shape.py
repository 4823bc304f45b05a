"""Is the shape still the shape: banned imports, tables that agree with models, no words that mark something unfinished."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from unkai.app.compose import SERVICES
from unkai.kernel.service import Service
from unkai.model.load import load_service

SOURCE = Path(__file__).parents[2] / "src" / "unkai"
FILES = sorted(SOURCE.rglob("*.py"))

# What runs inside functions is a program of its own.
EXEMPT = ("runtime/",)

# Who may import what: time and randomness come in through the front.
ONLY_IN = {
    "time": {"kernel/clock.py"},
    "datetime": {"kernel/clock.py"},
    "random": {"kernel/ids.py"},
    "uuid": {"kernel/ids.py"},
    "secrets": {"kernel/ids.py"},
}


def imports_of(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # Types and constants of datetime are harmless; its clock is not, and is looked for below.
            names.add(node.module.split(".")[0])
    return names


def test_time_and_randomness_come_in_through_the_front() -> None:
    broken = []
    for file in FILES:
        path = file.relative_to(SOURCE).as_posix()
        if path.startswith(EXEMPT):
            continue
        text = file.read_text()
        for module, allowed in ONLY_IN.items():
            if module == "datetime":
                if re.search(r"\b(datetime\.now|datetime\.utcnow|date\.today)\(", text):
                    broken.append(f"{path} reads the machine's clock")
            elif module in imports_of(ast.parse(text)) and path not in allowed:
                broken.append(f"{path} imports {module}")
    assert broken == []


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_tables_agree_with_models(service: Service) -> None:
    """Every key is an operation of the model, and its handler has the operation's name in snake_case."""
    model = load_service(service.name)
    for name, operation in service.operations.items():
        assert name in model.operations, f"{service.name} has no operation {name}"
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        assert operation.handler.__name__ == snake, f"{name} is handled by {operation.handler.__name__}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_nothing_unfinished(file: Path) -> None:
    """A TODO carries an issue number or is not there; words that mark a sketch are not there at all."""
    text = file.read_text()
    assert not re.search(r"\b(FIXME|XXX|HACK)\b", text)
    assert not re.search(r"\bTODO\b(?!\(#\d+\))", text)


def test_no_drawer_modules() -> None:
    drawers = {"utils", "util", "helpers", "common", "core", "manager", "provider", "misc"}
    assert [file for file in FILES if file.stem in drawers or drawers & set(file.relative_to(SOURCE).parts)] == []
