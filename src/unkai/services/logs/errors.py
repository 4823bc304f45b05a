"""CloudWatch Logs's refusals, in AWS's words.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html and each operation's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.kernel.wording import Failure, Wording

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_CHARACTERS_MAX = 1024


def invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message, status=400)


def validation(message: str) -> AwsError:
    return AwsError("ValidationException", message, status=400)


def not_found(what: str) -> AwsError:
    """`what` is "log group", "log stream", "metric filter" or "subscription filter"."""
    return AwsError("ResourceNotFoundException", f"The specified {what} does not exist.", status=400)


def policy_not_found(name: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Policy with name [{name[:256]}] does not exist.", status=400)


def already_exists(what: str) -> AwsError:
    """Without a full stop, as AWS writes it."""
    return AwsError("ResourceAlreadyExistsException", f"The specified {what} already exists", status=400)


def limit_exceeded() -> AwsError:
    return AwsError("LimitExceededException", "Resource limit exceeded.", status=400)


def too_many_tags(arn: str) -> AwsError:
    return AwsError(
        "TooManyTagsException",
        "The resource can have at most 50 tags.",
        members={"resourceName": arn},
        status=400,
    )


def invalid_operation(message: str) -> AwsError:
    return AwsError("InvalidOperationException", message, status=400)


def invalid_token() -> AwsError:
    return invalid_parameter("The specified nextToken is invalid.")


def invalid_pattern() -> AwsError:
    return invalid_parameter("Invalid filter pattern")


def invalid_term(term: str) -> AwsError:
    return invalid_parameter(f"Invalid character(s) in term '{term[:256]}'")


def not_supported(what: str) -> AwsError:
    """For what an operation that exists here lacks."""
    return AwsError(
        "NotImplemented",
        f"unkai does not implement {what} yet. See docs/services/logs.md.",
        sender_fault=False,
        status=501,
    )


def could_not_execute() -> AwsError:
    return invalid_parameter(
        "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your "
        "function."
    )


def cross_account_lambda() -> AwsError:
    return AwsError(
        "AccessDeniedException",
        "Cross-account lambda invocation passing is not allowed. You must use Destination Policies to create cross "
        "account lambda triggers.",
        status=400,
    )


_NAMES = frozenset({"logGroupName", "logStreamName"})


def _refuse(failures: Sequence[Failure]) -> AwsError:
    """The usual sentence under Logs's own code, but for over-long names, which have a sentence of their own."""
    for failure in failures:
        if failure.kind == "length" and failure.path[-1:] and failure.path[-1] in _NAMES and len(failure.value) > 512:
            return invalid_parameter("Invalid LogGroup or LogStream, both must have length less than or equal to 512.")
    count = len(failures)
    parts = [f"{_shown(failure)} failed to satisfy constraint: {failure.constraint}" for failure in failures]
    return invalid_parameter(f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(parts)}")


def _shown(failure: Failure) -> str:
    path = ".".join(str(part) for part in failure.path)
    if failure.kind == "required":
        return f"Value null at '{path}'"
    if path == "logGroupIdentifier":
        return f"Value at '{path}'"  # seen from AWS: this one is not shown
    return f"Value '{str(failure.value)[:SHOWN_CHARACTERS_MAX]}' at '{path}'"


WORDING = Wording(code="InvalidParameterException", refuse=_refuse)
