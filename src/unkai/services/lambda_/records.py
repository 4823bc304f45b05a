"""What Lambda sends on about an asynchronous invocation that has ended: destination records and dead letters. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-dlq.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.clock import iso8601

if TYPE_CHECKING:
    from unkai.services.lambda_.events import Event

ERROR_MESSAGE_SIZE_MAX = 1024

SUCCESS, RETRIES_EXHAUSTED, AGE_EXCEEDED = "Success", "RetriesExhausted", "EventAgeExceeded"


def _parsed(payload: bytes) -> Any:
    """A payload as JSON, or as text where a function answered something else."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


def destination_record(
    event: Event, *, condition: str, now_ms: int, arn: str, version: str, error: str, response: bytes | None
) -> dict[str, Any]:
    """`response` is None where the function was never run in the end (its event grew too old)."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso8601(now_ms),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": arn,
            "condition": condition,
            "approximateInvokeCount": event.runs,
        },
        "requestPayload": _parsed(event.payload),
    }
    if response is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": version}
        if error:
            context["functionError"] = error
        record |= {"responseContext": context, "responsePayload": _parsed(response)}
    return record


def dead_letter_attributes(event: Event, response: bytes | None) -> dict[str, dict[str, str]]:
    """The message attributes of a dead letter; its body is the event itself."""
    message = "The event was not processed within its maximum age."
    if response is not None:
        parsed = _parsed(response)
        message = str(parsed.get("errorMessage", "")) if isinstance(parsed, dict) else str(parsed)
    return {
        "RequestID": {"DataType": "String", "StringValue": event.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200" if response is not None else "429"},
        "ErrorMessage": {"DataType": "String", "StringValue": message[:ERROR_MESSAGE_SIZE_MAX] or "unknown"},
    }


def text_of(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)
