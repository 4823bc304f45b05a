"""What the keeper and the spawner say to each other: fixed-size structures over one SOCK_SEQPACKET pair, descriptors beside.

Nothing here has a length that the other side chooses: no strings but fixed-width digests and one bounded error text. What a
process is to run (argv, environment) travels in a memory file that the spawner passes on unread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MESSAGE_SIZE_MAX = 4096
FDS_MAX = 4
NO_CODE = bytes(32)

EXEC = 0
"""`START.server` of a process that is executed; other numbers name fork servers."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make a cell: namespaces, mounts, cgroup, disk. Answer: Created with three listening sockets and, with cgroups, the open
    file of its peak memory; or Failed."""

    cell: int
    memory_mb: int
    storage_mb: int
    code: bytes
    layers: bytes


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process in a cell. Descriptors: its settings (memory file), its output. Answer: Started or Failed."""

    cell: int
    process: int
    server: int


@dataclass(frozen=True, slots=True)
class Freeze:
    cell: int


@dataclass(frozen=True, slots=True)
class Thaw:
    """Answer: Thawed."""

    cell: int


@dataclass(frozen=True, slots=True)
class Signal:
    """End one process of a cell: with SIGTERM, or SIGKILL when `hard`."""

    cell: int
    process: int
    hard: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Answer: Measured."""

    cell: int


@dataclass(frozen=True, slots=True)
class Dial:
    """Make a TCP socket in a cell's network, for the keeper to connect: telemetry goes to listeners inside. Answer: Dialled."""

    cell: int


@dataclass(frozen=True, slots=True)
class Destroy:
    """Kill everything in a cell and remove what it used. Answer: Destroyed."""

    cell: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Start a fork server for Python 3.`minor`; `sdk` preloads boto3. Answer: Serving (its preloaded names as a file) or Failed."""

    server: int
    minor: int
    sdk: int


@dataclass(frozen=True, slots=True)
class Created:
    cell: int


@dataclass(frozen=True, slots=True)
class Started:
    cell: int
    process: int


@dataclass(frozen=True, slots=True)
class Thawed:
    cell: int


@dataclass(frozen=True, slots=True)
class Measured:
    """`peak_bytes` since the cell began."""

    cell: int
    now_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Dialled:
    cell: int


@dataclass(frozen=True, slots=True)
class Destroyed:
    cell: int


@dataclass(frozen=True, slots=True)
class Serving:
    server: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A started process ended. `status` as waitpid's exit code: negative for a signal. `oom` where the kernel killed for memory."""

    cell: int
    process: int
    status: int
    oom: int


@dataclass(frozen=True, slots=True)
class ServerExited:
    server: int


@dataclass(frozen=True, slots=True)
class Failed:
    """`text` is for the operator's log; it holds no path of a function's choosing."""

    what: int
    number: int
    text: bytes


Message = (
    Create | Start | Freeze | Thaw | Signal | Measure | Dial | Destroy | Serve
    | Created | Started | Thawed | Measured | Dialled | Destroyed | Serving | Exited | ServerExited | Failed
)  # fmt: skip

_FORMS: dict[type, tuple[int, struct.Struct, tuple[str, ...]]] = {}
_KINDS: dict[int, type] = {}


def _form(kind: type, code: int, form: str) -> None:
    fields = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    _FORMS[kind] = (code, struct.Struct("<" + form), fields)
    _KINDS[code] = kind


for _at, (_kind, _layout) in enumerate(
    (
        (Create, "III32s32s"),
        (Start, "III"),
        (Freeze, "I"),
        (Thaw, "I"),
        (Signal, "III"),
        (Measure, "I"),
        (Dial, "I"),
        (Destroy, "I"),
        (Serve, "III"),
        (Created, "I"),
        (Started, "II"),
        (Thawed, "I"),
        (Measured, "IQQ"),
        (Dialled, "I"),
        (Destroyed, "I"),
        (Serving, "I"),
        (Exited, "IIiI"),
        (ServerExited, "I"),
        (Failed, "II256s"),
    )
):
    _form(_kind, _at + 1, _layout)


def code_of(kind: type) -> int:
    return _FORMS[kind][0]


def pack(message: Message) -> bytes:
    code, form, fields = _FORMS[type(message)]
    return bytes((code,)) + form.pack(*(getattr(message, name) for name in fields))


def unpack(data: bytes) -> Message:
    """Raises ValueError for anything that is not exactly one message."""
    if not data or data[0] not in _KINDS:
        raise ValueError("unknown message")
    kind = _KINDS[data[0]]
    form = _FORMS[kind][1]
    if len(data) != 1 + form.size:
        raise ValueError("message of a wrong size")
    message: Message = kind(*form.unpack_from(data, 1))
    return message
