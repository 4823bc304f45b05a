"""`unkai status`: is a node running here, and what does it serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.cli.asking import CommandError, add_data_dir, add_json, ask, existing, shown_data_dir, to_json

if TYPE_CHECKING:
    import argparse

NOT_RUNNING = 3
"""The exit status that init scripts use for it (LSB)."""


def add(commands: Any) -> None:
    parser = commands.add_parser("status", help="is a node running on this data directory, and what does it serve")
    add_data_dir(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unkai.app.datadir import read_running

    directory = existing(arguments)
    running = read_running(directory)
    health: dict[str, Any] = {"status": "not running"}
    if running is not None:
        try:
            health = ask(directory, running, "GET", "/_unkai/health")
        except CommandError:
            health = {"status": "does not answer"}
    report = {
        "data_dir": str(directory.path),
        "endpoint": running.endpoint if running else None,
        "pid": running.pid if running else None,
        **health,
    }
    if arguments.json:
        print(to_json(report))
    elif running is None:
        print(f"not running. Data: {directory.path}. Start it: unkai up{shown_data_dir(arguments)}")
    else:
        print(f"{health['status']}: {running.endpoint} (pid {running.pid}). Data: {directory.path}")
        print("  services: " + ", ".join(health.get("services", {})))
    return 0 if health["status"] == "ok" else NOT_RUNNING
