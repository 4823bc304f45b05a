"""Requests to function URLs as events, and what functions answer as responses: payload format 2.0, both ways. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus

from unkai.kernel.clock import format_utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.kernel.caller import Caller
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.http import HttpRequest

# Bodies of these types are text; all others come in base64.
_TEXT_TYPES = ("application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8


def event_of(
    ctx: Ctx,
    request: HttpRequest,
    body: bytes,
    *,
    path: str,
    url_id: str,
    domain: str,
    account: str,
    caller: Caller | None,
) -> dict[str, Any]:
    """`caller` is who signed the request, where the URL asks for a signature."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    context: dict[str, Any] = {
        "accountId": account if caller is not None else "anonymous",
        "apiId": url_id,
        "domainName": domain,
        "domainPrefix": url_id,
        "http": {
            "method": request.method,
            "path": unquote(path),
            "protocol": f"HTTP/{request.http_version}",
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": ctx.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": format_utc(ctx.now_ms, "%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": ctx.now_ms,
    }
    if caller is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": caller.access_key_id,
                "accountId": caller.account,
                "callerId": caller.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": caller.shown_arn,
                "userId": caller.user_id,
            }
        }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if request.headers.get("cookie"):
        event["cookies"] = [part.strip() for part in request.headers["cookie"].split(";") if part.strip()]
    if request.query:
        event["queryStringParameters"] = _parameters(request.query)
    if body:
        event |= _body(body, request.headers.get("content-type", ""))
    return event


def _parameters(query: str) -> dict[str, str]:
    """A name that comes twice has its values joined with commas."""
    out: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name:
            name, value = unquote_plus(name), unquote_plus(value)
            out[name] = f"{out[name]},{value}" if name in out else value
    return out


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


class BadAnswer(Exception):
    """The function answered what is no response: a 502 for the client."""


Response = tuple[int, list[tuple[str, str]], bytes]


def response_of(payload: bytes) -> Response:
    """A buffered answer as status, headers and body. Without a `statusCode` the answer itself is the body."""
    try:
        answer = json.loads(payload or b"null")
    except (ValueError, RecursionError):
        raise BadAnswer from None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = b"" if answer is None else answer.encode() if isinstance(answer, str) else payload
        return 200, [("Content-Type", "application/json")], body
    status, headers = head_of(answer)
    text = answer.get("body")
    text = "" if text is None else text if isinstance(text, str) else json.dumps(text)
    try:
        data = base64.b64decode(text) if answer.get("isBase64Encoded") is True else text.encode()
    except (binascii.Error, ValueError):
        raise BadAnswer from None
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return status, headers, data


# The sender's own, or those of one connection: a function does not decide about them.
_KEPT = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade"})


def head_of(answer: Mapping[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers of an answer, or of the prelude of a streamed one."""
    status = answer.get("statusCode", 200)
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise BadAnswer
    headers: list[tuple[str, str]] = []
    given = answer.get("headers") or {}
    cookies = answer.get("cookies") or []
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise BadAnswer
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if not _is_token(name) or not _is_value(text):
            raise BadAnswer
        if name.lower() not in _KEPT:
            headers.append((name, text))
    for cookie in cookies:
        if not isinstance(cookie, str) or not _is_value(cookie):
            raise BadAnswer
        headers.append(("Set-Cookie", cookie))
    return status, headers


def _is_token(name: str) -> bool:
    """RFC 9110, 5.6.2: what may stand as a header's name."""
    return name.isascii() and bool(name) and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)


def _is_value(text: str) -> bool:
    return all(c == "\t" or (c >= " " and c != "\x7f" and c <= "\xff") for c in text)


def cors_headers(
    cors: Mapping[str, Any], origin: str, *, preflight: bool, asked: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The CORS headers for a request from `origin`; none where it is not allowed.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
    """
    origins = cors.get("AllowOrigins") or []
    if not origin or not ("*" in origins or origin in origins):
        return []
    credentials = bool(cors.get("AllowCredentials"))
    headers = [("Access-Control-Allow-Origin", "*" if "*" in origins and not credentials else origin)]
    if headers[0][1] != "*":
        headers.append(("Vary", "Origin"))
    if credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if cors.get("ExposeHeaders") and not preflight:
        headers.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
    if preflight:
        if cors.get("AllowMethods"):
            headers.append(("Access-Control-Allow-Methods", ",".join(cors["AllowMethods"])))
        allowed = cors.get("AllowHeaders") or []
        if allowed:
            names = asked if "*" in allowed and asked else allowed
            headers.append(("Access-Control-Allow-Headers", ",".join(names)))
        if cors.get("MaxAge"):
            headers.append(("Access-Control-Max-Age", str(cors["MaxAge"])))
    return headers
