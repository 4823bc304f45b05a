"""The Telemetry API (and its older form, the Logs API): platform, function and extension events to listeners in the environment.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html. Buffers are bounded; what does not fit is counted and told.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from unkai.kernel import clock
from unkai.runtime.extensions import error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unkai.runtime.extensions import Extension
    from unkai.runtime.httpd import Request

PATHS = ("/2022-07-01/telemetry", "/2020-08-15/logs")
_TYPES = ("platform", "function", "extension")
_HOSTS = ("sandbox.localdomain", "sandbox", "localhost", "127.0.0.1")
_PENDING_BYTES_MAX = 10 * 1024 * 1024
_SEND_TIMEOUT_S = 2.0
_LIMITS = {"maxItems": (1000, 1000, 10_000), "maxBytes": (262_144, 262_144, 1_048_576), "timeoutMs": (1000, 25, 30_000)}


@dataclass(slots=True)
class Subscription:
    name: str
    types: tuple[str, ...]
    protocol: str
    port: int
    path: str
    max_items: int
    max_bytes: int
    timeout_ms: int
    events: list[bytes] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    timer: asyncio.TimerHandle | None = None
    sending: asyncio.Task[None] | None = None
    stream: socket.socket | None = None


@dataclass(slots=True)
class Telemetry:
    """`dial()` gives a fresh socket in the environment's network."""

    dial: Callable[[], Awaitable[int]]
    subscriptions: list[Subscription] = field(default_factory=list)
    _early: list[tuple[str, bytes]] = field(default_factory=list)
    closed: bool = False

    def emit(self, kind: str, record: Any, now_ms: int) -> None:
        """One event. Those before the end of init are kept for subscribers yet to come."""
        if self.closed and not self.subscriptions:
            return
        category = kind.partition(".")[0]
        data = json.dumps({"time": clock.iso8601(now_ms), "type": kind, "record": record}).encode()
        if not self.closed and len(self._early) < 1000:
            self._early.append((category, data))
        for subscription in self.subscriptions:
            if category in subscription.types:
                self._put(subscription, data)

    def close_init(self) -> None:
        """Nobody may subscribe from here on."""
        self.closed = True
        self._early.clear()

    def subscribe(self, request: Request, extension: Extension) -> dict[str, Any] | None:
        """Answers the request; gives the record of platform.telemetrySubscription."""
        try:
            subscription = _parse(json.loads(request.body), extension.name)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            request.respond(400, error("ValidationError", str(problem)[:200]), ())
            return None
        if self.closed:
            request.respond(403, error("Telemetry.SubscriptionClosed", "subscriptions are taken during init only"), ())
            return None
        self.subscriptions = [other for other in self.subscriptions if other.name != extension.name] + [subscription]
        request.respond(200, b'"OK"', ())
        for category, data in self._early:
            if category in subscription.types:
                self._put(subscription, data)
        return {"name": extension.name, "state": "Subscribed", "types": list(subscription.types)}

    def _put(self, subscription: Subscription, data: bytes) -> None:
        if subscription.size + len(data) > _PENDING_BYTES_MAX:
            subscription.dropped += 1
            subscription.dropped_bytes += len(data)
            return
        subscription.events.append(data)
        subscription.size += len(data)
        if len(subscription.events) >= subscription.max_items or subscription.size >= subscription.max_bytes:
            self._send_soon(subscription)
        elif subscription.timer is None:
            delay = subscription.timeout_ms / 1000
            subscription.timer = asyncio.get_running_loop().call_later(delay, self._send_soon, subscription)

    def _send_soon(self, subscription: Subscription) -> None:
        if subscription.timer is not None:
            subscription.timer.cancel()
            subscription.timer = None
        if subscription.sending is None and subscription.events:
            subscription.sending = asyncio.get_running_loop().create_task(self._send(subscription))

    async def _send(self, subscription: Subscription) -> None:
        try:
            while subscription.events:
                events, subscription.events, subscription.size = subscription.events, [], 0
                if subscription.dropped:
                    events.append(_dropped(subscription))
                try:
                    async with asyncio.timeout(_SEND_TIMEOUT_S):
                        await self._deliver(subscription, events)
                except (OSError, TimeoutError):
                    subscription.dropped += len(events)
                    subscription.dropped_bytes += sum(map(len, events))
                    break
        finally:
            subscription.sending = None

    async def _deliver(self, subscription: Subscription, events: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        if subscription.stream is None:
            stream = socket.socket(fileno=await self.dial())
            stream.setblocking(False)
            await loop.sock_connect(stream, ("127.0.0.1", subscription.port))
            subscription.stream = stream
        stream = subscription.stream
        try:
            if subscription.protocol == "TCP":
                await loop.sock_sendall(stream, b"\n".join(events) + b"\n")
                return
            body = b"[" + b",".join(events) + b"]"
            head = (
                f"POST {subscription.path} HTTP/1.1\r\nHost: sandbox.localdomain:{subscription.port}\r\n"
                f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            await loop.sock_sendall(stream, head.encode() + body)
            await loop.sock_recv(stream, 4096)
        except (OSError, TimeoutError, asyncio.CancelledError):
            stream.close()
            subscription.stream = None
            raise
        stream.close()  # HTTP: one connection for each batch, which the slowest server in an extension copes with
        subscription.stream = None

    async def flush(self) -> None:
        """Send what there is, before the environment is frozen or goes."""
        for subscription in self.subscriptions:
            self._send_soon(subscription)
        tasks = [subscription.sending for subscription in self.subscriptions if subscription.sending is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_SEND_TIMEOUT_S)

    def end(self) -> None:
        for subscription in self.subscriptions:
            if subscription.timer is not None:
                subscription.timer.cancel()
            if subscription.sending is not None:
                subscription.sending.cancel()
            if subscription.stream is not None:
                subscription.stream.close()


def _dropped(subscription: Subscription) -> bytes:
    reason = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."
    record = {"reason": reason, "droppedRecords": subscription.dropped, "droppedBytes": subscription.dropped_bytes}
    subscription.dropped = subscription.dropped_bytes = 0
    return json.dumps(
        {"time": clock.iso8601(clock.RealClock().real_ms()), "type": "platform.logsDropped", "record": record}
    ).encode()


def _parse(body: Any, name: str) -> Subscription:
    """Raises ValueError, KeyError or TypeError for what is not a subscription."""
    destination = body["destination"]
    protocol = destination["protocol"]
    if protocol == "HTTP":
        target = urlsplit(destination["URI"])
        if target.scheme != "http" or target.hostname not in _HOSTS:
            raise ValueError("the destination must be an http URI at sandbox.localdomain")
        port, path = target.port or 80, target.path or "/"
    elif protocol == "TCP":
        port, path = int(destination["port"]), ""
    else:
        raise ValueError("the protocol must be HTTP or TCP")
    types = tuple(body["types"])
    if not types or not all(kind in _TYPES for kind in types) or not 0 < port < 65536:
        raise ValueError("types must be platform, function or extension, and the port a port")
    if any(character in path for character in "\r\n "):
        raise ValueError("the destination's path is not a path")
    given = body.get("buffering") or {}
    values = []
    for key, (default, low, high) in _LIMITS.items():
        value = given.get(key, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"buffering.{key} must be between {low} and {high}")
        values.append(value)
    max_items, max_bytes, timeout_ms = values
    return Subscription(name, types, protocol, port, path, max_items, max_bytes, timeout_ms)
