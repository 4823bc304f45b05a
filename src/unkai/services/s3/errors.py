"""S3's refusals, in AWS's words. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.clock import format_utc
from unkai.kernel.errors import AwsError
from unkai.kernel.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.wording import Failure


def no_such_bucket(name: str) -> AwsError:
    return AwsError("NoSuchBucket", "The specified bucket does not exist", members={"BucketName": name}, status=404)


def bucket_already_exists(name: str) -> AwsError:
    return AwsError(
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
        members={"BucketName": name},
        status=409,
    )


def bucket_already_owned_by_you(name: str) -> AwsError:
    return AwsError(
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        members={"BucketName": name},
        status=409,
    )


def bucket_not_empty(name: str, *, has_versions: bool) -> AwsError:
    message = "The bucket you tried to delete is not empty"
    if has_versions:
        message += ". You must delete all versions in the bucket."
    return AwsError("BucketNotEmpty", message, members={"BucketName": name}, status=409)


def invalid_bucket_name(name: str) -> AwsError:
    return AwsError(
        "InvalidBucketName", "The specified bucket is not valid.", members={"BucketName": name[:255]}, status=400
    )


def invalid_location_constraint(constraint: str) -> AwsError:
    return AwsError(
        "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
        members={"LocationConstraint": constraint[:64]},
        status=400,
    )


def illegal_location_constraint(constraint: str) -> AwsError:
    return AwsError(
        "IllegalLocationConstraintException",
        f"The {constraint[:64]} location constraint is incompatible for the region specific endpoint this request was sent to.",
        status=400,
    )


def no_such_key(key: str, marker: str = "") -> AwsError:
    """`marker` is the version id of the delete marker that hides the object."""
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": marker} if marker else {}
    return AwsError("NoSuchKey", "The specified key does not exist.", members={"Key": key}, status=404, headers=headers)


def no_such_version(key: str, version: str) -> AwsError:
    return AwsError(
        "NoSuchVersion",
        "The specified version does not exist.",
        members={"Key": key, "VersionId": version},
        status=404,
    )


def no_such_upload(upload_id: str) -> AwsError:
    return AwsError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
        members={"UploadId": upload_id[:1024]},
        status=404,
    )


def is_delete_marker(version: str) -> AwsError:
    """A read that names a delete marker. https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html"""
    return AwsError(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        members={"Method": "GET", "ResourceType": "DeleteMarker"},
        status=405,
        headers={"x-amz-delete-marker": "true", "x-amz-version-id": version, "Allow": "DELETE"},
    )


def invalid_argument(message: str, name: str = "", value: str = "") -> AwsError:
    members: dict[str, Any] = {}
    if name:
        members = {"ArgumentName": name, "ArgumentValue": value[:1024]}
    return AwsError("InvalidArgument", message, members=members, status=400)


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, status=400)


def malformed_xml() -> AwsError:
    return AwsError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def key_too_long(size_bytes: int) -> AwsError:
    return AwsError(
        "KeyTooLongError",
        "Your key is too long",
        members={"Size": str(size_bytes), "MaxSizeAllowed": "1024"},
        status=400,
    )


def metadata_too_large(size_bytes: int) -> AwsError:
    return AwsError(
        "MetadataTooLarge",
        "Your metadata headers exceed the maximum allowed metadata size",
        members={"Size": str(size_bytes), "MaxSizeAllowed": "2048"},
        status=400,
    )


def entity_too_large(size_bytes: int, allowed_bytes: int) -> AwsError:
    return AwsError(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
        members={"ProposedSize": str(size_bytes), "MaxSizeAllowed": str(allowed_bytes)},
        status=400,
    )


def entity_too_small(size_bytes: int, number: int, etag: str) -> AwsError:
    return AwsError(
        "EntityTooSmall",
        "Your proposed upload is smaller than the minimum allowed size",
        members={
            "ProposedSize": str(size_bytes),
            "MinSizeAllowed": str(5 * 1024**2),
            "PartNumber": str(number),
            "ETag": etag,
        },
        status=400,
    )


def incomplete_body() -> AwsError:
    return AwsError(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        status=400,
    )


def bad_md5(given: str, computed: str) -> AwsError:
    return AwsError(
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
        members={"ExpectedDigest": given, "CalculatedDigest": computed},
        status=400,
    )


def bad_checksum(algorithm: str) -> AwsError:
    return AwsError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.", status=400)


def invalid_digest(given: str) -> AwsError:
    return AwsError(
        "InvalidDigest", "The Content-MD5 you specified was invalid.", members={"Content-MD5": given[:128]}, status=400
    )


def invalid_range(header: str, size_bytes: int) -> AwsError:
    return AwsError(
        "InvalidRange",
        "The requested range is not satisfiable",
        members={"RangeRequested": header[:256], "ActualObjectSize": str(size_bytes)},
        status=416,
        headers={"Content-Range": f"bytes */{size_bytes}"},
    )


def invalid_part_number(number: int, count: int) -> AwsError:
    return AwsError(
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
        members={"PartNumberRequested": str(number), "ActualPartCount": str(count)},
        status=416,
    )


def precondition_failed(condition: str) -> AwsError:
    return AwsError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        members={"Condition": condition},
        status=412,
    )


def not_modified(etag: str, modified_ms: int) -> AwsError:
    """An answer without a body. https://www.rfc-editor.org/rfc/rfc9110#name-304-not-modified"""
    modified = format_utc(modified_ms, "%a, %d %b %Y %H:%M:%S GMT")
    return AwsError("NotModified", "Not Modified", status=304, headers={"ETag": f'"{etag}"', "Last-Modified": modified})


def header_not_implemented(header: str) -> AwsError:
    return AwsError(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        members={"Header": header},
        status=501,
    )


def invalid_part(upload_id: str, number: int, etag: str) -> AwsError:
    return AwsError(
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag.",
        members={"UploadId": upload_id, "PartNumber": str(number), "ETag": etag[:256]},
        status=400,
    )


def invalid_part_order(upload_id: str) -> AwsError:
    return AwsError(
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
        members={"UploadId": upload_id},
        status=400,
    )


def invalid_tag(message: str) -> AwsError:
    return AwsError("InvalidTag", message, status=400)


def bad_request(message: str) -> AwsError:
    return AwsError("BadRequest", message, status=400)


def acl_not_supported() -> AwsError:
    return AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs", status=400)


def access_denied(message: str = "Access Denied") -> AwsError:
    return AwsError("AccessDenied", message, status=403)


def lacking(what: str) -> AwsError:
    """What unkai lacks says so by name; it never pretends."""
    return AwsError("NotImplemented", f"unkai does not implement {what} yet. See docs/services/s3.md.", status=501)


def absent(code: str, message: str, bucket: str) -> AwsError:
    """A bucket setting that was never made."""
    return AwsError(code, message, members={"BucketName": bucket}, status=404)


def illegal_versioning() -> AwsError:
    return AwsError(
        "IllegalVersioningConfigurationException",
        "The Versioning element must be specified",
        status=400,
    )


def too_many_configurations() -> AwsError:
    return AwsError(
        "TooManyConfigurations",
        "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.",
        status=400,
    )


_CODES = {"StorageClass": ("InvalidStorageClass", "The storage class you specified is not valid")}


def refuse(failures: Sequence[Failure]) -> AwsError:
    """What the model forbids: in a body it is malformed XML, elsewhere an invalid argument."""
    first = failures[0]
    name = str(first.path[-1] if isinstance(first.path[-1], str) else first.path[0])
    if len(first.path) == 1 and name in _CODES:
        return AwsError(*_CODES[name], status=400)
    if len(first.path) > 1 or first.kind == "required":
        return malformed_xml()
    return invalid_argument(f"{name}: {first.constraint}", name, str(first.value))


# S3 measures keys itself, so that it can say KeyTooLongError; and it takes the names of filter rules in any case.
_FILTERED = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
_RULE_NAMES = {f"NotificationConfiguration.{each}.member.Filter.Key.FilterRules.member.Name" for each in _FILTERED}
WORDING = Wording(
    refuse=refuse,
    unchecked_members=frozenset({"Key", "Bucket", "CreateBucketConfiguration.LocationConstraint", *_RULE_NAMES}),
)
