"""What a request says about who signed it, read but not yet believed.

`parse` finds a signature in the Authorization header or in the query and takes it apart; whoever has the secret then calls
`sigv4.verify`. A request without either is anonymous: None. Refusals use AWS's wording for the service addressed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

from unkai.auth import canonical, errors
from unkai.kernel.errors import AwsError

if TYPE_CHECKING:
    from unkai.auth.errors import Dialect
    from unkai.kernel.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
ASYMMETRIC = "AWS4-ECDSA-P256-SHA256"
TERMINATOR = "aws4_request"
EXPIRES_MAX_S = 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"

CREDENTIAL_MAX_CHARS = 512
SIGNED_HEADERS_MAX_CHARS = 8192

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
_HEX_64 = re.compile(r"[0-9a-fA-F]{64}\Z").match
_MALFORMED = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
_SIX = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, "
    "X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)
_ONLY_V4 = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."


@dataclass(frozen=True, slots=True)
class Claim:
    """One signature and all that it speaks of.

    `stamp` is the time of signing as the string to sign spells it. `expires_s` is set for presigned requests only.
    `content_sha256` is what the canonical request ends with, "" where that is to be computed from the body.
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

    @property
    def presigned(self) -> bool:
        return self.expires_s is not None


def parse(request: HttpRequest, service: str = "") -> Claim | None:
    """The claim in `request`, or None where it is anonymous.

    `service` is the signing name of the service that the request addresses, where routing knows it; it chooses the wording
    of refusals and is compared with the credential's scope.
    """
    header = request.headers.get("authorization")
    if header is not None:
        if "X-Amz-Signature=" in request.query and service in errors.S3_SERVICES:
            raise _two_mechanisms()
        return _from_header(request, header, service)
    if "X-Amz-" in request.query:
        return _from_query(request, service)
    return None


def _from_header(request: HttpRequest, header: str, service: str) -> Claim:
    """`AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`."""
    algorithm, _, rest = header.partition(" ")
    fields = {}
    for part in rest.split(","):
        name, _, value = part.partition("=")
        fields[name.strip()] = value.strip()
    credential, signed, signature = fields.get("Credential"), fields.get("SignedHeaders"), fields.get("Signature")
    sent = request.headers
    stamp = sent.get("x-amz-date") or _stamp_of_date(sent.get("date", ""))
    if algorithm != ALGORITHM or not credential or not signed or not signature or not stamp:
        raise _incomplete_header(request, header, service, fields, stamp)
    if len(credential) > CREDENTIAL_MAX_CHARS or len(signed) > SIGNED_HEADERS_MAX_CHARS:
        raise _bad_credential(errors.dialect_of(request, service), "", presigned=False)

    scope = _scope(credential)
    dialect = errors.dialect_of(request, service or (scope[3] if scope else ""))
    if scope is None:
        raise _bad_credential(dialect, credential, presigned=False)
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
        raise _no_sigv4a()
    if algorithm is not None and algorithm != ALGORITHM:
        message = f'X-Amz-Algorithm only supports "{ALGORITHM} and {ASYMMETRIC}"'
        raise errors.query_malformed(message) if dialect == "s3" else errors.incomplete(dialect, message, "")
    stamp, signature, signed = given.get("X-Amz-Date"), given.get("X-Amz-Signature"), given.get("X-Amz-SignedHeaders")
    if not algorithm or not credential or not stamp or not signature or not signed or "X-Amz-Expires" not in given:
        raise errors.query_malformed(_SIX) if dialect == "s3" else _incomplete_query(dialect, given)
    if scope is None or len(signed) > SIGNED_HEADERS_MAX_CHARS:
        raise _bad_credential(dialect, credential, presigned=True)
    if not _is_stamp(stamp):
        message = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        raise errors.query_malformed(message) if dialect == "s3" else _bad_date(dialect, stamp)
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


def _amz_parameters(raw: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        if name.startswith("X-Amz-"):
            # The first of two wins here; the signature covers both, so nothing can be slipped in.
            given.setdefault(name, unquote_plus(value))
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
        raise _no_sigv4a()
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
        raise _bad_date(dialect, stamp)
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


@lru_cache(maxsize=64)
def _day_ms(day: str) -> int | None:
    try:
        days = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return days * 86_400_000


def _is_stamp(stamp: str) -> bool:
    return (
        _STAMP(stamp) is not None
        and _day_ms(stamp[:8]) is not None
        and stamp[9:11] < "24"
        and stamp[11:13] < "60"
        and stamp[13:15] < "60"
    )


def stamp_ms(stamp: str) -> int:
    """Milliseconds since the epoch of `20150830T123600Z`."""
    day_ms = _day_ms(stamp[:8])
    assert day_ms is not None, "only stamps that were checked come here"
    return day_ms + (int(stamp[9:11]) * 3600 + int(stamp[11:13]) * 60 + int(stamp[13:15])) * 1000


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


def _two_mechanisms() -> AwsError:
    message = (
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the "
        "Authorization header should be specified"
    )
    return AwsError("InvalidArgument", message, members={"ArgumentName": "Authorization"}, status=400)


def _incomplete_header(request: HttpRequest, header: str, service: str, fields: dict[str, str], stamp: str) -> AwsError:
    scope = _scope(fields.get("Credential", "")) if len(header) <= SIGNED_HEADERS_MAX_CHARS else None
    dialect = errors.dialect_of(request, service or (scope[3] if scope else ""))
    algorithm = header.partition(" ")[0]
    if algorithm == ASYMMETRIC:
        return _no_sigv4a()
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


def _incomplete_query(dialect: Dialect, given: dict[str, str]) -> AwsError:
    needed = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date", "Expires")
    lacking = [f"X-Amz-{name}" for name in needed if not given.get(f"X-Amz-{name}")]
    sentences = [f"AWS query-string parameters must include '{name}'." for name in lacking]
    return errors.refusal(
        dialect, "IncompleteSignature", " ".join(sentences) + " Re-examine the query-string parameters."
    )


def _bad_credential(dialect: Dialect, credential: str, *, presigned: bool) -> AwsError:
    if dialect == "s3":
        if presigned:
            return errors.query_malformed(f"Error parsing the X-Amz-Credential parameter; {_MALFORMED}")
        return errors.header_malformed(_MALFORMED)
    message = (
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
        f"got '{credential[:CREDENTIAL_MAX_CHARS]}'"
    )
    return errors.refusal(dialect, "IncompleteSignature", message)


def _bad_date(dialect: Dialect, stamp: str) -> AwsError:
    if dialect == "s3":
        return errors.s3_refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403)
    message = f"Date must be in ISO-8601 'basic format'. Got '{stamp[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601."
    return errors.refusal(dialect, "IncompleteSignature", message)


def _no_sigv4a() -> AwsError:
    message = f"unkai does not verify SigV4a ({ASYMMETRIC}) signatures. Use {ALGORITHM}."
    return AwsError("NotImplemented", message, sender_fault=False, status=501)
