"""SNS's refusals, in AWS's words. https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html and each operation's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.kernel.wording import Failure, Wording

if TYPE_CHECKING:
    from collections.abc import Sequence


def invalid_parameter(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def invalid_sentence(sentence: str) -> AwsError:
    """The few refusals that do not begin with `Invalid parameter`."""
    return AwsError("InvalidParameter", sentence)


def invalid_value(sentence: str) -> AwsError:
    return AwsError("ParameterValueInvalid", sentence)


def topic_does_not_exist() -> AwsError:
    return AwsError("NotFound", "Topic does not exist")


def subscription_does_not_exist() -> AwsError:
    return AwsError("NotFound", "Subscription does not exist")


def resource_does_not_exist() -> AwsError:
    return AwsError("ResourceNotFound", "Resource does not exist")


def not_authorized(action: str, arn: str) -> AwsError:
    return AwsError("AuthorizationError", f"User is not authorized to perform: SNS:{action} on resource: {arn}")


def filter_policy_too_large() -> AwsError:
    return AwsError("FilterPolicyLimitExceeded", "FilterPolicy is larger than 256 KB.")


def subscription_limit_exceeded() -> AwsError:
    return AwsError("SubscriptionLimitExceeded", "A FIFO topic has at most 100 subscriptions.")


def tag_limit_exceeded() -> AwsError:
    return AwsError("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")


def too_many_entries() -> AwsError:
    return AwsError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")


def empty_batch() -> AwsError:
    return AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")


def entry_ids_not_distinct() -> AwsError:
    return AwsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")


def entry_id_too_long(entry_id: str) -> AwsError:
    return AwsError(
        "InvalidBatchEntryId", f"The Id of a batch entry in the batch request is too long: {entry_id[:256]}"
    )


def entry_id_invalid(entry_id: str) -> AwsError:
    return AwsError(
        "InvalidBatchEntryId",
        f"The Id of a batch entry in the batch request contains an impermissible character: {entry_id[:256]}",
    )


def batch_too_long() -> AwsError:
    return AwsError("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")


def protocol_not_delivered(protocol: str) -> AwsError:
    """AWS delivers these to people and to other companies' services, which this node cannot reach."""
    return AwsError(
        "NotImplemented",
        f"unkai does not deliver to the protocol {protocol}; it delivers to sqs, lambda, http and https. See docs/services/sns.md.",
        sender_fault=False,
        status=501,
    )


def _refuse(failures: Sequence[Failure]) -> AwsError:
    """SNS words a missing or wrong parameter as its common errors do."""
    first = failures[0]
    name = ".".join(_member(part) for part in first.path)
    if first.kind == "required" and len(first.path) == 1:
        return invalid_parameter(f"{name} Reason: no value for required parameter")
    many = "1 validation error" if len(failures) == 1 else f"{len(failures)} validation errors"
    shown = "null" if first.kind == "required" else f"'{str(first.value)[:256]}'"
    return AwsError(
        "ValidationError",
        f"{many} detected: Value {shown} at '{name[:1].lower()}{name[1:]}' failed to satisfy constraint: {first.constraint}",
        status=400,
    )


def _member(part: str | int) -> str:
    return f"{part}.member" if isinstance(part, int) else part


WORDING = Wording(refuse=_refuse, unchecked=frozenset({"enum", "pattern", "length"}))
