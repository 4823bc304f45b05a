"""`unkai doctor`: what this machine offers, and whether what is stored is sound."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Any

from unkai import __version__
from unkai.cli.asking import add_data_dir, add_json, default_data_dir, to_json

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

LOW_SPACE_BYTES = 1 << 30


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor", help="check this machine, the disk, and the invariants of everything that is stored"
    )
    add_data_dir(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    path = (arguments.data_dir or default_data_dir()).resolve()
    report: dict[str, Any] = {
        "unkai": __version__,
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "data_dir": str(path),
    }
    problems: list[str] = []
    report |= _functions(problems)
    if (path / "FORMAT").exists():
        report |= _store(path, problems)
        free = shutil.disk_usage(path).free
        report["disk_free_bytes"] = free
        if free < LOW_SPACE_BYTES:
            problems.append(f"only {free // (1 << 20)} MiB are free on the disk of {path}: free some space")
    report["problems"] = problems
    if arguments.json:
        print(to_json(report))
    else:
        for name, value in report.items():
            if name != "problems":
                print(f"{name:16} {value}")
        print("\n".join(f"problem: {problem}" for problem in problems) or "nothing is wrong")
    return 1 if problems else 0


def _functions(problems: list[str]) -> dict[str, Any]:
    """How well this machine isolates functions, and which runtimes it has."""
    from unkai.runtime import languages
    from unkai.runtime.sandbox.levels import detect

    level = detect()
    if level.name == "none":
        problems.append(f"functions cannot be isolated here ({'; '.join(level.reasons)}), so they are refused")
    return {
        "sandbox": level.name if not level.reasons else f"{level.name} ({'; '.join(level.reasons)})",
        "runtimes": ", ".join(languages.available()),
    }


def _store(path: Path, problems: list[str]) -> dict[str, Any]:
    """Every service's invariants, read in one snapshot; the node may be running."""
    from unkai.app.compose import SERVICES
    from unkai.store.engines.lmdb import LmdbSnapshot, open_environment

    async def check() -> int:
        count = 0
        snapshot = LmdbSnapshot(env)
        try:
            for service in SERVICES:
                for invariant in service.invariants:
                    problems.extend(await invariant(snapshot))
                    count += 1
        finally:
            snapshot.close()
        return count

    if not (path / "store" / "data.mdb").exists():
        return {"store": "empty"}
    env = open_environment(path / "store", readonly=True)
    try:
        checked = asyncio.run(check())
        info, stat = env.info(), env.stat()
        return {
            "invariants": checked,
            "store_bytes": (info["last_pgno"] + 1) * stat["psize"],
            "store_entries": stat["entries"],
        }
    finally:
        env.close()
