"""What a request says about who signed it, read but not yet believed.

`parse` finds a signature in the Authorization header or in the query and takes it apart; whoever has the secret then calls
`sigv4.verify`. A request without either is anonymous: None. Refusals use AWS's wording for the service addressed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
"""

from __future__ import annotations

import re
from datetime import UTC, date
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

import msgspec

from unkai.auth import canonical, errors, sigv2
from unkai.auth.errors import ALGORITHM, ASYMMETRIC, CREDENTIAL_MAX_CHARS
from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.auth.errors import Dialect
    from unkai.kernel.http import HttpRequest

TERMINATOR = "aws4_request"
EXPIRES_MAX_S = 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"

SIGNED_HEADERS_MAX_CHARS = 8192

# "In most cases, a request must reach AWS within five minutes of the time stamp in the request."
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
# S3, STS and IAM allow fifteen (S3 says so in MaxAllowedSkewMilliseconds).
SKEW_S = 300
SKEW_LONG_S = 900
_LONG_SKEW = errors.S3_SERVICES | {"sts", "iam"}

Payload = Literal["body", "declared", "unsigned", "streaming", "streaming-trailer", "streaming-unsigned-trailer"]
"""How the body is covered: by its SHA-256, which the verifier computes ("body"); by the SHA-256 that the client declares, to be
compared with the body once that is known ("declared"); not at all ("unsigned"); chunk by chunk (the streaming kinds)."""

_STREAMING: dict[str, Payload] = {
    UNSIGNED: "unsigned",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": "streaming",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": "streaming-trailer",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": "streaming-unsigned-trailer",
}

_STAMP = re.compile(r"\d{8}T\d{6}Z\Z", re.ASCII).match
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_HEX_64 = re.compile(r"[0-9a-fA-F]{64}\Z").match
_SIX = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, "
    "X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)
_ONLY_V4 = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."


class Claim(msgspec.Struct, frozen=True):
    """One signature and all that it speaks of.

    `stamp` is the time of signing as the string to sign spells it. `expires_s` is set for presigned requests only.
    `content_sha256` is what the canonical request ends with, "" where that is to be computed from the body.
    Version 2 (S3's presigned URLs and forms only) has no region: "" there, and `signed_ms` is when it expires.
    """

    dialect: Dialect
    access_key_id: str
    day: str
    region: str
    service: str
    stamp: str
    signed_ms: int
    signed_headers: tuple[str, ...]
    signature: str
    session_token: str
    expires_s: int | None
    payload: Payload
    content_sha256: str
    version: Literal["v4", "v2"] = "v4"

    @property
    def presigned(self) -> bool:
        return self.expires_s is not None


def skew_s(service: str) -> int:
    """How far a request's time may be from ours."""
    return SKEW_LONG_S if service in _LONG_SKEW else SKEW_S


def parse(request: HttpRequest, service: str = "") -> Claim | None:
    """The claim in `request`, or None where it is anonymous.

    `service` is the signing name of the service that the request addresses, where routing knows it; it chooses the wording
    of refusals and is compared with the credential's scope.
    """
    header = request.headers.get("authorization")
    if header is not None:
        if "X-Amz-Signature=" in request.query and service in errors.S3_SERVICES:
            raise errors.two_mechanisms()
        return _from_header(request, header, service)
    if "X-Amz-" in request.query:
        return _from_query(request, service)
    if service in ("", "s3") and (given := sigv2.parameters(request.query)):
        return _from_query_v2(given)
    return None


def _from_header(request: HttpRequest, header: str, service: str) -> Claim:
    """`AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`."""
    head, mark, signature = header.rpartition("Signature=")
    if mark and "," not in signature and head.rstrip().endswith(",") and len(head) < SIGNED_HEADERS_MAX_CHARS:
        algorithm, fields = _fields(head)
        signature = signature.strip()
    else:
        algorithm, fields = _split_fields(header)
        signature = fields.get("Signature", "")
    credential, signed = fields.get("Credential"), fields.get("SignedHeaders")
    sent = request.headers
    stamp = sent.get("x-amz-date") or _stamp_of_date(sent.get("date", ""))
    if algorithm != ALGORITHM or not credential or not signed or not signature or not stamp:
        raise _incomplete_header(request, header, service, {**fields, "Signature": signature}, stamp)
    if len(credential) > CREDENTIAL_MAX_CHARS or len(signed) > SIGNED_HEADERS_MAX_CHARS:
        raise errors.bad_credential(errors.dialect_of(request, service), "", presigned=False)

    scope = _scope(credential)
    dialect = errors.dialect_of(request, service or (scope[3] if scope else ""))
    if scope is None:
        raise errors.bad_credential(dialect, credential, presigned=False)
    access_key_id, day, region, scoped, _ = scope
    _check_scope(dialect, scope, stamp, service, presigned=False)
    names = _names(dialect, signed, header)
    payload, content = _payload(request, dialect)
    return Claim(
        dialect,
        access_key_id,
        day,
        region,
        scoped,
        stamp,
        stamp_ms(stamp),
        names,
        signature,
        sent.get("x-amz-security-token", ""),
        None,
        payload,
        content,
    )


def _split_fields(text: str) -> tuple[str, dict[str, str]]:
    algorithm, _, rest = text.partition(" ")
    fields = {}
    for part in rest.split(","):
        name, _, value = part.partition("=")
        fields[name.strip()] = value.strip()
    return algorithm, fields


# All but the signature is the same in every request that a client makes on one day.
_fields = lru_cache(maxsize=512)(_split_fields)


def _from_query(request: HttpRequest, service: str) -> Claim | None:
    """A presigned request: the same fields as query parameters."""
    given = _amz_parameters(request.query)
    if not {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"} & given.keys():
        return None
    credential = given.get("X-Amz-Credential", "")
    scope = _scope(credential) if len(credential) <= CREDENTIAL_MAX_CHARS else None
    dialect = errors.dialect_of(request, service or (scope[3] if scope else ""))
    algorithm = given.get("X-Amz-Algorithm")
    if algorithm == ASYMMETRIC:
        raise errors.no_sigv4a()
    if algorithm is not None and algorithm != ALGORITHM:
        message = f'X-Amz-Algorithm only supports "{ALGORITHM} and {ASYMMETRIC}"'
        raise errors.query_malformed(message) if dialect == "s3" else errors.incomplete(dialect, message, "")
    stamp, signature, signed = given.get("X-Amz-Date"), given.get("X-Amz-Signature"), given.get("X-Amz-SignedHeaders")
    if scope is not None and dialect != "s3":
        # Only S3 insists on it; aws-sdk-go's presigned STS requests come without.
        given.setdefault("X-Amz-Expires", str(skew_s(scope[3])))
    if not algorithm or not credential or not stamp or not signature or not signed or "X-Amz-Expires" not in given:
        raise errors.query_malformed(_SIX) if dialect == "s3" else errors.incomplete_query(dialect, given)
    if scope is None or len(signed) > SIGNED_HEADERS_MAX_CHARS:
        raise errors.bad_credential(dialect, credential, presigned=True)
    if not _is_stamp(stamp):
        message = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        raise errors.query_malformed(message) if dialect == "s3" else errors.bad_date(dialect, stamp)
    _check_scope(dialect, scope, stamp, service, presigned=True)

    payload: Payload = "body"
    content = ""
    if dialect == "s3":
        payload, content = _presigned_payload(request, given)
    return Claim(
        dialect,
        scope[0],
        scope[1],
        scope[2],
        scope[3],
        stamp,
        stamp_ms(stamp),
        _names(dialect, signed, ""),
        signature,
        given.get("X-Amz-Security-Token") or given.get("X-Amz-S3session-Token") or "",
        _expires_s(dialect, given["X-Amz-Expires"]),
        payload,
        content,
    )


def _from_query_v2(given: dict[str, str]) -> Claim:
    if not re.fullmatch(r"[0-9]{1,12}", given["Expires"]):
        message = "Invalid date (should be seconds since epoch): " + given["Expires"][:64]
        raise errors.s3_refusal("AccessDenied", message, 403)
    return _claim_v2(
        given["AWSAccessKeyId"], given["Signature"], given["Expires"], given.get("x-amz-security-token", "")
    )


def _claim_v2(access_key_id: str, signature: str, expires: str, token: str) -> Claim:
    expires_ms = int(expires or "0") * 1000
    return Claim(
        "s3", access_key_id, "", "", "s3", expires, expires_ms, (), signature, token, 0, "unsigned", UNSIGNED, "v2"
    )  # fmt: skip


def form_claim(fields: Mapping[str, str], *, version: Literal["v4", "v2"]) -> Claim:
    """The claim of a browser upload, by its fields. Its time is the policy's, which `post_policy` checks."""
    token = fields.get("x-amz-security-token", "")
    if version == "v2":
        return _claim_v2(fields["awsaccesskeyid"], fields["signature"], "", token)
    credential, stamp = fields["x-amz-credential"], fields["x-amz-date"]
    scope = _scope(credential) if len(credential) <= CREDENTIAL_MAX_CHARS else None
    if scope is None:
        raise errors.bad_credential("s3", credential, presigned=True)
    _check_scope("s3", scope, stamp, "s3", presigned=True)
    return Claim(
        "s3", *scope[:4], stamp, stamp_ms(stamp), (), fields["x-amz-signature"], token, None, "unsigned", UNSIGNED
    )  # fmt: skip


def _amz_parameters(raw: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        if name.startswith("X-Amz-"):
            # The first of two wins here; the signature covers both, so nothing can be slipped in.
            given.setdefault(name, unquote_plus(value, "latin-1"))
    return given


def _payload(request: HttpRequest, dialect: Dialect) -> tuple[Payload, str]:
    """What x-amz-content-sha256 says. Only S3 lets the client choose; all other services hash the body that they got."""
    if dialect != "s3":
        return "body", ""
    declared = request.headers.get("x-amz-content-sha256")
    if declared is None:
        message = "Missing required header for this request: x-amz-content-sha256"
        raise errors.s3_refusal("InvalidRequest", message, 400)
    return payload_of(declared)


def _presigned_payload(request: HttpRequest, given: dict[str, str]) -> tuple[Payload, str]:
    declared = given.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
    return ("unsigned", UNSIGNED) if declared is None else payload_of(declared)


def payload_of(declared: str) -> tuple[Payload, str]:
    kind = _STREAMING.get(declared)
    if kind is not None:
        return kind, declared
    if _HEX_64(declared):
        return "declared", declared
    if declared.startswith("STREAMING-" + ASYMMETRIC):
        raise errors.no_sigv4a()
    raise AwsError(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        members={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": declared},
        status=400,
    )


@lru_cache(maxsize=1024)
def _scope(credential: str) -> tuple[str, str, str, str, str] | None:
    """`AKID/day/region/service/aws4_request`, or None. Cached: a client repeats its scope all day."""
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts) or len(parts[1]) != 8 or not parts[1].isdecimal() or not parts[1].isascii():
        return None
    return parts[0], parts[1], parts[2], parts[3], parts[4]


def _check_scope(
    dialect: Dialect, scope: tuple[str, str, str, str, str], stamp: str, service: str, *, presigned: bool
) -> None:
    _, day, _, scoped, terminator = scope
    if not _is_stamp(stamp):
        raise errors.bad_date(dialect, stamp)
    wrong = ""
    if terminator != TERMINATOR:
        wrong = (
            f'incorrect terminal "{terminator}". This endpoint belongs to "{TERMINATOR}".'
            if dialect == "s3"
            else f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."
        )
    elif service and scoped != service:
        wrong = (
            f'incorrect service "{scoped}". This endpoint belongs to "{service}".'
            if dialect == "s3"
            else f"Credential should be scoped to correct service: '{service}'. "
        )
    elif day != stamp[:8]:
        wrong = (
            f'Invalid credential date "{day}". This date is not the same as X-Amz-Date: "{stamp[:8]}".'
            if dialect == "s3"
            else "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{stamp[:8]}', from '{stamp}'."
        )
    if not wrong:
        return
    if dialect != "s3":
        raise errors.refusal(dialect, "SignatureDoesNotMatch", wrong)
    raise (
        errors.query_malformed(f"Error parsing the X-Amz-Credential parameter; {wrong}")
        if presigned
        else errors.header_malformed(wrong)
    )


def _names(dialect: Dialect, signed: str, header: str) -> tuple[str, ...]:
    """The signed headers. `host` must be among them, or the signature would serve for any endpoint."""
    names = canonical.signed_names(signed)
    if names is not None and "host" in names:
        return names
    if dialect == "s3":
        message = "the SignedHeaders parameter is mal-formed or does not contain 'host'."
        raise errors.header_malformed(message) if header else errors.query_malformed(message)
    raise errors.incomplete(
        dialect, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", header
    )


def _expires_s(dialect: Dialect, text: str) -> int:
    message = ""
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        message = "X-Amz-Expires should be a number"
    elif int(text) < 0:
        message = "X-Amz-Expires must be non-negative"
    elif int(text) > EXPIRES_MAX_S:
        message = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{EXPIRES_MAX_S} seconds"
        )
    if message:
        raise (
            errors.query_malformed(message)
            if dialect == "s3"
            else errors.refusal(dialect, "IncompleteSignature", message)
        )
    return int(text)


@lru_cache(maxsize=256)
def _stamp_ms(stamp: str) -> int | None:
    """Cached, since all that arrives within one second bears the same stamp."""
    if not _STAMP(stamp) or stamp[9:11] > "23" or stamp[11:13] > "59" or stamp[13:15] > "59":
        return None
    try:
        days = date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return (days * 86_400 + int(stamp[9:11]) * 3600 + int(stamp[11:13]) * 60 + int(stamp[13:15])) * 1000


def _is_stamp(stamp: str) -> bool:
    return _stamp_ms(stamp) is not None


def stamp_ms(stamp: str) -> int:
    """Milliseconds since the epoch of `20150830T123600Z`."""
    ms = _stamp_ms(stamp)
    assert ms is not None, "only stamps that were checked come here"
    return ms


def _stamp_of_date(text: str) -> str:
    """The older Date header, in either of its forms, as a stamp; "" where it is neither."""
    if not text or len(text) > 64 or _STAMP(text):
        return text if len(text) == 16 else ""
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, OverflowError):
        return ""


def http_date_ms(text: str) -> int | None:
    """Milliseconds since the epoch of an HTTP date, or None."""
    stamp = _stamp_of_date(text)
    return stamp_ms(stamp) if stamp and _is_stamp(stamp) else None


def _incomplete_header(request: HttpRequest, header: str, service: str, fields: dict[str, str], stamp: str) -> AwsError:
    scope = _scope(fields.get("Credential", "")) if len(header) <= SIGNED_HEADERS_MAX_CHARS else None
    dialect = errors.dialect_of(request, service or (scope[3] if scope else ""))
    algorithm = header.partition(" ")[0]
    if algorithm == ASYMMETRIC:
        return errors.no_sigv4a()
    lacking = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    if dialect == "s3":
        if algorithm == "AWS":
            return errors.s3_refusal("InvalidRequest", _ONLY_V4, 400)
        if algorithm != ALGORITHM:
            members = {"ArgumentName": "Authorization", "ArgumentValue": algorithm}
            return AwsError("InvalidArgument", "Unsupported Authorization Type", members=members, status=400)
        if lacking:
            return errors.header_malformed(f"missing {lacking[0]}.")
        return errors.s3_refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403)
    sentences = [f"Authorization header requires '{name}' parameter." for name in lacking]
    if not stamp:
        sentences.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if not sentences:
        sentences.append(f"Unsupported AWS 'algorithm': '{algorithm[:64]}'.")
    return errors.incomplete(dialect, " ".join(sentences), header)
