"""RedrivePolicy and RedriveAllowPolicy: which queue gets the messages that nobody could process, and who may name it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from unkai.kernel.arn import Arn
from unkai.services.sqs import errors, limits

TEXT_MAX_CHARS = 8192


class RedrivePolicy(NamedTuple):
    target: Arn
    receives_max: int


class RedriveAllowPolicy(NamedTuple):
    """`sources` is None where every queue may name it."""

    sources: frozenset[str] | None


def _load(text: str, name: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text) if len(text) <= TEXT_MAX_CHARS else None
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise errors.invalid_value(text, name, f"{_WORDS[name]} is not a valid JSON map.")
    return loaded


_WORDS = {"RedrivePolicy": "Redrive policy", "RedriveAllowPolicy": "Redrive allow policy"}


@lru_cache(maxsize=1024)
def parse(text: str) -> RedrivePolicy:
    """Raises InvalidParameterValue, as AWS does for this attribute."""
    loaded = _load(text, "RedrivePolicy")

    def refuse(reason: str) -> Exception:
        return errors.invalid_value(text, "RedrivePolicy", reason)

    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if name not in loaded:
            raise refuse(f"Redrive policy does not contain mandatory attribute: {name}.")
    if unknown := loaded.keys() - {"deadLetterTargetArn", "maxReceiveCount"}:
        raise refuse(
            f"Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount]: {min(unknown)}."
        )
    count = loaded["maxReceiveCount"]
    digits = count if isinstance(count, str) else str(count) if type(count) is int else ""
    valid = digits.isascii() and digits.isdigit() and len(digits) < 6
    if not valid or not 1 <= int(digits) <= limits.RECEIVE_COUNT_MAX:
        raise refuse(f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive.")
    target = loaded["deadLetterTargetArn"]
    arn = Arn.parse(target) if isinstance(target, str) else None
    if arn is None or arn.service != "sqs" or not arn.region or not arn.account or len(arn.resource) > limits.NAME_MAX:
        raise refuse("Invalid value for deadLetterTargetArn.")
    return RedrivePolicy(arn, int(digits))


def normalized(text: str) -> str:
    """One form of the same policy: AWS gives maxReceiveCount back as a number, however it was written."""
    policy = parse(text)
    return json.dumps(
        {"deadLetterTargetArn": str(policy.target), "maxReceiveCount": policy.receives_max}, separators=(",", ":")
    )


@lru_cache(maxsize=1024)
def parse_allow(text: str) -> RedriveAllowPolicy:
    loaded = _load(text, "RedriveAllowPolicy")

    def refuse(reason: str) -> Exception:
        return errors.invalid_value(text, "RedriveAllowPolicy", reason)

    permission = loaded.get("redrivePermission")
    arns = loaded.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise refuse("Invalid value for redrivePermission, valid values are allowAll, denyAll and byQueue.")
    if permission != "byQueue":
        if arns is not None:
            raise refuse("sourceQueueArns is only allowed with redrivePermission byQueue.")
        return RedriveAllowPolicy(None if permission == "allowAll" else frozenset())
    if not isinstance(arns, list) or not 1 <= len(arns) <= limits.REDRIVE_SOURCES_MAX:
        raise refuse("sourceQueueArns must name between 1 and 10 queues.")
    for arn in arns:
        parsed = Arn.parse(arn) if isinstance(arn, str) else None
        if parsed is None or parsed.service != "sqs":
            raise refuse("sourceQueueArns must be ARNs of queues.")
    return RedriveAllowPolicy(frozenset(arns))


def allows(text: str | None, source_arn: str) -> bool:
    """May the queue `source_arn` use a dead-letter queue whose RedriveAllowPolicy is `text`?"""
    if not text:
        return True
    sources = parse_allow(text).sources
    return sources is None or source_arn in sources
