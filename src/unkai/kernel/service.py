"""A service is a value: its operations, who may call them on what, and its background work. `app` lists these values.

The four kinds of handler, and the second argument that each gets:

    read     a snapshot; cannot write; never conflicts
    write    a transaction; may run twice; no effect but the store
    serial   a transaction, run at once on the writer, where it cannot conflict (queue receives, lease claims, limited counters)
    effect   the node: runs steps, waits, calls other services, streams bodies; says in its docstring what holds if the
             process dies between any two steps
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from unkai.kernel.wording import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.http import HttpRequest
    from unkai.kernel.ports import ResourcePolicy
    from unkai.kernel.wording import Wording

Handler = Any
"""An async function `(ctx, tx, inp) -> out`; `inp` and `out` are dicts with AWS's member names."""


class Kind(Enum):
    READ = "read"
    WRITE = "write"
    SERIAL = "serial"
    EFFECT = "effect"


@dataclass(frozen=True, slots=True)
class Access:
    """One thing a call needs to be allowed: an IAM action on a resource ARN (or `*`), with the action's condition keys."""

    action: str
    resource: str = "*"
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    request_tags: Mapping[str, str] | None = None
    """Tags that the call would set: aws:RequestTag/ and aws:TagKeys."""
    resource_tags: Mapping[str, str] | None = None
    """Tags that the resource has: aws:ResourceTag/. A service's `complete` gives them."""


AccessRule = Any
"""A function `(ctx, inp) -> Sequence[Access]`: all that the operation needs, from its input alone. Raises AwsError where
the input names no resource. None: the operation needs no right (sts:GetCallerIdentity)."""


@dataclass(frozen=True, slots=True)
class Operation:
    handler: Handler
    kind: Kind
    access: AccessRule | None


def read(handler: Handler, access: AccessRule | None) -> Operation:
    return Operation(handler, Kind.READ, access)


def write(handler: Handler, access: AccessRule | None) -> Operation:
    return Operation(handler, Kind.WRITE, access)


def serial(handler: Handler, access: AccessRule | None) -> Operation:
    return Operation(handler, Kind.SERIAL, access)


def effect(handler: Handler, access: AccessRule | None) -> Operation:
    return Operation(handler, Kind.EFFECT, access)


@dataclass(frozen=True, slots=True)
class Task:
    """How tasks of one kind are carried out: `handler(ctx, node, payload: bytes) -> TaskResult` (see work/tasks)."""

    handler: Handler
    concurrency: int = 32


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is botocore's name of the model; `prefix` is the IAM action prefix.

    `steps` are transactions `(ctx, tx, inp)` that effects and tasks run through `node.run`; `serial_steps` are those that must
    run on the writer; `read_steps` only read, so they get a snapshot, as `read` operations do.
    `tasks` maps a task kind to its handler.
    `resource_policy(tx, arn)` gives the policy attached to a resource: its JSON text, None, or a kernel.ports.ResourcePolicy
    where the ARN names no account. Where `resource_policy_kind` is "trust" it is a role's trust policy, which must allow in
    any case. `complete(tx, access)` gives an Access whose ARN and context also hold what only the store knows (a role's path,
    a resource's tags). `access_denied_code` is the service's code for what policies do not allow.
    `preflight(tx, request)` gives the headers that answer an OPTIONS request (or refuses it), `cross_origin(tx, request)` those
    that the answer to a request with an Origin gets besides its own; `request` is in the form that the codec reads.
    `dataplane(ctx, node, request, authenticate)` serves traffic that is not the AWS API. Its caller is anonymous until
    `await authenticate(body)` has found out who signed the request with this body, or refused it.
    `workers` are `async (ctx, node) -> None` that the store process runs beside the lanes until it stops: work with no end of
    its own (polling a source). They keep nothing but in the store.
    `invariants` are checkers `(tx) -> list[str]` of violations, run by tests, the simulation and `unkai doctor`. `wording` is how
    the service refuses what its model forbids.
    `is_telemetry` marks a service whose rows may live in the store that is committed once a second (logs, metrics, traces).
    """

    name: str
    prefix: str
    operations: Mapping[str, Operation]
    steps: Sequence[Handler] = ()
    serial_steps: Sequence[Handler] = ()
    read_steps: Sequence[Handler] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    resource_policy: Callable[[Any, str], Awaitable[str | ResourcePolicy | None]] | None = None
    resource_policy_kind: Literal["resource", "trust"] = "resource"
    access_denied_code: str = "AccessDenied"
    complete: Callable[[Any, Access], Awaitable[Access]] | None = None
    wording: Wording = DEFAULT
    dataplane: Any = None
    preflight: Callable[[Any, HttpRequest], Awaitable[list[tuple[str, str]]]] | None = None
    cross_origin: Callable[[Any, HttpRequest], Awaitable[list[tuple[str, str]]]] | None = None
    workers: Sequence[Handler] = ()
    invariants: Sequence[Callable[[Any], Awaitable[list[str]]]] = ()
    is_telemetry: bool = False


def on(action: str, resource: Callable[[Ctx, Any], str]) -> AccessRule:
    """The usual access rule: one action on the one resource that `resource(ctx, inp)` names."""

    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        return (Access(action, resource(ctx, inp)),)

    return rule


def on_any(action: str) -> AccessRule:
    """For operations that name no resource (List...): one action on `*`."""
    needed = (Access(action),)

    def rule(ctx: Ctx, inp: Any) -> Sequence[Access]:
        return needed

    return rule
