"""Lambda's refusals, in AWS's words. https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html, each operation's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = {"Type": "User"}


def invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message, members=USER)


def out_of_range(member: str, value: object, constraint: str) -> AwsError:
    """What the model states too loosely: AWS's limits of an ordinary account."""
    return AwsError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}",
        status=400,
    )


def _not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, members=USER)


def function_not_found(arn: str) -> AwsError:
    return _not_found(f"Function not found: {arn}")


def alias_not_found(arn: str) -> AwsError:
    return _not_found(f"Cannot find alias arn: {arn}")


def resource_not_found() -> AwsError:
    return _not_found("The resource you requested does not exist.")


def statement_not_found(statement_id: str) -> AwsError:
    return _not_found(f"Statement {statement_id} is not found in resource policy.")


def event_config_not_found(arn: str) -> AwsError:
    return _not_found(f"The function {arn} doesn't have an EventInvokeConfig")


def provisioned_not_found() -> AwsError:
    return AwsError(
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
        members=USER,
    )


def layer_version_missing(arn: str) -> AwsError:
    return invalid_parameter(f"Layer version {arn} does not exist.")


def _conflict(message: str) -> AwsError:
    return AwsError("ResourceConflictException", message, members=USER)


def function_exists(name: str) -> AwsError:
    return _conflict(f"Function already exist: {name}")


def alias_exists(arn: str) -> AwsError:
    return _conflict(f"Alias already exists: {arn}")


def version_has_alias(version: str, aliases: Iterable[str]) -> AwsError:
    return _conflict(f"Unable to delete version because the following aliases reference it: [{', '.join(aliases)}]")


def statement_exists(statement_id: str) -> AwsError:
    return _conflict(
        f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, or remove the "
        "existing statement."
    )


def url_exists(arn: str) -> AwsError:
    return _conflict(
        f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for "
        "this Lambda function"
    )


def mapping_exists(source: str, function: str, uuid: str) -> AwsError:
    return _conflict(
        f'The event source arn (" {source} ") and function (" {function} ") provided mapping already exists. Please '
        f"update or delete the existing mapping with UUID {uuid}"
    )


def mapping_in_use(uuid: str) -> AwsError:
    return AwsError(
        "ResourceInUseException", f"Cannot update the event source mapping because it is in use: {uuid}", members=USER
    )


def revision_mismatch() -> AwsError:
    return AwsError(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve "
        "the latest Revision Id",
        members=USER,
    )


def role_not_assumable() -> AwsError:
    return invalid_parameter("The role defined for the function cannot be assumed by Lambda.")


def role_lost() -> AwsError:
    return AwsError(
        "AccessDeniedException", "The role defined for the function cannot be assumed by Lambda.", status=403
    )


def cannot_unzip() -> AwsError:
    return invalid_parameter("Could not unzip uploaded file. Please check your file, then try to upload again.")


def request_too_large(operation: str, limit_bytes: int) -> AwsError:
    return AwsError(
        "RequestEntityTooLargeException",
        f"Request must be smaller than {limit_bytes} bytes for the {operation} operation",
        status=413,
    )


def payload_too_large(size_bytes: int, kind: str, limit_bytes: int) -> AwsError:
    return AwsError(
        "RequestTooLargeException",
        f"{size_bytes} byte payload is too large for the {kind} invocation type (limit {limit_bytes} bytes)",
        members=USER,
    )


def payload_not_json() -> AwsError:
    return AwsError(
        "InvalidRequestContentException",
        "Could not parse request body into json: Could not parse payload into json",
        members=USER,
    )


def too_many_requests(reason: str) -> AwsError:
    return AwsError("TooManyRequestsException", "Rate Exceeded.", members={"Reason": reason, **USER})


def service_failure(message: str) -> AwsError:
    return AwsError("ServiceException", message, members={"Type": "Service"}, sender_fault=False)


def invalid_zip(message: str) -> AwsError:
    return AwsError("InvalidZipFileException", message, members=USER)


def invalid_runtime(message: str) -> AwsError:
    return AwsError("InvalidRuntimeException", message, members=USER)


def policy_too_long() -> AwsError:
    return AwsError(
        "PolicyLengthExceededException", "The final policy size is bigger than the limit (20480).", members=USER
    )


def code_signing_config_not_found(arn: str) -> AwsError:
    return AwsError(
        "CodeSigningConfigNotFoundException",
        f"The code signing configuration cannot be found: {arn}",
        members=USER,
    )


def unsupported(member: str) -> AwsError:
    return invalid_parameter(f"unkai does not support {member} yet. See docs/services/lambda.md.")


def unknown_runtime(runtime: str, supported: Iterable[str]) -> AwsError:
    return invalid_parameter(
        f"Value {runtime} at 'runtime' is not a runtime that this machine can run: it has "
        f"[{', '.join(supported) or 'none'}]."
    )
