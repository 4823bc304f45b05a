"""The `unkai` command. Output is for people on a terminal, JSON with --json; every error says what to do next.

One module per command, with `add(commands)` for its options and a function that runs it and returns the exit status. Heavy
modules are imported by the functions that need them, so that `unkai env` is quick.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from unkai import __version__
from unkai.cli import clock, completion, demo, doctor, env, logs, snapshot, status, up
from unkai.cli.asking import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = (up, env, status, doctor, logs, clock, snapshot, demo, completion)


def main(argv: Sequence[str] | None = None) -> int:
    from unkai.app.datadir import DataDirError

    arguments = make_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except (CommandError, DataDirError) as error:
        print(f"unkai: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unkai", description="A serverless cloud that you own.")
    parser.add_argument("--version", action="version", version=f"unkai {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
