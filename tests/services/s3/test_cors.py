"""Other origins: preflights, and headers on the answers that browsers let pages read."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

RULES = [
    {
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 60,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
]


@pytest.fixture
def shared(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": RULES})
    return name


# The first rule that fits answers; `*` stands for the whole origin, a wildcard for a part.
def test_preflight(endpoint: str, shared: str) -> None:
    def ask(origin: str, method: str, headers: str = "") -> urllib3.BaseHTTPResponse:
        sent = {"Origin": origin, "Access-Control-Request-Method": method}
        if headers:
            sent["Access-Control-Request-Headers"] = headers
        return urllib3.request("OPTIONS", f"{endpoint}/{shared}/key", headers=sent)

    answer = ask("https://a.example.com", "PUT", "X-Amz-Date, x-amz-acl")
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example.com"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-amz-date, x-amz-acl"
    assert answer.headers["Access-Control-Max-Age"] == "60"
    assert ask("https://other.org", "GET").headers["Access-Control-Allow-Origin"] == "*"
    assert ask("https://other.org", "PUT").status == 403
    assert ask("https://a.example.com", "PUT", "authorization").status == 403
    assert urllib3.request("OPTIONS", f"{endpoint}/{shared}/key").status == 400


# Answers carry the headers too, refusals included: without them a page could not read what went wrong.
def test_answers(endpoint: str, shared: str) -> None:
    answer = urllib3.request("GET", f"{endpoint}/{shared}/missing", headers={"Origin": "https://a.example.com"})
    assert answer.status == 403
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example.com"
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
    assert "Access-Control-Allow-Origin" not in urllib3.request("GET", f"{endpoint}/{shared}/missing").headers
