"""Runs a Python handler: the runtime side of the Lambda Runtime API, for Python 3.10 and later.

Started either in a fork server's child (`start_forked`) or as a program. One keep-alive socket, no HTTP library: this loop is
most of what the platform adds to a warm invocation inside the function's own CPU share.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback
from decimal import Decimal
from typing import Any, cast

_API = "/2018-06-01/runtime"
_NO_BREAK_SPACE = "\u00a0"  # log viewers keep it where they would strip a plain indentation
_THIS_FILE = os.path.basename(__file__)


class Fault(Exception):
    """A failure before the handler's own code: AWS's error type and text."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace or []


# --- the Runtime API, over one socket


class RuntimeApi:
    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._socket: socket.socket | None = None
        self._rest = b""

    def next(self) -> tuple[dict[str, str], bytes]:
        """The next event: its headers (lower-case names) and its body."""
        return self._call(f"GET {_API}/invocation/next HTTP/1.1\r\nHost: r\r\n\r\n".encode())

    def post(self, path: str, body: bytes, headers: str = "") -> tuple[dict[str, str], bytes]:
        fixed = f"Host: r\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"POST {_API}/{path} HTTP/1.1\r\n{fixed}{headers}\r\n"
        return self._call(head.encode("latin-1", "replace") + body)

    def _call(self, request: bytes) -> tuple[dict[str, str], bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        lines = data[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        parts, have = [data[end + 4 :]], len(data) - end - 4
        while have < size:
            part = self._more()
            parts.append(part)
            have += len(part)
        body = b"".join(parts)
        self._rest = body[size:]
        return headers, body[:size]

    def _more(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(262144)
        if not data:
            os._exit(1)  # the platform is gone; nothing can be answered any more
        return data


# --- what the handler gets


class CognitoIdentity:
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        values = values or {}
        self.cognito_identity_id = values.get("cognitoIdentityId")
        self.cognito_identity_pool_id = values.get("cognitoIdentityPoolId")


class Client:
    __slots__ = ["app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id"]

    def __init__(self, values: dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, values.get(name))


class ClientContext:
    __slots__ = ["client", "custom", "env"]

    def __init__(self, values: dict[str, Any]) -> None:
        self.custom = values.get("custom")
        self.env = values.get("env")
        self.client = Client(values["client"]) if values.get("client") else None


class LambdaContext:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, headers: dict[str, str]) -> None:
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id", "")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn", "")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = _json_header(headers, "lambda-runtime-client-context", "Client Context")
        self.client_context = ClientContext(client) if client is not None else None
        self.identity = CognitoIdentity(_json_header(headers, "lambda-runtime-cognito-identity", "Cognito Identity"))
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self) -> int:
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return f"LambdaContext([aws_request_id={self.aws_request_id},function_name={self.function_name}])"


def _json_header(headers: dict[str, str], name: str, title: str) -> Any:
    if not headers.get(name):
        return None
    try:
        return json.loads(headers[name])
    except ValueError as error:
        raise Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {title} JSON: {error}") from None


# --- errors and logs


def _error_json(message: str, kind: str, trace: list[str], request_id: str = "") -> bytes:
    value = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _stack(error: BaseException) -> list[str]:
    """The frames of the function's own code: those of this file at the beginning are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    at = 0
    while at < len(frames) and (
        os.path.basename(frames[at].filename) == _THIS_FILE or "importlib" in frames[at].filename
    ):
        at += 1
    return traceback.format_list(frames[at:] if at < len(frames) else frames)


def _log_error(message: str, kind: str, trace: list[str]) -> None:
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        head = {"timestamp": _timestamp(time.time()), "level": "ERROR", "errorMessage": message, "errorType": kind}
        sys.stdout.write(json.dumps({**head, "requestId": _State.request_id, "stackTrace": trace}) + "\n")
        return
    lines = [f"[ERROR] {kind}: {message}" if message else f"[ERROR] {kind}"]
    if trace:
        lines.append("Traceback (most recent call last):")
    for entry in trace:
        for line in entry.splitlines():
            bare = line.lstrip(" ")
            lines.append(_NO_BREAK_SPACE * (len(line) - len(bare)) + bare)
    # A carriage return joins the lines of one log event; only a line feed ends it.
    sys.stdout.write("\r".join(lines).replace("\n", "\r") + "\n")


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class _State:
    request_id = ""


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = _State.request_id
        try:
            sys.stdout.write(self.format(record).rstrip("\n").replace("\n", "\r") + "\n")
        except Exception:
            self.handleError(record)


class _JsonFormatter(logging.Formatter):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": _timestamp(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": _State.request_id,
        }
        standard = logging.LogRecord("", 0, "", 0, "", (), None).__dict__
        line.update(
            {k: v for k, v in record.__dict__.items() if k not in standard and k not in ("aws_request_id", "message")}
        )
        if record.exc_info and record.exc_info[0]:
            line["errorType"] = record.exc_info[0].__name__
            line["errorMessage"] = str(record.exc_info[1])
            line["stackTrace"] = traceback.format_tb(record.exc_info[2])
            line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        return json.dumps(line, default=str, ensure_ascii=False)


def _set_up_logging() -> None:
    logging.Formatter.converter = time.gmtime
    handler = _LogHandler()
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        handler.setFormatter(_JsonFormatter())
    else:
        form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        handler.setFormatter(logging.Formatter(form, "%Y-%m-%dT%H:%M:%S"))
    level = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(
        os.environ.get("AWS_LAMBDA_LOG_LEVEL", ""), os.environ.get("AWS_LAMBDA_LOG_LEVEL", "")
    )
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        logging.getLogger().setLevel(level)
    logging.getLogger().addHandler(handler)


# --- the handler


def load_handler(name: str) -> Any:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html#naming"""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", message)
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", [place]
        ) from error
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'") from None


def _default(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _invoke(handler: Any, headers: dict[str, str], body: bytes) -> bytes:
    context = LambdaContext(headers)
    try:
        event = json.loads(body)
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    result = handler(event, context)
    try:
        return json.dumps(result, default=_default, ensure_ascii=False, allow_nan=False).encode()
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def serve(api: RuntimeApi, handler: Any) -> None:
    while True:
        headers, body = api.next()
        request_id = _State.request_id = headers.get("lambda-runtime-aws-request-id", "")
        if tracing := headers.get("lambda-runtime-trace-id"):
            os.environ["_X_AMZN_TRACE_ID"] = tracing
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        try:
            answer, path, extra = _invoke(handler, headers, body), "response", ""
        except Fault as fault:
            _log_error(fault.message, fault.kind, fault.trace)
            answer, path, extra = _failed(fault.message, fault.kind, fault.trace, request_id)
        except Exception as error:
            trace = _stack(error)
            _log_error(str(error), type(error).__name__, trace)
            answer, path, extra = _failed(str(error), type(error).__name__, trace, request_id)
        sys.stdout.flush()
        sys.stderr.flush()
        api.post(f"invocation/{request_id}/{path}", answer, extra)


def _failed(message: str, kind: str, trace: list[str], request_id: str) -> tuple[bytes, str, str]:
    head = f"Lambda-Runtime-Function-Error-Type: {kind}\r\n"
    return _error_json(message, kind, trace, request_id), "error", head


def run() -> int:
    """Load the handler and serve events. The environment and sys.path stand."""
    for stream in (sys.stdout, sys.stderr):
        cast("Any", stream).reconfigure(line_buffering=True)
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    _set_up_logging()
    try:
        handler = load_handler(os.environ.get("_HANDLER", ""))
    except Exception as error:
        if isinstance(error, Fault):
            message, kind, trace = error.message, error.kind, error.trace
        else:
            message, kind, trace = str(error), type(error).__name__, _stack(error)
        _log_error(message, kind, trace)
        sys.stdout.flush()
        api.post("init/error", _error_json(message, kind, trace), f"Lambda-Runtime-Function-Error-Type: {kind}\r\n")
        return 1
    serve(api, handler)
    return 0


def set_path() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-searchpath"""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    task = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    own = ["/var/runtime"] if os.path.isdir("/var/runtime") else [os.path.dirname(os.path.abspath(__file__))]
    first = [task, f"/opt/python/lib/python{version}/site-packages", "/opt/python"]
    extra = [
        entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry not in first + own
    ]
    base = [entry for entry in sys.path if entry not in first + own + extra and "site-packages" not in entry]
    sys.path[:] = [first[0], *extra, *first[1:], *own, *base]


def start_forked(environment: dict[str, str]) -> int:
    """In a fork server's child: take on the function's environment, which no parent has seen."""
    import gc

    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for name in ("forkserver", "__main__"):
        sys.modules.pop(name, None)
    sys.modules["__main__"] = sys.modules[__name__]
    sys.argv = [f"/var/runtime/{_THIS_FILE}"]
    set_path()
    _add_builtins()
    gc.enable()
    return run()


def _add_builtins() -> None:
    """exit, quit, help and copyright, which an interpreter started without `site` lacks."""
    import site

    site.setquit()
    site.setcopyright()
    site.sethelper()


if __name__ == "__main__":
    set_path()
    _add_builtins()
    sys.exit(run())
