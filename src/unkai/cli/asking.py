"""What the commands share: the data directory that is meant, JSON, and signed calls to a running node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from unkai.app.datadir import DataDir, Running

PORT = 4566
LOOPBACK = "127.0.0.1"
ANSWER_TIMEOUT_S = 120


class CommandError(Exception):
    """What went wrong and what to do about it; printed without a traceback."""


def default_data_dir() -> Path:
    """$UNKAI_DATA_DIR, or `unkai` in the user's data folder (XDG base directory specification)."""
    if given := os.environ.get("UNKAI_DATA_DIR"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "unkai"


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=None,
        help="where everything is kept (default: $UNKAI_DATA_DIR or ~/.local/share/unkai)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def shown_data_dir(arguments: argparse.Namespace) -> str:
    """The option to repeat in a suggested command."""
    return f" --data-dir {arguments.data_dir}" if arguments.data_dir else ""


def existing(arguments: argparse.Namespace) -> DataDir:
    from unkai.app.datadir import DataDir

    path = (arguments.data_dir or default_data_dir()).resolve()
    if not (path / "FORMAT").exists():
        raise CommandError(f"{path} is no data directory yet. Start a node first: unkai up{shown_data_dir(arguments)}")
    return DataDir(path)


def running_node(arguments: argparse.Namespace) -> tuple[DataDir, Running]:
    from unkai.app.datadir import read_running

    directory = existing(arguments)
    running = read_running(directory)
    if running is None:
        raise CommandError(f"no node runs on {directory.path}. Start one: unkai up{shown_data_dir(arguments)}")
    return directory, running


def ask(directory: DataDir, running: Running, method: str, path: str, body: Any = None) -> Any:
    """Call the control API with root's key; the decoded answer. Raises CommandError with what the node says."""
    import ssl
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    import msgspec

    from unkai.auth.sigv4 import Keys, sign
    from unkai.kernel.clock import RealClock
    from unkai.kernel.http import HttpRequest

    credentials = directory.root_credentials()
    data = msgspec.json.encode(body) if body is not None else b""
    request = HttpRequest(method, path, "", {"host": urlsplit(running.endpoint).netloc}, data)
    keys = Keys(credentials.access_key_id, credentials.secret_access_key)
    headers = sign(keys, request, service="unkai", region="us-east-1", now_ms=RealClock().real_ms())
    context = ssl.create_default_context()
    if (directory.path / "tls.pem").exists():
        context.load_verify_locations(directory.path / "tls.pem")
    call = urllib.request.Request(running.endpoint + path, data=data or None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=ANSWER_TIMEOUT_S, context=context) as answer:
            return msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read()
        try:
            message = msgspec.json.decode(said, type=dict[str, str]).get("message", "")
        except msgspec.MsgspecError:
            message = f"the node answered {error.code}"
        raise CommandError(message) from None
    except OSError as error:
        raise CommandError(f"the node at {running.endpoint} does not answer ({error}). See: unkai status") from None


def to_json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()
