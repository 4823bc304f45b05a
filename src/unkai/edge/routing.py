"""Which service a request is for. Table-driven and pure; it reads headers, path and query, never the body.

In order: the target header of JSON services, the service in the signature's credential scope, S3's host names. A signing name
may stand for several models; the table says how they are told apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.model.load import load_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unkai.kernel.http import HttpRequest

# Signing names that are not the model's own name. https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html
MODEL_OF_SIGNING_NAME = {
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "elasticloadbalancing": "elbv2",
    "tagging": "resourcegroupstaggingapi",
    "s3express": "s3",
    "s3-object-lambda": "s3",
}

# What a path tells apart where several models share a signing name.
MODEL_OF_PATH = (("apigateway", "/v2/", "apigatewayv2"), ("s3", "/v20180820/", "s3control"))

DEFAULT_SERVICE = "s3"
"""An unsigned request without a target is for S3: a public object, a form upload, a preflight."""

_SNS_LINK = re.compile(r"(?:^|&)Action=(?:ConfirmSubscription|Unsubscribe)(?:&|$)")
"""The links in SNS's messages, which anybody may follow who has one."""

_QUEUE_PATH = re.compile(r"/\d{12}/[^/]+\Z", re.ASCII)

# Paths of data planes: traffic that is not the AWS API.
DATA_PLANE_OF_PATH = (("/SimpleNotificationService-", "sns"), ("/_lambda/", "lambda"))
DATA_PLANE_OF_HOST = ((".lambda-url.", "lambda"),)
"""A label of the host name: `<id>.lambda-url.<region>.<anything>`."""


def targets_of(services: Iterable[str]) -> dict[str, str]:
    """X-Amz-Target prefix -> model name, for the services that a node serves."""
    prefixes = {service: load_service(service).metadata.get("targetPrefix") for service in services}
    return {str(prefix): service for service, prefix in prefixes.items() if prefix}


def service_of(request: HttpRequest, signing_name: str, targets: Mapping[str, str]) -> str:
    """The model name of the service that is addressed; `signing_name` is empty for an unsigned request."""
    target = request.headers.get("x-amz-target")
    if target is not None:
        service = targets.get(target.rpartition(".")[0])
        if service is not None:
            return service
    if not signing_name:
        if target is not None:
            raise AwsError("UnknownOperationException", "", status=404)
        return _service_of_unsigned(request)
    for name, prefix, model in MODEL_OF_PATH:
        if signing_name == name and request.path.startswith(prefix):
            return model
    return MODEL_OF_SIGNING_NAME.get(signing_name, signing_name)


def _service_of_unsigned(request: HttpRequest) -> str:
    """The few calls that clients make without a signature, by their form; S3's otherwise."""
    if request.path == "/" and _SNS_LINK.search(request.query):
        return "sns"
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        # A form for an account's queue, or AssumeRoleWithWebIdentity and AssumeRoleWithSAML.
        return "sqs" if _QUEUE_PATH.match(request.path) else "sts"
    return DEFAULT_SERVICE


def data_plane_of(request: HttpRequest) -> str | None:
    """The service whose data plane a request is for, or None: it is for the AWS API."""
    for prefix, service in DATA_PLANE_OF_PATH:
        if request.path.startswith(prefix):
            return service
    host = request.headers.get("host", "")
    for label, service in DATA_PLANE_OF_HOST:
        if label in host:
            return service
    return None


def bucket_of_host(host: str) -> str | None:
    """The bucket of a virtual-hosted S3 request: `bucket.s3.anything`, `bucket.s3-region.anything` or `bucket.localhost`.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    for label in (".s3.", ".s3-"):
        bucket, found, _ = name.partition(label)
        if found and bucket:
            return bucket
    if name.endswith(".localhost"):
        bucket = name[: -len(".localhost")]
        return bucket if bucket and bucket != "s3" and not bucket.startswith("s3.") else None
    return None
