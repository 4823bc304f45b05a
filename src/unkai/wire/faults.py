"""What a model says about an error: its code in each protocol, its status, and where its message goes.

A service raises `AwsError` with the shape's name or its error code; both find the shape. Errors that no model lists (the common
ones) keep the code and status that they carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unkai.kernel.errors import AwsError
    from unkai.model.shapes import ServiceModel, Shape

HTTP_CLIENT_ERROR = 400
HTTP_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """One error, ready for an envelope."""

    code: str
    """The shape's name: what JSON protocols and REST-JSON send."""
    query_code: str
    """The code of query and REST-XML, which may differ (QueueDoesNotExist, AWS.SimpleQueueService.NonExistentQueue)."""
    message: str
    status: int
    sender: bool
    shape: Shape | None
    members: dict[str, Any]
    """All modelled members, the message among them. For an error that no model lists: what the error carries, no message."""


# What a message quotes from a request may hold characters that an XML answer cannot: clients could not read their refusal.
_UNREADABLE = {code: "\ufffd" for code in range(32) if code not in (9, 10, 13)}


def fault_of(model: ServiceModel | None, error: AwsError) -> Fault:
    message = error.message.translate(_UNREADABLE)
    shape = model.errors_by_code.get(error.code) if model is not None else None
    if shape is None:
        status = error.status or (HTTP_CLIENT_ERROR if error.sender_fault else HTTP_SERVER_ERROR)
        return Fault(error.code, error.code, message, status, status < HTTP_SERVER_ERROR, None, dict(error.members))
    trait = shape.traits.get("error", {})
    is_fault = bool(shape.traits.get("fault") or trait.get("fault")) or not error.sender_fault
    modelled = trait.get("httpStatusCode")
    status = int(modelled or error.status or (HTTP_SERVER_ERROR if is_fault else HTTP_CLIENT_ERROR))
    sender = bool(trait.get("senderFault", status < HTTP_SERVER_ERROR))
    members = {name: value for name, value in error.members.items() if name in shape.members}
    for name in ("message", "Message"):
        if name in shape.members:
            members.setdefault(name, message)
    # Lambda's errors carry who is to blame in a member of their own.
    if "Type" in shape.members and shape.members["Type"].shape.type == "string":
        members.setdefault("Type", "User" if sender else "Service")
    return Fault(shape.name, str(trait.get("code", shape.name)), message, status, sender, shape, members)


def extended_request_id(request_id: str) -> str:
    """S3's second request id (x-amz-id-2, HostId): opaque to clients, here derived from the first."""
    return f"{request_id}{request_id}".encode().hex()[:76]
