"""`unkai logs [-f]`: what functions (and anybody else) write to log groups, in one stream. Speaks the public API only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from unkai.cli.asking import CommandError, add_data_dir, add_json, running_node, to_json
from unkai.kernel.clock import RealClock, iso8601

if TYPE_CHECKING:
    import argparse

POLL_S = 0.5
OVERLAP_MS = 2000
"""How far each look reaches back: lines of different streams may arrive a little out of order."""


def add(commands: Any) -> None:
    parser = commands.add_parser("logs", help="show what functions have written to their logs; -f goes on as it comes")
    parser.add_argument("group", nargs="?", default="", help="part of a log group's name (default: all groups)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--minutes", type=float, default=10, help="how far back to begin (default 10)")
    add_data_dir(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import threading

    client = _client(arguments)
    since_ms = RealClock().real_ms() - int(arguments.minutes * 60_000)
    seen: set[str] = set()
    pause = threading.Event()
    while True:
        events = _look(client, arguments.group, since_ms)
        for event in events:
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                _show(event, arguments.json)
        sys.stdout.flush()
        if not arguments.follow:
            return 0
        if events:
            since_ms = max(since_ms, events[-1]["timestamp"] - OVERLAP_MS)
            seen &= {event["eventId"] for event in events}
        pause.wait(POLL_S)


def _client(arguments: argparse.Namespace) -> Any:
    import boto3  # type: ignore[import-untyped]

    directory, running = running_node(arguments)
    credentials = directory.root_credentials()
    verify = str(directory.path / "tls.pem") if running.endpoint.startswith("https") else None
    return boto3.client(
        "logs",
        endpoint_url=running.endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        verify=verify,
    )


def _look(client: Any, part: str, since_ms: int) -> list[dict[str, Any]]:
    """All events since then, of all groups whose names contain `part`, in order of time."""
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    events: list[dict[str, Any]] = []
    try:
        given = {"logGroupNamePattern": part} if part else {}
        for page in client.get_paginator("describe_log_groups").paginate(**given):
            for group in page["logGroups"]:
                pages = client.get_paginator("filter_log_events").paginate(
                    logGroupName=group["logGroupName"], startTime=since_ms
                )
                events += [event | {"group": group["logGroupName"]} for found in pages for event in found["events"]]
    except BotoCoreError as error:
        raise CommandError(f"the node does not answer ({error}). See: unkai status") from None
    return sorted(events, key=lambda event: int(event["timestamp"]))


def _show(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(to_json({name: event[name] for name in ("timestamp", "group", "logStreamName", "message")}))
    else:
        print(f"{iso8601(event['timestamp'])} {event['group'].rpartition('/')[2]:20} {event['message'].rstrip()}")
