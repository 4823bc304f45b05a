"""What one client may ask of this server before it is refused or cut off. Every number bounds memory or time."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are real time, kept to half of the shortest of them."""

    request_line_bytes_max: int = 16 * KIB
    header_size_bytes_max: int = 64 * KIB
    headers_max: int = 200
    body_bytes_max: int = 6 * GIB
    """S3 takes 5 GiB in one PUT; aws-chunked framing adds to that."""
    inline_body_bytes_max: int = 128 * KIB
    """A body with a Content-Length up to this reaches the handler as `bytes`."""
    body_high_water_bytes: int = 512 * KIB
    """A streamed body that the handler has not read: above this, reading from the socket stops."""
    unread_body_bytes_max: int = 64 * KIB
    """What a handler left unread of a body is swallowed up to this; above, the connection ends after the answer."""

    keep_alive_s: float = 75.0
    header_timeout_s: float = 20.0
    """From the first byte of a request to the end of its headers, however many bytes trickle in between."""
    body_timeout_s: float = 30.0
    """Without one byte of a body that the server is ready to take."""
    write_timeout_s: float = 30.0
    """Without the client taking one byte of what waits for it."""
    linger_s: float = 2.0
    """After a refusal, how long what the client still sends is thrown away, so that it gets to read the answer."""

    pipeline_bytes_max: int = 64 * KIB
    """Sent ahead while a request is answered: above this, reading from the socket stops."""
    connections_max: int = 10_000
    streams_max: int = 128
    """HTTP/2: concurrent requests on one connection."""
    resets_per_s_max: int = 50
    """HTTP/2: streams that a client may cancel, and pings and settings it may send, per second on average."""

    def tick_s(self) -> float:
        shortest = min(
            self.keep_alive_s, self.header_timeout_s, self.body_timeout_s, self.write_timeout_s, self.linger_s
        )
        return shortest / 2
