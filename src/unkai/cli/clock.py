"""`unkai clock show|advance`: node time, which may be moved forward on data directories made with `--clock movable`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from unkai.cli.asking import CommandError, add_data_dir, add_json, ask, running_node, to_json
from unkai.kernel.clock import iso8601

if TYPE_CHECKING:
    import argparse

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d{1,9})(ms|[smhdw])")


def add(commands: Any) -> None:
    parser = commands.add_parser("clock", help="show node time, or move it forward")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="node time and the machine's time")
    advance = actions.add_parser(
        "advance", help="move node time; everything that falls due on the way is carried out, in order"
    )
    advance.add_argument("duration", help="for instance 90s, 8h, 3d, 1d12h")
    for action, run in ((show, run_show), (advance, run_advance)):
        add_data_dir(action)
        add_json(action)
        action.set_defaults(run=run)


def duration_ms(text: str) -> int:
    """`1d12h` in milliseconds. Raises CommandError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CommandError(f"{text!r} is no duration. Write it like 90s, 8h, 3d or 1d12h.")
    return sum(int(number) * _UNIT_MS[unit] for number, unit in parts)


def run_show(arguments: argparse.Namespace) -> int:
    directory, running = running_node(arguments)
    clock = ask(directory, running, "GET", "/_unkai/clock")
    if arguments.json:
        print(to_json(clock))
        return 0
    ahead_s = (clock["node_ms"] - clock["real_ms"]) // 1000
    movable = "movable" if clock["movable"] else "not movable"
    print(f"node time {iso8601(clock['node_ms'])} ({ahead_s} s ahead of the machine's; {movable})")
    return 0


def run_advance(arguments: argparse.Namespace) -> int:
    ms = duration_ms(arguments.duration)
    directory, running = running_node(arguments)
    moved = ask(directory, running, "POST", "/_unkai/clock/advance", {"ms": ms})
    print(to_json(moved) if arguments.json else f"node time is now {iso8601(moved['node_ms'])}")
    return 0
