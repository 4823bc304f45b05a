"""`unkai up`: run a node until Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unkai import __version__
from unkai.cli.asking import LOOPBACK, PORT, CommandError, add_data_dir, default_data_dir, shown_data_dir, to_json
from unkai.kernel.clock import monotonic_s

if TYPE_CHECKING:
    import argparse

    from unkai.app.datadir import RootCredentials

STARTED_S = monotonic_s()  # before the heavy imports, so that the time to ready is the whole of it
LOOPBACKS = frozenset({"127.0.0.1", "::1", "localhost"})


def add(commands: Any) -> None:
    parser = commands.add_parser("up", help="run a node until Ctrl-C")
    add_data_dir(parser)
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"the one port for everything (default {PORT}; 0: any free)"
    )
    parser.add_argument("--host", default=LOOPBACK, help="the address to bind (default: this machine only)")
    parser.add_argument(
        "--workers", type=int, default=None, help="front-door processes (default: one per core; 0: all in one process)"
    )
    parser.add_argument(
        "--tls", action="store_true", help="speak HTTPS, with a certificate made for this data directory or a given one"
    )
    parser.add_argument("--tls-cert", type=Path, help="a certificate chain (PEM), with --tls-key")
    parser.add_argument("--tls-key", type=Path, help="its private key (PEM)")
    parser.add_argument(
        "--clock", choices=["real", "movable"], default="real", help="movable: 'unkai clock advance' works"
    )
    parser.add_argument(
        "--localstack",
        action="store_true",
        help="for those who move over from LocalStack: test/test credentials, account ids as access keys, its health path, "
        "ready line and init hooks. Binds loopback only",
    )
    parser.add_argument(
        "--allow-outbound",
        action="append",
        default=[],
        metavar="NETWORK",
        help="a network that HTTP subscriptions may reach besides the open internet, such as 127.0.0.0/8 (may be repeated)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")
    parser.add_argument(
        "--unsandboxed-functions",
        action="store_true",
        help="run functions even where this machine cannot isolate them: they can then do all that this user can",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unkai.app import datadir
    from unkai.app.logs import log_to_stderr
    from unkai.app.processes import Options
    from unkai.app.supervisor import StartFailed, run_node
    from unkai.layers.outbound import allowing

    if arguments.localstack and arguments.host not in LOOPBACKS:
        raise CommandError(
            "--localstack opens the node to anybody who can connect, so it binds loopback only. Leave --host out."
        )
    try:
        allowing(arguments.allow_outbound)
    except ValueError as error:
        raise CommandError(f"--allow-outbound: {error}. Give a network such as 127.0.0.0/8.") from None
    log_to_stderr()
    directory = datadir.open_data_dir(
        arguments.data_dir or default_data_dir(),
        movable_clock=arguments.clock == "movable",
        credentials=_given_credentials(),
    )
    held = datadir.lock(directory)
    context = _tls_context(arguments, directory.path)
    sock = bind(arguments.host, arguments.port)
    workers = arguments.workers if arguments.workers is not None else os.cpu_count() or 1
    url = f"{'https' if context else 'http'}://{_shown_host(arguments.host)}:{sock.getsockname()[1]}"
    datadir.write_running(directory, url, os.getpid())
    if arguments.localstack:
        from unkai.app import localstack

        localstack.run_hooks("boot", url)

    def on_ready() -> None:
        took_s = monotonic_s() - STARTED_S
        if arguments.localstack:
            localstack.run_hooks("start", url)
        if arguments.json:
            report = {"endpoint": url, "data_dir": str(directory.path), "pid": os.getpid(), "seconds": round(took_s, 3)}
            print(to_json(report))
        else:
            again = shown_data_dir(arguments)
            print(f"unkai {__version__} is ready on {url} ({took_s:.2f} s). Data: {directory.path}")
            print(
                f'  In another shell:  eval "$(unkai env{again})"  and then, say:  aws sqs list-queues --endpoint-url {url}'
            )
        if arguments.localstack:
            print("Ready.")
            localstack.run_hooks("ready", url)
        sys.stdout.flush()

    options = Options(
        directory,
        sock,
        sock.getsockname()[1],
        tls=context,
        localstack=arguments.localstack,
        outbound=tuple(arguments.allow_outbound),
        unsandboxed=arguments.unsandboxed_functions,
    )
    try:
        run_node(options, workers, on_ready)
    except StartFailed as error:
        raise CommandError(str(error)) from None
    finally:
        if arguments.localstack:
            localstack.run_hooks("shutdown", url)
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
    except OverflowError:
        sock.close()
        raise CommandError(f"{port} is no port; they end at 65535.") from None
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def _tls_context(arguments: argparse.Namespace, directory: Path) -> Any:
    if not (arguments.tls or arguments.tls_cert or arguments.tls_key):
        return None
    from unkai.edge.http import tls
    from unkai.kernel.clock import RealClock

    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        raise CommandError("--tls-cert and --tls-key go together")
    if not arguments.tls_cert:
        return tls.self_signed_context(directory, RealClock().real_ms())
    try:
        return tls.server_context(arguments.tls_cert, arguments.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise CommandError(f"the certificate or key cannot be used: {error}") from None


def _shown_host(host: str) -> str:
    return LOOPBACK if host in ("0.0.0.0", "::", "localhost") else f"[{host}]" if ":" in host else host


def _given_credentials() -> RootCredentials | None:
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
