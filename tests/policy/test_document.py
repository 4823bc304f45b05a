"""Policy documents that IAM takes, and its words for those it does not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.errors import AwsError
from unkai.policy.document import Kind, parse, size_chars

ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "123456789012"}}


def document(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


REFUSED: list[tuple[Kind, str, str]] = [
    ("identity", "", "Syntax errors in policy."),
    ("identity", "[]", "Syntax errors in policy."),
    ("identity", '{"Statement": []}', "Syntax errors in policy."),
    ("identity", '{"Statement": NaN}', "Syntax errors in policy."),
    ("identity", "[" * 100_000, "Syntax errors in policy."),
    ("identity", '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', "Syntax errors in policy."),
    ("identity", document(ALLOW, Extra=1), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Effect": "allow"}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Actoin": "x"}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "NotAction": "s3:*"}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Action": [1]}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Condition": {"NumericEquals": {"a:b": "x"}}}), "Syntax errors in policy."),
    ("identity", document(ALLOW, Version="2020-01-01"), "The policy must contain a valid version string"),
    ("identity", document({"Effect": "Allow", "Action": "s3:*"}), "Policy statement must contain resources."),
    ("identity", document({**ALLOW, "Resource": []}), "Policy statement must contain resources."),
    ("identity", document({"Effect": "Allow", "Resource": "*"}), "Policy statement must contain actions."),
    (
        "identity",
        document({**ALLOW, "Action": "GetObject"}),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    ("identity", document({**ALLOW, "Resource": "bucket"}), 'Resource bucket must be in ARN format or "*".'),
    ("identity", document({**ALLOW, "Principal": "*"}), "Policy document should not specify a principal."),
    (
        "identity",
        document({**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}),
        "Statement IDs (SID) in a single policy must be unique.",
    ),
    (
        "identity",
        document({**ALLOW, "Condition": {"StringEqualz": {"a:b": "c"}}}),
        "Invalid Condition type : StringEqualz.",
    ),
    (
        "identity",
        document({**ALLOW, "Sid": "a b"}),
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
    ),
    ("identity", document({**ALLOW, "Condition": []}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Condition": {"Bool": []}}), "Syntax errors in policy."),
    ("identity", document({**ALLOW, "Condition": {"Bool": {"a:b": [None]}}}), "Syntax errors in policy."),
    ("resource", document({**ALLOW, "Principal": {"Service": "S!"}}), 'Invalid principal in policy: "SERVICE":"S!"'),
    ("trust", "{", "This policy contains invalid Json"),
    ("trust", document({**TRUST, "Resource": "*"}), "Has prohibited field Resource"),
    (
        "trust",
        document({**TRUST, "Action": "s3:GetObject"}),
        "AssumeRole policy may only specify STS AssumeRole actions.",
    ),
    ("trust", document({**TRUST, "Principal": {"AWS": "nobody"}}), 'Invalid principal in policy: "AWS":"nobody"'),
    (
        "trust",
        document({**TRUST, "Principal": {"AWS": "arn:aws:iam::1:user/*"}}),
        'Invalid principal in policy: "AWS":"arn:aws:iam::1:user/*"',
    ),
    ("resource", document(ALLOW), "Missing required field Principal"),
    ("resource", document({**ALLOW, "NotPrincipal": "*"}), "NotPrincipal is only supported with Deny."),
    ("resource", document({**ALLOW, "Principal": {"Who": "*"}}), "Invalid principal in policy"),
]


@pytest.mark.parametrize(("kind", "text", "message"), REFUSED)
def test_refused(kind: Kind, text: str, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        parse(text, kind)
    assert caught.value.message == message
    assert caught.value.code == ("MalformedPolicy" if kind == "resource" else "MalformedPolicyDocument")


def test_single_values_equal_lists() -> None:
    one = parse(json.dumps({"Version": "2012-10-17", "Statement": ALLOW}), "identity").statements[0]
    many = parse(document({**ALLOW, "Action": ["s3:GetObject"], "Resource": ["*"]}), "identity").statements[0]
    assert (one.actions, one.resources) == (many.actions, many.resources) == (("s3:getobject",), None)


def test_principal_forms() -> None:
    block = {
        "AWS": ["123456789012", "arn:aws:iam::210987654321:root", "arn:aws:iam::123456789012:user/ann"],
        "Service": ["sns.amazonaws.com", "states.us-east-1.amazonaws.com"],
        "Federated": "cognito-identity.amazonaws.com",
        "CanonicalUser": "79a5",
    }
    principals = parse(document({**ALLOW, "Principal": block}), "resource").statements[0].principals
    assert principals is not None
    assert principals.accounts == {"123456789012", "210987654321"}
    assert principals.arns == {"arn:aws:iam::123456789012:user/ann"}
    assert principals.services == {"sns.amazonaws.com", "states.amazonaws.com"}
    assert (principals.federated, principals.canonical) == ({"cognito-identity.amazonaws.com"}, {"79a5"})
    for everyone in ("*", {"AWS": "*"}):
        statement = parse(document({**ALLOW, "Principal": everyone}), "resource").statements[0]
        assert statement.principals is not None
        assert statement.principals.everyone


# IAM does not count white space.
def test_size() -> None:
    text = document(ALLOW)
    assert size_chars(text + " \n\t" * 100) == size_chars(text)
    parse(text, "identity", size_max_chars=size_chars(text))
    parse(text + " " * 10_000, "identity", size_max_chars=size_chars(text))
    with pytest.raises(AwsError, match="Cannot exceed quota for PolicySize"):
        parse(text, "identity", size_max_chars=size_chars(text) - 1)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["*", "Allow", "s3:Get*", "arn:*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "Resource",
                    "Principal",
                    "Condition",
                    "Bool",
                    "DateEquals",
                    "AWS",
                    "x",
                    "Sid",
                    "Id",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


# Whatever is written into a policy, the answer is a policy or AWS's refusal.
@given(JSON_VALUES, st.sampled_from(["identity", "resource", "trust", "session", "boundary"]), st.booleans())
def test_never_fails_otherwise(value: Any, kind: Kind, whole: bool) -> None:
    base = {**ALLOW, **value} if isinstance(value, dict) else value
    with contextlib.suppress(AwsError):
        parse(json.dumps(value) if whole else document(base), kind)


@given(st.text(max_size=30), st.sampled_from(["Action", "Resource", "Sid", "Principal"]))
def test_never_fails_on_texts(text: str, field: str) -> None:
    with contextlib.suppress(AwsError):
        parse(document({**ALLOW, field: text}), "resource" if field == "Principal" else "identity")
    with contextlib.suppress(AwsError):
        parse(text, "identity")
