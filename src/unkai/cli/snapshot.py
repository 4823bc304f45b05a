"""`unkai snapshot save|restore|list|delete` and `unkai backup`: whole copies of a data directory.

Saving works while the node runs: the store is copied in one transaction, and object files, which never change, are linked
(snapshots) or copied (backups). Restoring needs a node that is stopped.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unkai.cli.asking import CommandError, add_data_dir, add_json, existing, to_json
from unkai.kernel.clock import RealClock, iso8601

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from unkai.app.datadir import DataDir

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SMALL_FILES = ("FORMAT", "secret", "credentials", "clock", "tls.pem")


def add(commands: Any) -> None:
    parser = commands.add_parser("snapshot", help="save, restore, list or delete whole states of the node")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for verb, run, words in (
        ("save", run_save, "keep the present state under a name; the node may run"),
        ("restore", run_restore, "go back to a saved state; the node must be stopped"),
        ("list", run_list, "what is saved"),
        ("delete", run_delete, "forget a saved state"),
    ):
        action = actions.add_parser(verb, help=words)
        if verb != "list":
            action.add_argument("name")
        add_data_dir(action)
        add_json(action)
        action.set_defaults(run=run)
    backup = commands.add_parser(
        "backup", help="copy the whole state to a folder, for instance on another disk; the node may run"
    )
    backup.add_argument("folder", type=Path)
    add_data_dir(backup)
    add_json(backup)
    backup.set_defaults(run=run_backup)


def run_save(arguments: argparse.Namespace) -> int:
    directory = existing(arguments)
    target = _folder(directory, arguments.name)
    if target.exists():
        raise CommandError(
            f"a snapshot {arguments.name} exists. Delete it first: unkai snapshot delete {arguments.name}"
        )
    target.parent.mkdir(mode=0o700, exist_ok=True)
    _copy(directory.path, target, os.link)
    _say(arguments, {"name": arguments.name, "bytes": _size(target)}, f"saved {arguments.name}")
    return 0


def run_backup(arguments: argparse.Namespace) -> int:
    directory = existing(arguments)
    if arguments.folder.exists():
        raise CommandError(f"{arguments.folder} exists. A backup makes its own folder.")
    _copy(directory.path, arguments.folder, shutil.copy2)
    _say(
        arguments,
        {"folder": str(arguments.folder), "bytes": _size(arguments.folder)},
        f"backed up to {arguments.folder}. It is a data directory: unkai up --data-dir {arguments.folder}",
    )
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    from unkai.app import datadir

    directory = existing(arguments)
    source = _saved(directory, arguments.name)
    held = datadir.lock(directory)
    try:
        restored = directory.path / "restoring"
        shutil.rmtree(restored, ignore_errors=True)
        _copy(source, restored, os.link)
        # The old state is set aside by renames and removed last, so that no crash leaves neither.
        for name in ("store", "blobs"):
            old, new = directory.path / name, restored / name
            aside = directory.path / f"{name}.old"
            shutil.rmtree(aside, ignore_errors=True)
            if old.exists():
                old.rename(aside)
            if new.exists():
                new.rename(old)
            shutil.rmtree(aside, ignore_errors=True)
        for name in _SMALL_FILES:
            if (restored / name).exists():
                os.replace(restored / name, directory.path / name)
        shutil.rmtree(restored)
    finally:
        os.close(held)
    _say(arguments, {"name": arguments.name}, f"restored {arguments.name}. Start it: unkai up")
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    directory = existing(arguments)
    folder = directory.path / "snapshots"
    saved = [
        {"name": entry.name, "saved": iso8601(int(entry.stat().st_mtime * 1000)), "bytes": _size(entry)}
        for entry in sorted(folder.iterdir() if folder.exists() else ())
        if (entry / "FORMAT").exists()
    ]
    if arguments.json:
        print(to_json(saved))
    else:
        print(
            "\n".join(f"{row['name']:32} {row['saved']} {row['bytes']:>14,} bytes" for row in saved)
            or "nothing is saved"
        )
    return 0


def run_delete(arguments: argparse.Namespace) -> int:
    directory = existing(arguments)
    shutil.rmtree(_saved(directory, arguments.name))
    _say(arguments, {"name": arguments.name}, f"deleted {arguments.name}")
    return 0


def _folder(directory: DataDir, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise CommandError("a snapshot's name has letters, digits, dots, dashes and underscores, 64 at most")
    return directory.path / "snapshots" / name


def _saved(directory: DataDir, name: str) -> Path:
    folder = _folder(directory, name)
    if not (folder / "FORMAT").exists():
        raise CommandError(f"there is no snapshot {name}. See: unkai snapshot list")
    return folder


def _copy(source: Path, target: Path, place: Callable[[Path, Path], object]) -> None:
    """Copy a data directory. Object files are placed before the store is copied and again after it, so that whatever the
    copied store refers to is there, whether it was made or removed meanwhile."""
    from unkai.store.engines.lmdb import open_environment

    born = target.with_name(f"{target.name}.{RealClock().real_ms()}.new")
    try:
        born.mkdir(mode=0o700, parents=True)
        _place_files(source / "blobs", born / "blobs", place)
        if (source / "store" / "data.mdb").exists():
            (born / "store").mkdir(mode=0o700)
            env = open_environment(source / "store", readonly=True)
            try:
                env.copy(str(born / "store"), compact=True)
            finally:
                env.close()
        _place_files(source / "blobs", born / "blobs", place)
        for name in sorted(_SMALL_FILES, key=lambda name: name == "FORMAT"):  # FORMAT last: it makes the copy whole
            if (source / name).exists():
                shutil.copy2(source / name, born / name)
        os.sync()
        born.rename(target)
    except OSError as error:
        shutil.rmtree(born, ignore_errors=True)
        raise CommandError(f"the copy failed ({error}); nothing was kept of it") from None


def _place_files(source: Path, target: Path, place: Callable[[Path, Path], object]) -> None:
    for folder, _, files in os.walk(source):
        made = target / Path(folder).relative_to(source)
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in files:
            if (made / name).exists():
                continue
            try:
                place(Path(folder) / name, made / name)
            except FileNotFoundError:
                continue  # removed or moved meanwhile; if the store still refers to it, it is elsewhere in the tree


def _size(folder: Path) -> int:
    return sum((Path(parent) / name).stat().st_size for parent, _, files in os.walk(folder) for name in files)


def _say(arguments: argparse.Namespace, value: dict[str, Any], text: str) -> None:
    print(to_json(value) if arguments.json else text)
