"""The Extensions API: who is registered, who is ready, who is told what. No I/O but answering requests that wait.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unkai.kernel.ids import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.runtime.httpd import Request

EXTENSIONS_MAX = 10
PREFIX = "/2020-01-01/extension/"
_EVENTS = ("INVOKE", "SHUTDOWN")


@dataclass(slots=True)
class Extension:
    """`external`: started by us from /opt/extensions. `waiting`: its Next request, answered with the next event."""

    id: str
    name: str
    events: tuple[str, ...]
    external: bool
    waiting: Request | None = None
    ready: bool = False
    failed: bool = False


@dataclass(slots=True)
class Extensions:
    """`on_change` is called when somebody registered or became ready; `on_fault(type, body)` when one reported an error."""

    function: dict[str, str]
    on_change: Callable[[], None]
    on_fault: Callable[[str, bytes], None]
    on_registered: Callable[[Extension], None]
    expected: set[str] = field(default_factory=set)
    """Names of external extensions that were started and have not registered yet."""
    by_id: dict[str, Extension] = field(default_factory=dict)
    closed: bool = False
    """After init nobody may register."""
    _pending: list[tuple[Extension, bytes]] = field(default_factory=list)

    @property
    def all_registered(self) -> bool:
        return not self.expected

    @property
    def all_ready(self) -> bool:
        """Each has asked for its next event, so nobody works any more."""
        return all(extension.waiting is not None for extension in self.by_id.values() if not extension.failed)

    def wants_shutdown(self) -> bool:
        return any("SHUTDOWN" in extension.events for extension in self.by_id.values())

    def tell_invoke(self, event: dict[str, Any]) -> None:
        self._tell("INVOKE", json.dumps(event).encode())

    def tell_shutdown(self, reason: str, deadline_ms: int) -> None:
        event = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
        self._tell("SHUTDOWN", json.dumps(event).encode())

    def _tell(self, kind: str, data: bytes) -> None:
        for extension in self.by_id.values():
            if kind in extension.events and not extension.failed:
                self._pending.append((extension, data))
                self._flush(extension)

    def _flush(self, extension: Extension) -> None:
        for at, (owner, data) in enumerate(self._pending):
            if owner is extension and extension.waiting is not None:
                request, extension.waiting = extension.waiting, None
                del self._pending[at]
                request.respond(200, data, (("Lambda-Extension-Event-Identifier", new_request_id()),))
                return

    def route(self, request: Request) -> None:
        match request.method, request.path.removeprefix(PREFIX):
            case "POST", "register":
                self._register(request)
            case "GET", "event/next":
                self._next(request)
            case "POST", "init/error" | "exit/error" as path:
                self._fault(request, path)
            case _:
                request.respond(404, error("Extension.NotFound", "no such path"), ())

    def _register(self, request: Request) -> None:
        name = request.headers.get("lambda-extension-name", "")
        try:
            body = json.loads(request.body or b"{}")
            events = tuple(body.get("events") or ())
        except (ValueError, AttributeError, TypeError):
            request.respond(400, error("InvalidRequestFormat", "the body is not a JSON object"), ())
            return
        external = name in self.expected
        taken = any(extension.name == name for extension in self.by_id.values())
        if not name or not all(event in _EVENTS for event in events):
            request.respond(400, error("InvalidEventType", "Lambda-Extension-Name and known events are required"), ())
        elif "SHUTDOWN" in events and not external:
            request.respond(
                400, error("ShutdownEventNotSupportedForInternalExtension", "SHUTDOWN is for external extensions"), ()
            )
        elif taken or self.closed or len(self.by_id) >= EXTENSIONS_MAX:
            request.respond(
                403, error("Extension.AlreadyRegistered" if taken else "Extension.RegistrationClosed", name[:128]), ()
            )
        else:
            extension = Extension(new_request_id(), name, events, external)
            self.by_id[extension.id] = extension
            self.expected.discard(name)
            self.on_registered(extension)
            answer = dict(self.function)
            if "accountId" not in request.headers.get("lambda-extension-accept-feature", ""):
                answer.pop("accountId", None)
            request.respond(200, json.dumps(answer).encode(), (("Lambda-Extension-Identifier", extension.id),))
            self.on_change()

    def find(self, request: Request) -> Extension | None:
        """The extension that a request names; answers 403 itself where it names none."""
        found = self.by_id.get(request.headers.get("lambda-extension-identifier", ""))
        if found is None or found.failed:
            request.respond(
                403, error("Extension.UnknownExtensionIdentifier", "unknown Lambda-Extension-Identifier"), ()
            )
            return None
        return found

    def _next(self, request: Request) -> None:
        extension = self.find(request)
        if extension is not None:
            extension.waiting, extension.ready = request, True
            self._flush(extension)
            self.on_change()

    def _fault(self, request: Request, path: str) -> None:
        extension = self.find(request)
        kind = request.headers.get("lambda-extension-function-error-type", "")
        if extension is None:
            return
        if not kind:
            request.respond(400, error("MissingHeader", "Lambda-Extension-Function-Error-Type is required"), ())
            return
        extension.failed = True
        request.respond(202, b'{"status":"OK"}', (("Lambda-Extension-Identifier", extension.id),))
        self.on_fault("Extension.InitError" if path == "init/error" else "Extension.ExitError", request.body)


def error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
