"""Browser uploads: a form that carries a signed policy, which says what else the form may carry.

The signature covers the policy's text alone; the policy's conditions then bind every other field, so a form with a field that
no condition names is refused.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from unkai.auth import errors, sigv2
from unkai.auth.claim import Claim, form_claim
from unkai.auth.errors import ALGORITHM
from unkai.auth.sigv4 import signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.errors import AwsError

POLICY_MAX_CHARS = 65_536
_SIZE = re.compile(r"[0-9]{1,18}\Z").match
_UNBOUND = frozenset({"file", "policy", "x-amz-signature", "signature", "awsaccesskeyid"})


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The sizes that the policy's content-length-range allows."""

    min_bytes: int = 0
    max_bytes: int | None = None


def parse_post(fields: Mapping[str, str]) -> Claim | None:
    """Who signed the form, by its fields with lower-case names. None: the form has no policy, so it is anonymous."""
    if "policy" not in fields:
        return None
    if len(fields["policy"]) > POLICY_MAX_CHARS:
        raise errors.s3_refusal("InvalidPolicyDocument", "Invalid Policy: the document is too long.", 400)
    if "x-amz-signature" not in fields and "signature" in fields and "awsaccesskeyid" in fields:
        return form_claim(fields, version="v2")
    for name in ("x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date"):
        if name not in fields:
            message = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
            raise errors.s3_refusal("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue="")
    if fields["x-amz-algorithm"] != ALGORITHM:
        message = f'X-Amz-Algorithm only supports "{ALGORITHM}"'
        raise errors.s3_refusal("InvalidArgument", message, 400, ArgumentName="x-amz-algorithm")
    return form_claim(fields, version="v4")


def verify_post_policy(
    claim: Claim, fields: Mapping[str, str], bucket: str, secret: str, now_ms_values: Sequence[int]
) -> UploadLimits:
    """Return the size limits where the form is signed with `secret` and its policy allows it; raise AwsError otherwise.

    `fields` are all but the file, with lower-case names; `key` is the one to be used, `${filename}` already replaced.
    """
    text = fields["policy"].encode("utf-8", "replace")
    if claim.version == "v2":
        expected = sigv2.signature(secret, text)
    else:
        key = signing_key(secret, claim.day, claim.region, claim.service)
        expected = hmac.digest(key, text, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "replace")):
        raise errors.mismatch("s3", claim.access_key_id, claim.signature, b"", text)
    document = _load(text)
    if min(now_ms_values) > _expiration_ms(document):
        raise _denied("Policy expired.")
    return _check_conditions(document, {**fields, "bucket": bucket})


def _load(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(b64decode(text, validate=False))
    except (ValueError, RecursionError):
        _invalid("Invalid JSON.")
    if not isinstance(document, dict):
        _invalid("Invalid JSON.")
    return document


def _expiration_ms(document: Mapping[str, Any]) -> int:
    given = document.get("expiration")
    if not isinstance(given, str):
        _invalid("Policy missing expiration.")
    try:
        moment = datetime.fromisoformat(given.replace("Z", "+00:00"))
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        _invalid(f"Invalid 'expiration' value: '{given[:64]}'")


def _check_conditions(document: Mapping[str, Any], fields: Mapping[str, str]) -> UploadLimits:
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        _invalid("Policy missing conditions.")
    named = set(_UNBOUND)
    limits = UploadLimits()
    for condition in conditions:
        if isinstance(condition, list) and condition and str(condition[0]).lower() == "content-length-range":
            limits = _range(condition, limits)
            continue
        for operator, name, wanted in _simple(condition):
            named.add(name)
            given = fields.get(name, "")
            if not (given == wanted if operator == "eq" else _starts_with(name, given, wanted)):
                raise _denied(f"Policy Condition failed: {json.dumps(condition)}")
    extra = [name for name in fields if name not in named and not name.startswith("x-ignore-") and name != "bucket"]
    if extra:
        raise _denied(f"Extra input fields: {extra[0]}")
    return limits


def _simple(condition: Any) -> list[tuple[str, str, str]]:
    """(operator, field, value) of `{field: value}`, `["eq", "$field", value]` or `["starts-with", ...]`."""
    if isinstance(condition, dict) and condition:
        return [("eq", name.lower(), str(value)) for name, value in condition.items()]
    if (
        isinstance(condition, list)
        and len(condition) == 3
        and all(isinstance(part, str) for part in condition)
        and condition[0].lower() in ("eq", "starts-with")
        and condition[1].startswith("$")
    ):
        return [(condition[0].lower(), condition[1][1:].lower(), condition[2])]
    raise _denied(f"Policy Condition failed: {json.dumps(condition)[:512]}")


def _starts_with(name: str, given: str, wanted: str) -> bool:
    """A Content-Type of several, separated by commas, must begin so in every one."""
    values = given.split(",") if name == "content-type" else [given]
    return all(value.strip().startswith(wanted) for value in values)


def _range(condition: list[Any], so_far: UploadLimits) -> UploadLimits:
    if len(condition) != 3 or not all(_SIZE(str(part)) for part in condition[1:]):
        raise _denied(f"Policy Condition failed: {json.dumps(condition)[:512]}")
    low, high = int(condition[1]), int(condition[2])
    return UploadLimits(max(low, so_far.min_bytes), high if so_far.max_bytes is None else min(high, so_far.max_bytes))


def _denied(message: str) -> AwsError:
    return errors.s3_refusal("AccessDenied", f"Invalid according to Policy: {message}", 403)


def _invalid(message: str) -> NoReturn:
    raise errors.s3_refusal("InvalidPolicyDocument", f"Invalid Policy: {message}", 400)
