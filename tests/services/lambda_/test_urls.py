"""Function URLs: the second door, where requests are events and answers are responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.node import ACCESS_KEY_ID, REGION, SECRET

Make = Callable[..., str]
http = urllib3.PoolManager()


def open_url(lam: Any, name: str, **settings: Any) -> str:
    """A URL that anybody may call, as AWS's console sets it up."""
    url: str = lam.create_function_url_config(FunctionName=name, **{"AuthType": "NONE", **settings})["FunctionUrl"]
    for at, (action, more) in enumerate(
        [("InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}), ("InvokeFunction", {"InvokedViaFunctionUrl": True})]
    ):
        lam.add_permission(FunctionName=name, StatementId=f"s{at}", Action=f"lambda:{action}", Principal="*", **more)
    return url


# The event has payload format 2.0: what frameworks (Powertools, Mangum, serverless-http) parse.
def test_event(lam: Any, make: Make) -> None:
    url = open_url(lam, make())
    answer = http.request(
        "POST",
        url + "a%20b/c?x=1&x=2&y=%26",
        body=b"hello",
        headers={"Cookie": "a=1; b=2", "Content-Type": "text/plain", "X-Custom": "v"},
    )
    assert answer.status == 200
    event = answer.json()
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/a%20b/c", "x=1&x=2&y=%26")
    assert event["queryStringParameters"] == {"x": "1,2", "y": "&"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-custom"] == "v"
    assert (event["body"], event["isBase64Encoded"]) == ("hello", False)
    context = event["requestContext"]
    assert context["http"]["method"] == "POST"
    assert context["http"]["path"] == "/a b/c"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["accountId"] == "anonymous"


def test_binary_both_ways(lam: Any, make: Make) -> None:
    url = open_url(
        lam,
        make(
            """
            def lambda_handler(event, context):
                assert event["isBase64Encoded"]
                return {"statusCode": 201, "headers": {"Content-Type": "image/png"}, "cookies": ["a=1", "b=2"],
                        "body": event["body"], "isBase64Encoded": True}
            """
        ),
    )
    data = bytes(range(256))
    answer = http.request("PUT", url, body=data, headers={"Content-Type": "image/png"})
    assert (answer.status, answer.data) == (201, data)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


# An answer without a status is the body itself; what a function must not decide, or gets wrong, is a 502.
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ('"hi"', 200, b"hi"),
        ('{"a": 1}', 200, b'{"a": 1}'),
        ('{"statusCode": 404, "body": "no"}', 404, b"no"),
        ('{"statusCode": 99}', 502, b'{"Message": "Internal Server Error"}'),
        ('{"statusCode": 200, "headers": {"a\\nb": "c"}}', 502, b'{"Message": "Internal Server Error"}'),
        ('{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}', 502, b'{"Message": "Internal Server Error"}'),
        ("1 / 0", 502, b'{"Message": "Internal Server Error"}'),
    ],
)
def test_answers(lam: Any, make: Make, answer: str, status: int, body: bytes) -> None:
    got = http.request("GET", open_url(lam, make(f"def lambda_handler(e, c):\n    return {answer}")))
    assert (got.status, got.data) == (status, body)


# By host name, as on AWS: the first label is the URL's id, whatever comes after the region.
def test_by_host(lam: Any, make: Make, endpoint: str) -> None:
    url_id = open_url(lam, make()).rstrip("/").rpartition("/")[2]
    host = f"{url_id}.lambda-url.us-east-1.on.aws"
    answer = http.request("GET", f"{endpoint}/path", headers={"Host": host}).json()
    assert answer["rawPath"] == "/path"
    assert answer["requestContext"]["domainName"] == host
    assert answer["requestContext"]["domainPrefix"] == url_id


# No policy, no entry: NONE only means that no signature is asked for.
def test_none_needs_a_policy(lam: Any, make: Make) -> None:
    url = lam.create_function_url_config(FunctionName=make(), AuthType="NONE")["FunctionUrl"]
    answer = http.request("GET", url)
    assert (answer.status, answer.json()) == (403, {"Message": "Forbidden"})


def test_unknown_url(endpoint: str) -> None:
    assert http.request("GET", f"{endpoint}/_lambda/url/{'a' * 32}/").status == 403


def signed(url: str, body: bytes = b"") -> dict[str, str]:
    request = AWSRequest("POST", url, data=body)
    SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET), "lambda", REGION).add_auth(request)
    return dict(request.headers)


# With AWS_IAM the signature counts, and the function sees who signed.
def test_iam(lam: Any, make: Make) -> None:
    url = lam.create_function_url_config(FunctionName=make(), AuthType="AWS_IAM")["FunctionUrl"]
    assert http.request("POST", url).status == 403
    assert http.request("POST", url, body=b"other", headers=signed(url, b"body")).status == 403
    event = http.request("POST", url, body=b"body", headers=signed(url, b"body")).json()
    iam = event["requestContext"]["authorizer"]["iam"]
    assert (iam["accessKey"], iam["userArn"]) == (ACCESS_KEY_ID, "arn:aws:iam::123456789012:root")
    assert base64.b64decode(event["body"]) == b"body"


# With AuthType NONE an Authorization header is the function's own business.
def test_foreign_authorization_header(lam: Any, make: Make) -> None:
    answer = http.request("GET", open_url(lam, make()), headers={"Authorization": "Bearer token"})
    assert answer.json()["headers"]["authorization"] == "Bearer token"


# The platform answers preflights and adds headers; the function never sees a preflight.
def test_cors(lam: Any, make: Make) -> None:
    name = make("def lambda_handler(e, c):\n    return 'ran ' + e['requestContext']['http']['method']")
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "AllowHeaders": ["x-y"], "MaxAge": 60}
    url = open_url(lam, name, Cors=cors)
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    preflight = http.request("OPTIONS", url, headers=asked)
    assert (preflight.status, preflight.data) == (200, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET"
    got = http.request("GET", url, headers={"Origin": "https://a.example"})
    assert got.headers["Access-Control-Allow-Origin"] == "https://a.example"
    other = http.request("GET", url, headers={"Origin": "https://b.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_streamed(lam: Any, make: Make) -> None:
    url = open_url(lam, make(), InvokeMode="RESPONSE_STREAM")
    assert json.loads(http.request("GET", url).data)["rawPath"] == "/"


def test_crud(lam: Any, make: Make) -> None:
    name = make()
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE")
    with pytest.raises(lam.exceptions.ResourceConflictException):
        lam.create_function_url_config(FunctionName=name, AuthType="NONE")
    lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    got = lam.get_function_url_config(FunctionName=name)
    assert (got["AuthType"], got["FunctionUrl"]) == ("AWS_IAM", made["FunctionUrl"])
    assert [one["FunctionUrl"] for one in lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]] == [
        made["FunctionUrl"]
    ]
    lam.delete_function_url_config(FunctionName=name)
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_function_url_config(FunctionName=name)
    assert http.request("GET", made["FunctionUrl"]).status == 403
