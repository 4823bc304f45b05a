"""`unkai env`: export lines for a shell."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from unkai.cli.asking import LOOPBACK, PORT, add_data_dir, add_json, existing, to_json

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    parser = commands.add_parser("env", help='print export lines for a shell: eval "$(unkai env)"')
    add_data_dir(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unkai.app.datadir import read_running

    directory = existing(arguments)
    credentials = directory.root_credentials()
    running = read_running(directory)
    values = {
        "AWS_ENDPOINT_URL": running.endpoint if running else f"http://{LOOPBACK}:{PORT}",
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    if running and running.endpoint.startswith("https"):
        values["AWS_CA_BUNDLE"] = str(directory.path / "tls.pem")
    if arguments.json:
        print(to_json(values))
        return 0
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_SESSION_TOKEN AWS_PROFILE")
    return 0
