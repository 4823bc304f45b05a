"""The AWS-managed policies that unkai has: data in aws_managed.json, with documents of our own that give the same rights.

https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
"""

from __future__ import annotations

import hashlib
import json
from base64 import b32encode
from functools import lru_cache
from pathlib import Path

from unkai.services.iam.rows import PolicyRow, VersionRow

OWNER = "aws"
CREATED_MS = 1_423_224_000_000
"""6 February 2015, when most of them appeared."""


@lru_cache(maxsize=1)
def policies() -> dict[str, PolicyRow]:
    """All of them by their ARN, in the form of customers' policies."""
    source = json.loads(Path(__file__).with_suffix(".json").read_text())
    rows = [_row(name, given) for name, given in sorted(source.items())]
    return {f"arn:aws:iam::aws:policy{row.path}{row.name}": row for row in rows}


def _row(name: str, given: dict[str, object]) -> PolicyRow:
    document = json.dumps({"Version": "2012-10-17", "Statement": given["statements"]}, indent=2)
    return PolicyRow(
        id="ANPA" + b32encode(hashlib.sha256(name.encode()).digest())[:17].decode(),
        name=name,
        path=str(given["path"]),
        created_ms=CREATED_MS,
        updated_ms=CREATED_MS,
        versions={1: VersionRow(document, CREATED_MS)},
        description=str(given["description"]),
    )


def text_of(arn: str) -> str | None:
    row = policies().get(arn)
    return None if row is None else row.versions[1].document
