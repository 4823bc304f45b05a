"""What lower ranks may ask of higher ones, as interfaces. The composition root (`app`) fills them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from unkai.kernel.caller import Caller
    from unkai.kernel.clock import Clock
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.functions import FunctionSpec, Invocation, LogBatch, Result, StreamedResult
    from unkai.kernel.service import Access

T = TypeVar("T")


class Watch(Protocol):
    """One wait for a signal on a channel, registered before the caller looked."""

    async def wait(self, until_node_ms: int | None) -> bool:
        """True when signalled; False when node time reached `until_node_ms` first (None: no limit)."""
        ...

    def close(self) -> None:
        """Give the place up. A signal that arrived unseen is passed on to another waiter."""
        ...


class BlobMissing(Exception):
    """The file is not there (any more): what referred to it was replaced or deleted since it was read. Read again."""


class BlobWriter(Protocol):
    """A file that is being written. Until `Blobs.keep` it belongs to nobody and vanishes with its process."""

    @property
    def id(self) -> bytes: ...

    @property
    def size_bytes(self) -> int:
        """What was written so far."""
        ...

    async def write(self, piece: bytes, through: Callable[[bytes], bytes] | None = None) -> None:
        """Append `through(piece)`, made in the same thread as the write (hash or encrypt there). Give pieces of about 1 MB.

        Raises StoreUnavailable where the disk refuses; nothing is left behind then.
        """
        ...

    async def finish(self) -> None:
        """Durable on return."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind; does nothing once the blob was kept or abandoned."""
        ...

    def place(self) -> None: ...

    def release(self) -> None: ...


class Blobs(Protocol):
    """Files beside the store, for values that are too large for rows (layers/blobs.py)."""

    async def create(self) -> BlobWriter: ...

    async def keep(self, writers: Sequence[BlobWriter], committing: Awaitable[T]) -> T:
        """Await the transaction that refers to these finished blobs, then settle them by its outcome; its answer."""
        ...

    def open(self, blob_id: bytes) -> int:
        """A descriptor for reading, which the caller closes. Raises BlobMissing."""
        ...

    def path(self, blob_id: bytes) -> str:
        """Where the file lies, for those that open it themselves. Raises BlobMissing."""
        ...

    def hold(self, blob_id: bytes) -> int:
        """The same, and until it is closed no file is unlinked that was dropped with this blob as its guard."""
        ...

    async def unlink(self, blob_ids: Sequence[bytes], *, guard: bytes) -> bool:
        """Remove dropped files, or False where `guard` is held."""
        ...

    async def recover(self) -> None:
        """Make ready, and settle what dead writers left. The store process runs it before it takes requests."""
        ...


class LogSink(Protocol):
    async def __call__(self, batch: LogBatch) -> None: ...


class Runner(Protocol):
    """Runs functions. Shared by all of a process's requests (see runtime/api.py)."""

    def runtimes(self) -> Sequence[str]:
        """Every runtime id that this machine can run, in a fixed order."""
        ...

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> Result:
        """Raises TooManyRequests, RuntimeUnavailable, InvalidCode or UnknownRuntime; a failing function is a Result."""
        ...

    async def invoke_streaming(self, spec: FunctionSpec, invocation: Invocation) -> StreamedResult: ...

    async def drain(self, arn: str) -> None:
        """Let every environment of a function go: at once where idle, else after its event."""
        ...

    async def follow_logs(self, sink: LogSink) -> None:
        """Give every batch of log lines to `sink`, one after the other, until cancelled."""
        ...


class Node(Protocol):
    """What an `effect` handler and a background task may do besides reading their input."""

    @property
    def clock(self) -> Clock: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def runner(self) -> Runner: ...

    @property
    def outbound_allowed(self) -> Callable[[IPv4Address | IPv6Address], bool]:
        """Whether calls out of the platform may go to an address (layers/outbound)."""
        ...

    async def run(self, ctx: Ctx, step: Callable[..., Awaitable[Any]], inp: Any, *, ending: bool = False) -> Any:
        """Run `step(ctx, tx, inp)`, one of the service's registered steps, as one transaction; its committed answer.

        A read step runs on a snapshot, opened now and closed when it returns. With `ending`, the task that the call finishes
        (`ctx.finishing`, if any) ends in the same transaction.
        """
        ...

    async def require(self, ctx: Ctx, service: str, needed: Sequence[Access]) -> None:
        """Raise AccessDenied unless the caller may do all of `needed` on the service's resources: for data planes."""
        ...

    async def watch(self, channel: bytes) -> Watch: ...

    async def sleep_until(self, node_ms: int) -> None:
        """Return once node time has reached `node_ms`, however it got there."""
        ...

    async def call(
        self,
        service: str,
        operation: str,
        inp: Mapping[str, Any],
        *,
        as_: Caller,
        region: str,
        finishing: bytes | None = None,
    ) -> dict[str, Any]:
        """Call another service's operation as `as_`, from authorization on.

        `finishing` names a task (its key) that ends in the same transaction, so that a delivery inside this node happens
        exactly once. Raises the callee's AwsError.
        """
        ...


@dataclass(frozen=True, slots=True)
class PrincipalPolicies:
    """The policy documents that apply to a principal, as JSON texts. `boundary` is None where there is none."""

    identity: Sequence[str] = ()
    boundary: str | None = None
    session: Sequence[str] = ()
    principal_tags: Mapping[str, str] | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """A resource's owner and the policy attached to it (JSON text, or empty). For resources whose ARN names no account."""

    account: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """What an access key stands for. Never logged: `secret` is the signing key's source."""

    caller: Caller
    secret: str
    expires_ms: int | None = None
