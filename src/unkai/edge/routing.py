"""Which service a request is for. Table-driven and pure; it reads headers, path and query, never the body.

In order: the target header of JSON services, the service in the signature's credential scope, S3's host names. A signing name
may stand for several models; the table says how they are told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from unkai.kernel.errors import AwsError
from unkai.model.load import load_service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unkai.kernel.http import HttpRequest
    from unkai.kernel.service import Service

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


@dataclass(frozen=True, slots=True)
class Targets:
    """X-Amz-Target prefix -> model name, for the services that this node serves."""

    by_prefix: dict[str, str]


@cache
def targets_of(services: tuple[str, ...]) -> Targets:
    return Targets(dict(_prefixes(services)))


def _prefixes(services: Iterable[str]) -> Iterable[tuple[str, str]]:
    for service in services:
        prefix = load_service(service).metadata.get("targetPrefix")
        if prefix:
            yield str(prefix), service


def service_of(request: HttpRequest, signing_name: str, targets: Targets) -> str:
    """The model name of the service that is addressed; `signing_name` is empty for an unsigned request."""
    target = request.headers.get("x-amz-target")
    if target is not None:
        service = targets.by_prefix.get(target.rpartition(".")[0])
        if service is not None:
            return service
    if not signing_name:
        if target is not None:
            raise AwsError("UnknownOperationException", "", status=404)
        return DEFAULT_SERVICE
    for name, prefix, model in MODEL_OF_PATH:
        if signing_name == name and request.path.startswith(prefix):
            return model
    return MODEL_OF_SIGNING_NAME.get(signing_name, signing_name)


def dataplane_of(request: HttpRequest, services: Iterable[Service]) -> Service | None:
    """The service whose data plane the request is for, by host or path; None for the AWS API."""
    host = request.headers.get("host", "")
    for service in services:
        plane = service.dataplane
        if plane is not None and (request.path.startswith(plane.path_prefix) or f".{plane.host_label}." in host):
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
