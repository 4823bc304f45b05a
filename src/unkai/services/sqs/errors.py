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


def invalid_value(value: object, parameter: str, reason: str) -> AwsError:
    """The sentence that most refusals of SQS have."""
    return invalid_parameter(f"Value {str(value)[:1024]} for parameter {parameter} is invalid. Reason: {reason}")


def missing_parameter(name: str) -> AwsError:
    return AwsError("MissingParameter", f"The request must contain the parameter {name}.", status=400)


def invalid_attribute_name(name: str) -> AwsError:
    return AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def only_fifo(name: str) -> AwsError:
    return AwsError("InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.")


def invalid_attribute_value(name: str, reason: str = "") -> AwsError:
    because = f" Reason: {reason}" if reason else ""
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.{because}")


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


def message_too_long(size_bytes_max: int, *, in_batch: bool = False) -> AwsError:
    verb = "cannot be validated" if in_batch else "are invalid"
    return invalid_parameter(
        f"One or more parameters {verb}. Reason: Message must be shorter than {size_bytes_max} bytes."
    )


def no_deduplication_id() -> AwsError:
    return invalid_parameter(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )


def not_for_this_queue_type(value: object, parameter: str) -> AwsError:
    return invalid_value(value, parameter, "The request include parameter that is not valid for this queue type.")


def purge_in_progress(name: str) -> AwsError:
    return AwsError(
        "PurgeQueueInProgress", f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.", status=403
    )


def over_limit(message: str = "Too many messages in flight: a queue has at most 120,000.") -> AwsError:
    return AwsError("OverLimit", message, status=403)


def unsupported_operation(message: str) -> AwsError:
    return AwsError("UnsupportedOperation", message)


def empty_batch(entry: str) -> AwsError:
    return AwsError("EmptyBatchRequest", f"There should be at least one {entry} in the request.")


def too_many_entries(count: int) -> AwsError:
    return AwsError(
        "TooManyEntriesInBatchRequest", f"Maximum number of entries per request are 10. You have sent {count}."
    )


def invalid_batch_entry_id() -> AwsError:
    return AwsError(
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        "It can be at most 80 letters long.",
    )


def ids_not_distinct(repeated: str) -> AwsError:
    return AwsError("BatchEntryIdsNotDistinct", f"Id {repeated} repeated.")


def batch_too_long(limit_bytes: int, size_bytes: int) -> AwsError:
    return AwsError(
        "BatchRequestTooLong",
        f"Batch requests cannot be longer than {limit_bytes} bytes. You have sent {size_bytes} bytes.",
    )


def resource_not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, status=404)


def no_such_resource(parameter: str) -> AwsError:
    return resource_not_found(f"The resource that you specified for the {parameter} parameter doesn't exist.")


# What SQS calls these in the query protocol and in the failed entries of batches, where that differs from the model's name.
_QUERY_CODES = {
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}


def batch_failure(entry_id: str, error: AwsError) -> dict[str, object]:
    return {
        "Id": entry_id,
        "SenderFault": error.sender_fault,
        "Code": _QUERY_CODES.get(error.code, error.code),
        "Message": error.message,
    }


def _refuse(failures: Sequence[Failure]) -> AwsError:
    """SQS knows its query-protocol words for what the model forbids, also in JSON."""
    first = failures[0]
    name = ".".join(str(part) for part in first.path)
    if first.kind == "required":
        return missing_parameter(name)
    return invalid_value(str(first.value)[:256], name, f"{first.constraint}.")


# Names of attributes are enums in the model, but SQS answers InvalidAttributeName for others; the handlers know.
WORDING = Wording(refuse=_refuse, unchecked=frozenset({"enum"}))
