"""Refusals that belong to the wire itself: what cannot be read never reaches a service.

Common errors: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from unkai.kernel.errors import AwsError


def serialization_error(message: str) -> AwsError:
    """JSON and CBOR services, for a body that is not of the input's types."""
    return AwsError("SerializationException", message, status=400)


def malformed_input(message: str) -> AwsError:
    """Query services, for a parameter that is not of its type."""
    return AwsError("MalformedInput", message, status=400)


def malformed_xml() -> AwsError:
    """REST-XML services. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    return AwsError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def invalid_argument(message: str) -> AwsError:
    """REST-XML services, for a header or query parameter that is not of its type."""
    return AwsError("InvalidArgument", message, status=400)


def invalid_uri() -> AwsError:
    return AwsError("InvalidURI", "Couldn't parse the specified URI.", status=400)


def unknown_operation() -> AwsError:
    """JSON and REST services, for a target or path that the service does not have."""
    return AwsError("UnknownOperationException", "", status=404)


def invalid_action(action: str, version: str) -> AwsError:
    """Query services, for an Action that the service does not have."""
    return AwsError("InvalidAction", f"Could not find operation {action[:128]} for version {version[:32]}", status=400)


def missing_action() -> AwsError:
    return AwsError("MissingAction", "The request must contain the parameter Action", status=400)
