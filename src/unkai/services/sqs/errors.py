"""SQS's refusals, in AWS's words.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html and each operation's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.kernel.wording import Failure, Wording

if TYPE_CHECKING:
    from collections.abc import Sequence


def queue_does_not_exist() -> AwsError:
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


def queue_name_exists(attribute: str) -> AwsError:
    return AwsError(
        "QueueNameExists", f"A queue already exists with the same name and a different value for attribute {attribute}"
    )


def invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message, status=400)


def missing_parameter(name: str) -> AwsError:
    return AwsError("MissingParameter", f"The request must contain the parameter {name}.", status=400)


def invalid_attribute_name(name: str) -> AwsError:
    return AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def invalid_attribute_value(name: str) -> AwsError:
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")


def receipt_handle_is_invalid(handle: str) -> AwsError:
    return AwsError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle[:64]}" is not a valid receipt handle.'
    )


def message_not_inflight() -> AwsError:
    return AwsError("MessageNotInflight", "The message referred to is not in flight.")


def invalid_message_contents() -> AwsError:
    return AwsError(
        "InvalidMessageContents",
        "Invalid binary character was found in the message body, the set of allowed characters is #x9 | #xA | #xD | "
        "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
    )


def purge_in_progress(name: str) -> AwsError:
    return AwsError(
        "PurgeQueueInProgress", f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.", status=403
    )


def over_limit() -> AwsError:
    return AwsError("OverLimit", "Too many messages in flight: a queue has at most 120,000.", status=403)


def unsupported_operation(message: str) -> AwsError:
    return AwsError("UnsupportedOperation", message)


def address_invalid(url: str) -> AwsError:
    return AwsError("InvalidAddress", f"The address {url[:200]} is not valid for this endpoint.", status=404)


def _refuse(failures: Sequence[Failure]) -> AwsError:
    """SQS knows its query-protocol words for what the model forbids, also in JSON."""
    first = failures[0]
    name = ".".join(str(part) for part in first.path)
    if first.kind == "required":
        return missing_parameter(name)
    return invalid_parameter(
        f"Value {str(first.value)[:256]} for parameter {name} is invalid. Reason: {first.constraint}."
    )


# Names of attributes are enums in the model, but SQS answers InvalidAttributeName for others; the handlers know.
WORDING = Wording(refuse=_refuse, unchecked=frozenset({"enum"}))
