"""Refusals of IAM and STS, in AWS's words.

https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and each operation's page.
"""

from __future__ import annotations

from unkai.kernel.errors import AwsError, validation_error

_MISSING = {
    "user": "The user with name {} cannot be found.",
    "group": "The group with name {} cannot be found.",
    "role": "The role with name {} cannot be found.",
    "profile": "Instance Profile {} cannot be found.",
}
_TAKEN = {
    "user": "User with name {} already exists.",
    "group": "Group with name {} already exists.",
    "role": "Role with name {} already exists.",
    "profile": "Instance Profile {} already exists.",
    "policy": "A policy called {} already exists. Duplicate names are not allowed.",
}


def _no_such_entity(message: str) -> AwsError:
    return AwsError("NoSuchEntity", message)


def _delete_conflict(message: str) -> AwsError:
    return AwsError("DeleteConflict", message)


def no_such_entity(kind: str, name: str) -> AwsError:
    return _no_such_entity(_MISSING[kind].format(name))


def entity_already_exists(kind: str, name: str) -> AwsError:
    return AwsError("EntityAlreadyExists", _TAKEN[kind].format(name))


def no_such_policy(arn: str) -> AwsError:
    return _no_such_entity(f"Policy {arn} was not found.")


def not_own_policy(arn: str) -> AwsError:
    return AwsError("AccessDenied", f"Policy {arn} is outside your own account.", status=403)


def policy_not_attachable(arn: str) -> AwsError:
    return _no_such_entity(f"Policy {arn} does not exist or is not attachable.")


def boundary_not_attachable(arn: str) -> AwsError:
    return _no_such_entity(f"Scope ARN: {arn} does not exist or is not attachable.")


def no_boundary(kind: str, name: str) -> AwsError:
    return _no_such_entity(f"{kind.capitalize()} {name} does not have a permissions boundary attached.")


def no_such_version(arn: str, version: str) -> AwsError:
    return _no_such_entity(f"Policy {arn} version {version} does not exist or is not attachable.")


def no_such_inline_policy(kind: str, name: str) -> AwsError:
    return _no_such_entity(f"The {kind} policy with name {name} cannot be found.")


def no_such_access_key(access_key_id: str) -> AwsError:
    return _no_such_entity(f"The Access Key with id {access_key_id} cannot be found.")


def no_such_alias(alias: str) -> AwsError:
    return _no_such_entity(f"The account alias {alias} cannot be found.")


def no_login_profile(user: str) -> AwsError:
    return _no_such_entity(f"Login Profile for User {user} cannot be found.")


def no_password_policy(account: str) -> AwsError:
    return _no_such_entity(f"The Password Policy with domain name {account} cannot be found.")


def no_such_deletion(task: str) -> AwsError:
    return _no_such_entity(f"The service linked role deletion task {task} cannot be found.")


def no_such_member(group: str, user: str) -> AwsError:
    return _no_such_entity(f"User {user} is not in group {group}.")


def not_in_profile(role: str, profile: str) -> AwsError:
    return _no_such_entity(f"Role {role} is not associated with instance profile {profile}.")


def quota(name: str, most: int) -> AwsError:
    return AwsError("LimitExceeded", f"Cannot exceed quota for {name}: {most}")


def inline_too_large(kind: str, name: str, most: int) -> AwsError:
    return AwsError("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for {kind} {name}")


def too_many_versions(most: int) -> AwsError:
    return AwsError(
        "LimitExceeded",
        f"A managed policy can have up to {most} versions. Before you create a new version, you must delete an existing version.",
    )


def must_first(what: str) -> AwsError:
    """`what`: "detach all policies", "delete policies", "delete access keys", "remove users from group"..."""
    return _delete_conflict(f"Cannot delete entity, must {what} first.")


def policy_in_use() -> AwsError:
    return _delete_conflict("Cannot delete a policy attached to entities.")


def policy_has_versions() -> AwsError:
    return _delete_conflict(
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
        "The default version is deleted with the policy."
    )


def default_version() -> AwsError:
    return _delete_conflict("Cannot delete the default version of a policy.")


def protected_role(name: str) -> AwsError:
    return AwsError(
        "UnmodifiableEntity",
        f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
    )


def service_role_taken(name: str) -> AwsError:
    return invalid_input(f"Service role name {name} has been taken in this account, please try a different suffix.")


def invalid_input(message: str) -> AwsError:
    return AwsError("InvalidInput", message)


def invalid_arn(arn: str) -> AwsError:
    return invalid_input(f"ARN {arn} is not valid.")


def malformed_policy(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", message)


def duplicate_tags() -> AwsError:
    return invalid_input("Duplicate tag keys found. Please note that Tag keys are case insensitive.")


def system_tags() -> AwsError:
    return invalid_input("Caller is an end user and not allowed to mutate system tags")


def must_name_user() -> AwsError:
    return validation_error("Must specify userName when calling with non-User credentials")


def alias_taken(alias: str) -> AwsError:
    return AwsError("EntityAlreadyExists", f"The account alias {alias} already exists.")


def invalid_marker() -> AwsError:
    return validation_error("Invalid Marker.")


# STS


def not_authorized(who: str, action: str, resource: str) -> AwsError:
    return AwsError(
        "AccessDenied", f"User: {who} is not authorized to perform: {action} on resource: {resource}", status=403
    )


def root_may_not_assume() -> AwsError:
    return AwsError("AccessDenied", "Roles may not be assumed by root accounts.", status=403)


def temporary_may_not(operation: str) -> AwsError:
    return AwsError("AccessDenied", f"Cannot call {operation} with session credentials", status=403)


def chained_too_long() -> AwsError:
    return validation_error(
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    )


def session_too_long() -> AwsError:
    return validation_error("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def packed_policy_too_large(percent: int) -> AwsError:
    return AwsError(
        "PackedPolicyTooLarge", f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
    )


def invalid_authorization_message() -> AwsError:
    return AwsError("InvalidAuthorizationMessageException", "Message is not a valid encoded authorization message")


def unknown_access_key() -> AwsError:
    return validation_error("The access key id does not belong to any account.")


def transitive_tag(key: str) -> AwsError:
    return AwsError(
        "InvalidParameterValue",
        f"One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the "
        f"calling session: {key}.",
        status=400,
    )


def unknown_transitive_tag(key: str) -> AwsError:
    return AwsError("InvalidParameterValue", f"Transitive tag key {key} is not one of the session's tags.", status=400)


def source_identity_is_set() -> AwsError:
    return AwsError("AccessDenied", "SourceIdentity cannot be changed once it is set for the session.", status=403)


def session_policy_not_found(arn: str) -> AwsError:
    return AwsError("NoSuchEntity", f"Policy {arn[:256]} does not exist.", status=400)


def no_mfa() -> AwsError:
    return AwsError("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.", status=403)


def missing_token() -> AwsError:
    return AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", status=403)
