"""The `unkai` command. Output is for people on a terminal, JSON with --json; every error says what to do next."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unkai import __version__
from unkai.kernel.clock import monotonic_s

STARTED_S = monotonic_s()  # before the heavy imports, so that the time to ready is the whole of it

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unkai.app.datadir import DataDir

PORT = 4566
LOOPBACK = "127.0.0.1"


class CommandError(Exception):
    """What went wrong and what to do about it; printed without a traceback."""


def default_data_dir() -> Path:
    """$UNKAI_DATA_DIR, or `unkai` in the user's data folder (XDG base directory specification)."""
    if given := os.environ.get("UNKAI_DATA_DIR"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "unkai"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from unkai.app.datadir import DataDirError

    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except (CommandError, DataDirError) as error:
        print(f"unkai: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unkai", description="A serverless cloud that you own.")
    parser.add_argument("--version", action="version", version=f"unkai {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run a node until Ctrl-C")
    _add_data_dir(up)
    up.add_argument("--port", type=int, default=PORT, help=f"the one port for everything (default {PORT}; 0: any free)")
    up.add_argument("--host", default=LOOPBACK, help="the address to bind (default: this machine only)")
    up.add_argument(
        "--workers", type=int, default=None, help="front-door processes (default: one per core; 0: all in one process)"
    )
    up.add_argument("--clock", choices=["real", "movable"], default="real", help="movable: 'unkai clock advance' works")
    up.add_argument("--json", action="store_true", help="print one JSON line when ready")
    up.set_defaults(run=_up)

    env = commands.add_parser("env", help='print export lines for a shell: eval "$(unkai env)"')
    _add_data_dir(env)
    env.add_argument("--json", action="store_true")
    env.set_defaults(run=_env)

    status = commands.add_parser("status", help="is a node running on this data directory, and what does it serve")
    _add_data_dir(status)
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)

    completion = commands.add_parser("completion", help="print a completion script for your shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    completion.set_defaults(run=_completion)
    return parser


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=None,
        help="where everything is kept (default: $UNKAI_DATA_DIR or ~/.local/share/unkai)",
    )


def _up(arguments: argparse.Namespace) -> int:
    from unkai.app import datadir
    from unkai.app.logs import log_to_stderr
    from unkai.app.supervisor import StartFailed, run_node

    log_to_stderr()
    directory = datadir.open_data_dir(
        arguments.data_dir or default_data_dir(),
        movable_clock=arguments.clock == "movable",
        credentials=_given_credentials(),
    )
    held = datadir.lock(directory)
    sock = bind(arguments.host, arguments.port)
    workers = arguments.workers if arguments.workers is not None else os.cpu_count() or 1
    url = f"http://{_shown_host(arguments.host)}:{sock.getsockname()[1]}"
    datadir.write_running(directory, url, os.getpid())

    def on_ready() -> None:
        took_s = monotonic_s() - STARTED_S
        if arguments.json:
            print(
                _json(
                    {"endpoint": url, "data_dir": str(directory.path), "pid": os.getpid(), "seconds": round(took_s, 3)}
                )
            )
        else:
            print(f"unkai {__version__} is ready on {url} ({took_s:.2f} s). Data: {directory.path}")
            print(
                f'  In another shell:  eval "$(unkai env{_shown_data_dir(arguments)})"  and then, say:  aws sqs list-queues'
            )
        sys.stdout.flush()

    try:
        run_node(directory, sock, workers, on_ready)
    except StartFailed as error:
        raise CommandError(str(error)) from None
    finally:
        datadir.forget_running(directory)
        os.close(held)
    return 0


def bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise CommandError(f"cannot listen on {host}:{port} ({error.strerror}). Choose another --port.") from None
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def _shown_host(host: str) -> str:
    return LOOPBACK if host in ("0.0.0.0", "::", "localhost") else f"[{host}]" if ":" in host else host


def _shown_data_dir(arguments: argparse.Namespace) -> str:
    return f" --data-dir {arguments.data_dir}" if arguments.data_dir else ""


def _given_credentials() -> Any:
    """Root's key from the environment, for a new data directory."""
    from unkai.app.datadir import RootCredentials

    key_id, secret = os.environ.get("UNKAI_ROOT_ACCESS_KEY_ID"), os.environ.get("UNKAI_ROOT_SECRET_ACCESS_KEY")
    if not key_id and not secret:
        return None
    if not key_id or not secret or len(key_id) < 16 or len(secret) < 20:
        raise CommandError(
            "UNKAI_ROOT_ACCESS_KEY_ID (16 characters or more) and UNKAI_ROOT_SECRET_ACCESS_KEY (20 or more) go together."
        )
    return RootCredentials(os.environ.get("UNKAI_ACCOUNT_ID", "000000000000"), key_id, secret)


def _existing(arguments: argparse.Namespace) -> DataDir:
    from unkai.app.datadir import DataDir

    path = (arguments.data_dir or default_data_dir()).resolve()
    if not (path / "FORMAT").exists():
        raise CommandError(f"{path} is no data directory yet. Start a node first: unkai up{_shown_data_dir(arguments)}")
    return DataDir(path)


def _env(arguments: argparse.Namespace) -> int:
    from unkai.app.datadir import read_running

    directory = _existing(arguments)
    credentials = directory.root_credentials()
    running = read_running(directory)
    values = {
        "AWS_ENDPOINT_URL": running.endpoint if running else f"http://{LOOPBACK}:{PORT}",
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    if arguments.json:
        print(_json(values))
        return 0
    import shlex

    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_SESSION_TOKEN AWS_PROFILE")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    import urllib.error
    import urllib.request

    from unkai.app.datadir import read_running

    directory = _existing(arguments)
    running = read_running(directory)
    health: dict[str, Any] = {}
    if running is not None:
        try:
            import msgspec

            with urllib.request.urlopen(f"{running.endpoint}/_unkai/health", timeout=3) as answer:
                health = msgspec.json.decode(answer.read())
        except (OSError, urllib.error.URLError):
            health = {"status": "does not answer"}
    report = {
        "data_dir": str(directory.path),
        "running": running is not None,
        "endpoint": running.endpoint if running else None,
        "pid": running.pid if running else None,
        **health,
    }
    if arguments.json:
        print(_json(report))
    elif running is None:
        print(f"Not running. Data: {directory.path}. Start it: unkai up{_shown_data_dir(arguments)}")
    else:
        print(f"{health.get('status', '?')}: {running.endpoint} (pid {running.pid}). Data: {directory.path}")
        print("  services: " + ", ".join(health.get("services", {})))
    return 0 if running is not None and health.get("status") == "ok" else 3


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(make_parser(), shell=arguments.shell))
    return 0


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    sys.exit(main())
