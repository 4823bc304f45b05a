"""File conversion on real pictures, from nothing to a contact sheet: start a node, deploy, put, watch, look, stop.

python examples/file_conversion/demo.py [--keep] [--out FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from deploy import FUNCTIONS, Deployed, deploy
from pictures import pictures

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "unkai-demo"
WAIT_S = 120
TILE = 320


@dataclass(frozen=True)
class Row:
    picture: str
    variant: str
    size_bytes: int
    milliseconds: int
    """From the start of the PUT to the variant being there, by the store's own times."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the node running and print how to look around")
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="where the contact sheet goes")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    data_dir = Path(tempfile.mkdtemp(prefix="unkai-demo-")) / "data"
    node, ready = start_node(data_dir)
    kept = False
    try:
        session = Session(ready, data_dir)
        with Progress(
            TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as bar:
            rows, deployed, bad = run(session, bar)
        show(console, rows, arguments.json)
        show_failures(console, session, deployed, bad)
        sheet = contact_sheet(session, deployed, arguments.out)
        console.print(f"Contact sheet: [bold]{sheet}[/bold]")
        if arguments.keep:
            kept = True
            look_around(console, ready, data_dir, deployed, node.pid)
    finally:
        if not kept:
            node.send_signal(signal.SIGTERM)
            node.wait(30)
    return 0


def start_node(data_dir: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """A node on a fresh data directory, on any free port, with a clock that can be moved (see show_failures)."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    log = (data_dir.parent / "node.log").open("w")
    command = [
        sys.executable,
        "-m",
        "unkai.cli",
        "up",
        "--json",
        "--port",
        "0",
        "--clock",
        "movable",
        "--data-dir",
        str(data_dir),
    ]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
    assert node.stdout is not None
    line = node.stdout.readline()
    if not line:
        raise SystemExit(f"the node did not start; see {log.name}")
    return node, json.loads(line)


class Session:
    """boto3 clients with root's key, one of each."""

    def __init__(self, ready: dict[str, Any], data_dir: Path) -> None:
        environment = subprocess.run(
            [sys.executable, "-m", "unkai.cli", "env", "--json", "--data-dir", str(data_dir)],
            check=True,
            capture_output=True,
            text=True,
        )
        values = json.loads(environment.stdout)
        self._session = boto3.Session(
            values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name=values["AWS_DEFAULT_REGION"]
        )
        self._endpoint = ready["endpoint"]
        self._clients: dict[str, Any] = {}
        self.data_dir = data_dir

    def client(self, service: str) -> Any:
        if service not in self._clients:
            config = Config(s3={"addressing_style": "path"})
            self._clients[service] = self._session.client(service, endpoint_url=self._endpoint, config=config)
        return self._clients[service]


def run(session: Session, bar: Progress) -> tuple[list[Row], Deployed, list[str]]:
    fetching = bar.add_task("pictures (from scikit-image)", total=1)
    good, bad = pictures(CACHE)
    bar.advance(fetching)
    steps = bar.add_task("deploying", total=5 + len(FUNCTIONS) - 1)

    def say(what: str) -> None:
        bar.update(steps, advance=1, description=f"deploying: {what}")

    deployed = deploy(session, CACHE, say)
    bar.update(steps, description="deployed")
    s3 = session.client("s3")
    putting = bar.add_task("putting pictures", total=len(good) + len(bad))
    put_at: dict[str, float] = {}
    for key, body in (good | bad).items():
        put_at[key] = time.time()
        s3.put_object(Bucket=deployed.photos, Key=key, Body=body)
        bar.advance(putting)
    waiting = bar.add_task("waiting for variants", total=len(good) * len(FUNCTIONS))
    return (
        wait_for_variants(session, deployed, put_at, list(good), lambda done: bar.update(waiting, completed=done)),
        deployed,
        list(bad),
    )


def wait_for_variants(
    session: Session, deployed: Deployed, put_at: dict[str, float], keys: list[str], tell: Any
) -> list[Row]:
    wanted = len(keys) * len(FUNCTIONS)
    until = time.monotonic() + WAIT_S
    found: dict[str, Row] = {}
    while len(found) < wanted:
        if time.monotonic() > until:
            raise SystemExit(f"only {len(found)} of {wanted} variants came within {WAIT_S} s; see `unkai logs`")
        for item in session.client("s3").list_objects_v2(Bucket=deployed.variants).get("Contents", []):
            if item["Key"] in found:
                continue
            variant, _, name = item["Key"].partition("/")
            stem = name.removesuffix(".zip").rsplit(".", 1)[0] if variant != "zip" else name.removesuffix(".zip")
            picture = next(key for key in keys if key == stem or key.rsplit(".", 1)[0] == stem)
            # When we saw it: the store keeps whole seconds only.
            found[item["Key"]] = Row(picture, variant, item["Size"], round((time.time() - put_at[picture]) * 1000))
        tell(len(found))
        time.sleep(0.02)
    return sorted(found.values(), key=lambda row: (row.picture, row.variant))


def show(console: Console, rows: list[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    table = Table("picture", "variant", "bytes", "ms from PUT to result")
    for row in rows:
        table.add_row(row.picture, row.variant, f"{row.size_bytes:,}", f"{row.milliseconds:,}")
    console.print(table)


def show_failures(console: Console, session: Session, deployed: Deployed, bad: list[str]) -> None:
    """What is no picture fails, is retried after one and two more minutes, and ends in the queue. Nobody waits for that here:
    the node's time is moved."""
    subprocess.run(
        [sys.executable, "-m", "unkai.cli", "clock", "advance", "4m", "--data-dir", str(session.data_dir)],
        check=True,
        capture_output=True,
    )
    sqs = session.client("sqs")
    failed: dict[str, int] = {}
    until = time.monotonic() + WAIT_S
    while sum(failed.values()) < len(bad) * len(FUNCTIONS) and time.monotonic() < until:
        out = sqs.receive_message(QueueUrl=deployed.failed, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in out.get("Messages", []):
            event = json.loads(json.loads(message["Body"])["Records"][0]["Sns"]["Message"])
            key = event["Records"][0]["s3"]["object"]["key"]
            failed[key] = failed.get(key, 0) + 1
            sqs.delete_message(QueueUrl=deployed.failed, ReceiptHandle=message["ReceiptHandle"])
    for key in bad:
        console.print(
            f"{key}: refused by {failed.get(key, 0)} of {len(FUNCTIONS)} functions, now in the dead-letter queue. {reason(session, key)}"
        )


def reason(session: Session, key: str) -> str:
    """The last error in the resize function's log after it took up `key`."""
    events = session.client("logs").filter_log_events(logGroupName="/aws/lambda/photo-resize", filterPattern="ERROR")[
        "events"
    ]
    kind = "truncated" if key.startswith("cut") else "cannot identify"
    return next((f"Log: {event['message'].splitlines()[0][:100]}" for event in events if kind in event["message"]), "")


def contact_sheet(session: Session, deployed: Deployed, out: Path) -> Path:
    """One picture of all the resized ones, with their names."""
    s3 = session.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=deployed.variants, Prefix="300x300/")["Contents"]]
    columns = 4
    lines = -(-len(keys) // columns)
    sheet = Image.new("RGB", (columns * TILE, lines * (TILE + 20)), "white")
    draw = ImageDraw.Draw(sheet)
    for at, key in enumerate(keys):
        picture = Image.open(io.BytesIO(s3.get_object(Bucket=deployed.variants, Key=key)["Body"].read())).convert(
            "RGBA"
        )
        left = at % columns * TILE + (TILE - picture.width) // 2
        top = at // columns * (TILE + 20) + (TILE - picture.height) // 2
        sheet.paste(picture, (left, top), picture)
        draw.text((at % columns * TILE + 10, at // columns * (TILE + 20) + TILE), key.partition("/")[2], fill="black")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "contact-sheet.png"
    sheet.save(path)
    return path.resolve()


def look_around(console: Console, ready: dict[str, Any], data_dir: Path, deployed: Deployed, pid: int) -> None:
    endpoint = f"--endpoint-url {ready['endpoint']}"
    console.print(f"\nThe node keeps running (pid {pid}; stop it with: kill {pid}). Look around:")
    for line in (
        f'eval "$(unkai env --data-dir {data_dir})"',
        f"aws {endpoint} s3 ls s3://{deployed.variants} --recursive",
        f"aws {endpoint} s3 cp my-own-picture.jpg s3://{deployed.photos}/",
        f"unkai logs -f photo-resize --data-dir {data_dir}",
        f"aws {endpoint} lambda get-function --function-name photo-resize",
    ):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
