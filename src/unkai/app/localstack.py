"""`unkai up --localstack`: for people who move over from LocalStack by changing nothing.

Its credentials (`test`/`test`, or a 12-digit account id as access key with the secret `test`), its health path, its ready
line and its init-hook folders. Signatures are still verified; but anybody knows these secrets, so this binds loopback only
and is never on by default.
https://docs.localstack.cloud/aws/capabilities/config/initialization-hooks/
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unkai import __version__
from unkai.edge.control import json_response
from unkai.kernel.caller import Caller
from unkai.kernel.ports import Credential

if TYPE_CHECKING:
    from unkai.calls.authorize import Identity
    from unkai.kernel.http import HttpResponse
    from unkai.store.api import ReadTx

log = logging.getLogger(__name__)

DEFAULT_ACCOUNT = "000000000000"
SECRET = "test"
HEALTH_PATH = "/_localstack/health"
HOOKS = Path("/etc/localstack/init")
HOOK_TIMEOUT_S = 600


def with_test_credentials(identity: Identity) -> Identity:
    """`identity`, which also knows `test` and account ids as root keys with the secret `test`."""

    async def credential(tx: ReadTx, access_key_id: str, session_token: str, now_ms: int) -> Credential | None:
        is_account = len(access_key_id) == 12 and access_key_id.isascii() and access_key_id.isdigit()
        if access_key_id != "test" and not is_account:
            return await identity.credential(tx, access_key_id, session_token, now_ms)
        account = access_key_id if is_account else DEFAULT_ACCOUNT
        root = Caller("Root", account, f"arn:aws:iam::{account}:root", user_id=account, access_key_id=access_key_id)
        return Credential(root, SECRET)

    return replace(identity, credential=credential)


def health(services: list[str]) -> HttpResponse:
    """What tools that wait for LocalStack read."""
    return json_response(
        200, {"services": dict.fromkeys(services, "running"), "edition": "unkai", "version": __version__}
    )


def run_hooks(stage: str, endpoint: str) -> None:
    """Run the scripts in `/etc/localstack/init/<stage>.d` by name; a failing one is logged and the next one runs."""
    folder = HOOKS / f"{stage}.d"
    if not folder.is_dir():
        return
    environment = os.environ | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    for script in sorted(folder.iterdir()):
        if script.suffix == ".py":
            command = [sys.executable, str(script)]
        elif script.suffix == ".sh" and os.access(script, os.X_OK):
            command = [str(script)]
        else:
            continue
        try:
            done = subprocess.run(command, env=environment, timeout=HOOK_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.error("init hook failed", extra={"script": str(script), "reason": str(error)})
            continue
        if done.returncode != 0:
            log.error("init hook failed", extra={"script": str(script), "status": done.returncode})
