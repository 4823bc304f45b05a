"""Batches of SQS messages as a function gets them, and what its answer says of them. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SIZE_BYTES_MAX = 6 * 1024 * 1024 - 1024


def record_of(message: dict[str, Any], source_arn: str, region: str) -> dict[str, Any]:
    """One received message in the form that functions see."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
        **(
            {"md5OfMessageAttributes": message["MD5OfMessageAttributes"]} if "MD5OfMessageAttributes" in message else {}
        ),
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": source_arn,
        "awsRegion": region,
    }


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        out["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        out["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return out


def size_of(record: dict[str, Any]) -> int:
    """What the record takes in the event, as JSON."""
    return len(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()) + 1


def parts(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The records in events that are small enough, in order."""
    part: list[dict[str, Any]] = []
    size = 0
    for record in records:
        length = size_of(record)
        if part and size + length > SIZE_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part


def is_wanted(record: dict[str, Any], filters: Sequence[Callable[[Any], bool]]) -> bool:
    """Whether one of the filters matches. A body that is JSON is matched as such, any other as text.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
    """
    body: Any = record["body"]
    with contextlib.suppress(ValueError, RecursionError):
        body = json.loads(body)
    event = record | {"body": body}
    return any(matches(event) for matches in filters)


def succeeded(records: Sequence[dict[str, Any]], answer: bytes, *, partial: bool) -> list[dict[str, Any]]:
    """The records to delete. With partial responses those that are not named as failed; none where the answer names what is
    not in the batch or is no such answer."""
    if not partial:
        return list(records)
    try:
        given = json.loads(answer or b"null")
    except (ValueError, RecursionError):
        return []
    if given is None or given == {}:
        return list(records)
    if not isinstance(given, dict):
        return []
    failures = given.get("batchItemFailures")
    if failures is None:
        return list(records)
    if not isinstance(failures, list):
        return []
    known = {record["messageId"] for record in records}
    failed: set[str] = set()
    for failure in failures:
        name = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(name, str) or name not in known:
            return []
        failed.add(name)
    return [record for record in records if record["messageId"] not in failed]
