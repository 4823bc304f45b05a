"""What a handler knows besides its transaction and its input: who asks, where, when, and ids that a second run repeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unkai.kernel.arn import Arn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.kernel.caller import Caller
    from unkai.kernel.ids import Ids


@dataclass(slots=True)
class Ctx:
    """One request's surroundings. `now_ms` is node time, fixed for the request, the same in a second run.

    `account` and `region` are those the caller addresses. `base_url` is how the client reached the node
    (`http://127.0.0.1:4566`), for URLs in answers. `trace` is the X-Ray trace header. `context` holds condition keys of the
    request that are known without the operation (aws:SourceIp, aws:SecureTransport, aws:UserAgent).
    """

    caller: Caller
    account: str
    region: str
    request_id: str
    now_ms: int
    ids: Ids
    base_url: str = ""
    trace: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    finishing: bytes = b""
    """The task that ends with this call; an effect ends it in one of its transactions (Node.run with `ending`)."""

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        """The ARN of a resource in the caller's account and region."""
        return str(Arn(service, self.region if region is None else region, self.account, resource))
