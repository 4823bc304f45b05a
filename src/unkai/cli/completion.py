"""`unkai completion SHELL`: a completion script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    parser = commands.add_parser("completion", help="print a completion script for your shell")
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import shtab

    from unkai.cli import make_parser

    print(shtab.complete(make_parser(), shell=arguments.shell))
    return 0
