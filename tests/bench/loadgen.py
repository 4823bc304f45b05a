"""Signed requests replayed by wrk: one request is signed once (signatures hold for minutes) and sent over and over."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"


@dataclass(frozen=True)
class Keys:
    access_key_id: str
    secret: str


@dataclass(frozen=True)
class Request:
    """One request as bytes on the wire; `paths` are taken in turn where there are several (each signed by itself)."""

    method: str
    variants: tuple[tuple[str, dict[str, str]], ...]
    body: str


@dataclass(frozen=True)
class Result:
    per_second: float
    p50_ms: float
    p99_ms: float
    bad: int
    bytes_per_second: float


def signed(
    keys: Keys,
    endpoint: str,
    service: str,
    method: str,
    paths: list[str],
    body: str = "",
    headers: dict[str, str] | None = None,
) -> Request:
    variants = []
    for path in paths:
        request = AWSRequest(method, endpoint + path, data=body, headers=dict(headers or {}))
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(Credentials(keys.access_key_id, keys.secret), service, REGION).add_auth(request)
        variants.append((path, {name: str(value) for name, value in request.headers.items()}))
    return Request(method, tuple(variants), body)


def sqs(keys: Keys, endpoint: str, operation: str, inp: dict[str, Any]) -> Request:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
    return signed(keys, endpoint, "sqs", "POST", ["/"], json.dumps(inp), headers)


_LUA = """
local variants = {%s}
local body = %s
local at = 0
request = function()
  at = at %% #variants + 1
  return wrk.format(%s, variants[at][1], variants[at][2], body)
end
"""


def run(request: Request, endpoint: str, connections: int, seconds: float, cores: str = "") -> Result:
    """Send `request` over `connections` for `seconds` with one thread of wrk, bound to `cores` where given."""
    assert shutil.which("wrk"), "wrk is missing: apt install wrk"
    variants = ",".join(
        "{{{},{{{}}}}}".format(_lua(path), ",".join(f"[{_lua(name)}]={_lua(value)}" for name, value in headers.items()))
        for path, headers in request.variants
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA % (variants, _lua(request.body) if request.body else "nil", _lua(request.method)))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "-s",
            script.name,
            endpoint,
        ]
        if cores:
            command = ["taskset", "-c", cores, *command]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Result(
        float(_find(out, r"Requests/sec:\s+([\d.]+)")),
        _ms(_find(out, r"50%\s+([\d.]+\w+)")),
        _ms(_find(out, r"99%\s+([\d.]+\w+)")),
        int(_find(out, r"Non-2xx or 3xx responses: (\d+)", "0"))
        + sum(map(int, re.findall(r"(?:read|write|timeout) (\d+)", out))),
        _bytes(_find(out, r"Transfer/sec:\s+([\d.]+\w+)")),
    )


def _lua(text: str) -> str:
    return (
        '"'
        + "".join(
            char if char.isalnum() or char in " -_./:=,;+&?" else f"\\{byte:03d}"
            for char in text
            for byte in [ord(char)]
        )
        + '"'
    )


def _find(text: str, pattern: str, default: str | None = None) -> str:
    found = re.search(pattern, text)
    if found is None:
        assert default is not None, text
        return default
    return found.group(1)


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[unit]
