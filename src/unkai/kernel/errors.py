"""The one exception that carries a refusal to a client.

A service raises `AwsError`; the front door turns it into bytes in the protocol the client speaks. HTTP status, fault and
legacy query codes come from the service's model at encoding time, so a service states only what the client reads: the code
and the sentence. Anything else that escapes a handler is a defect and reaches the client as InternalFailure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class AwsError(Exception):
    """A refusal in AWS's words.

    `members` are further members of the modelled error shape (for instance CancellationReasons). `status` overrides
    the HTTP status only for errors that the model does not list (the common errors). `headers` are further HTTP headers
    of the response (S3's x-amz-delete-marker, Content-Range of a refused range).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        members: Mapping[str, Any] | None = None,
        sender_fault: bool = True,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.members: Mapping[str, Any] = members or {}
        self.sender_fault = sender_fault
        self.status = status
        self.headers: Mapping[str, str] = headers or {}


# Errors common to all services, with their statuses:
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html


def access_denied(message: str) -> AwsError:
    return AwsError("AccessDenied", message, status=403)


def internal_failure() -> AwsError:
    return AwsError(
        "InternalFailure",
        "The request processing has failed because of an unknown error, exception or failure.",
        sender_fault=False,
        status=500,
    )


def service_unavailable(message: str = "Service is temporarily unavailable; retry your request.") -> AwsError:
    return AwsError("ServiceUnavailable", message, sender_fault=False, status=503)


def not_implemented(service: str, operation: str) -> AwsError:
    """What unkai lacks says so by name; it never pretends."""
    return AwsError(
        "NotImplemented",
        f"unkai does not implement {service}:{operation} yet. See docs/services for what each service covers.",
        sender_fault=False,
        status=501,
    )


def validation_error(message: str) -> AwsError:
    return AwsError("ValidationError", message, status=400)


def throttling(message: str = "Rate exceeded") -> AwsError:
    return AwsError("ThrottlingException", message, status=400)
