"""`unkai demo`: the file conversion example, from nothing to a contact sheet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unkai.cli.asking import CommandError, add_json

if TYPE_CHECKING:
    import argparse

EXAMPLE = Path("examples") / "file_conversion" / "demo.py"
PLACES = (Path(__file__).parents[3], Path(sys.prefix) / "share" / "unkai")
"""A checkout of the project, or where an installation keeps the examples."""


def add(commands: Any) -> None:
    parser = commands.add_parser("demo", help="convert real pictures: start a node, deploy, put, watch, look, stop")
    parser.add_argument("--keep", action="store_true", help="leave the node running and print how to look around")
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="where the contact sheet goes")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    demo = next((place / EXAMPLE for place in PLACES if (place / EXAMPLE).exists()), None)
    if demo is None:
        raise CommandError("the examples are not here; run `make demo` in a checkout of the project")
    try:
        import PIL  # noqa: F401
    except ModuleNotFoundError:
        raise CommandError("the demo draws its contact sheet with Pillow: pip install pillow") from None
    words = [*(["--keep"] if arguments.keep else []), *(["--json"] if arguments.json else [])]
    return subprocess.run([sys.executable, str(demo), "--out", str(arguments.out), *words], check=False).returncode
