"""The platform's own log lines and error documents, in AWS's words. Pure functions.

Text form: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html; JSON form and telemetry records:
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from unkai.kernel import clock
from unkai.runtime.api import LOG_TAIL_BYTES, RESPONSE_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from unkai.runtime.api import Report


def runtime_version(runtime: str) -> str:
    """`python:3.12.v1`, `nodejs:20.v1`, `provided:al2023.v1`."""
    for family in ("python", "nodejs"):
        if runtime.startswith(family):
            return f"{family}:{runtime.removeprefix(family).removesuffix('.x')}.v1"
    return runtime.replace(".", ":") + ".v1"


def runtime_arn(runtime: str, region: str) -> str:
    return f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(runtime.encode()).hexdigest()}"


def text_of(kind: str, record: dict[str, Any]) -> str:
    """A platform event as a plain log line; empty where AWS writes none."""
    match kind:
        case "platform.initStart":
            return f"INIT_START Runtime Version: {record['runtimeVersion']}\tRuntime Version ARN: {record['runtimeVersionArn']}"
        case "platform.initReport":
            if record["status"] == "success":
                return ""
            error = f"\tError Type: {record['errorType']}" if record.get("errorType") else ""
            duration = record["metrics"]["durationMs"]
            return f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: {record['phase']}\tStatus: {record['status']}{error}"
        case "platform.start":
            return f"START RequestId: {record['requestId']} Version: {record['version']}"
        case "platform.runtimeDone":
            return f"END RequestId: {record['requestId']}"
        case "platform.report":
            return _report_text(record)
        case "platform.extension":
            return (
                f"EXTENSION\tName: {record['name']}\tState: {record['state']}\tEvents: [{', '.join(record['events'])}]"
            )
        case "platform.telemetrySubscription":
            types = ", ".join(name.capitalize() for name in record["types"])
            return f"TELEMETRY\tName: {record['name']}\tState: {record['state']}\tTypes: [{types}]"
    return ""


def _report_text(record: dict[str, Any]) -> str:
    metrics = record["metrics"]
    line = (
        f"REPORT RequestId: {record['requestId']}\tDuration: {metrics['durationMs']:.2f} ms\t"
        f"Billed Duration: {metrics['billedDurationMs']} ms\tMemory Size: {metrics['memorySizeMB']} MB\t"
        f"Max Memory Used: {metrics['maxMemoryUsedMB']} MB\t"
    )
    if "initDurationMs" in metrics:
        line += f"Init Duration: {metrics['initDurationMs']:.2f} ms\t"
    if record["status"] != "success":
        line += f"Status: {record['status']}"
        if record.get("errorType"):
            line += f"\tError Type: {record['errorType']}"
    if record.get("tracing"):
        trace = dict(part.partition("=")[::2] for part in record["tracing"]["value"].split(";"))
        line += f"\nXRAY TraceId: {trace.get('Root', '')}\tSegmentId: {trace.get('Parent', '')}\tSampled: true\t"
    return line


def json_of(kind: str, record: dict[str, Any], now_ms: int) -> str:
    """A platform event as a JSON log line, for functions whose log format is JSON."""
    return json.dumps({"time": clock.iso8601(now_ms), "type": kind, "record": record}, separators=(",", ":"))


def report_record(request_id: str, report: Report, trace: str) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "durationMs": round(report.duration_ms, 3),
        "billedDurationMs": report.billed_duration_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.memory_used_mb,
    }
    if report.init_duration_ms is not None:
        metrics["initDurationMs"] = round(report.init_duration_ms, 3)
    record: dict[str, Any] = {"requestId": request_id, "metrics": metrics, "status": report.status}
    if report.error_type:
        record["errorType"] = report.error_type
    return record | tracing_of(trace)


def tracing_of(trace: str) -> dict[str, Any]:
    """Only a sampled trace is reported."""
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": trace}} if "Sampled=1" in trace else {}


# --- error documents: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html


def _document(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}, separators=(",", ":")).encode()


def timed_out(request_id: str, timeout_s: float) -> bytes:
    return _document("Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds")


def timed_out_line(request_id: str, timeout_s: float, now_ms: int) -> str:
    return f"{clock.iso8601(now_ms)} {request_id} Task timed out after {timeout_s:.2f} seconds\n"


_SIGNALS = {1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 6: "aborted", 7: "bus error",
            8: "floating point exception", 9: "killed", 11: "segmentation fault", 13: "broken pipe", 15: "terminated"}  # fmt: skip


def exit_text(status: int) -> str:
    """How a runtime process ended, in the words that AWS uses. Negative: by that signal."""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    return f"Runtime exited with error: signal: {_SIGNALS.get(-status, f'signal {-status}')}"


def exited(request_id: str, status: int, oom: bool) -> tuple[str, bytes]:
    kind = "Runtime.OutOfMemory" if oom else "Runtime.ExitError"
    return kind, _document(kind, f"RequestId: {request_id} Error: {exit_text(status)}")


def failed(kind: str, request_id: str, text: str) -> bytes:
    return _document(kind, f"RequestId: {request_id} Error: {text}" if request_id else text)


def response_too_large() -> bytes:
    text = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_SIZE_BYTES_MAX} bytes)."
    return _document("Function.ResponseSizeTooLarge", text)


class Tail:
    """The last 4 KB of one event's log, as `LogResult` gives them."""

    __slots__ = ("_lines", "_size")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, text: str) -> None:
        line = text[-LOG_TAIL_BYTES:].encode() + b"\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size > 16 * LOG_TAIL_BYTES:
            kept = b"".join(self._lines)[-LOG_TAIL_BYTES:]
            self._lines, self._size = [kept], len(kept)

    def bytes(self) -> bytes:
        return b"".join(self._lines)[-LOG_TAIL_BYTES:]
