"""Constraints from the model, in AWS's words; and the models' patterns, none of which may hang."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from samples import SERVICES

from unkai.kernel.clock import monotonic_s
from unkai.kernel.errors import AwsError
from unkai.kernel.wording import Failure, Wording
from unkai.model.load import load_service
from unkai.wire.patterns import compile_pattern
from unkai.wire.validate import validate

if TYPE_CHECKING:
    from collections.abc import Sequence


def refused(service: str, operation: str, inp: dict[str, Any], wording: Wording | None = None) -> str:
    with pytest.raises(AwsError) as caught:
        validate(load_service(service).operations[operation], inp, wording or Wording())
    return str(caught.value)


# Coral's sentence: every failure, members with a small first letter, list positions from 1.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
def test_coral_wording() -> None:
    assert refused("dynamodb", "DescribeTable", {}) == (
        "ValidationException: 1 validation error detected: "
        "Value null at 'tableName' failed to satisfy constraint: Member must not be null"
    )
    request = {
        "TableName": "t",
        "KeySchema": [{"AttributeName": "", "KeyType": "X"}],
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
    }
    assert refused("dynamodb", "CreateTable", request) == (
        "ValidationException: 2 validation errors detected: "
        "Value '' at 'keySchema.1.member.attributeName' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1; "
        "Value 'X' at 'keySchema.1.member.keyType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [HASH, RANGE]"
    )


def test_ranges_lengths_and_patterns() -> None:
    text = refused("lambda", "ListFunctions", {"MaxItems": 0})
    assert text.endswith(
        "Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"
    )
    text = refused("iam", "CreateUser", {"UserName": "a/b"}, Wording(code="ValidationError"))
    assert text == (
        "ValidationError: 1 validation error detected: Value 'a/b' at 'userName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [\\w+=,.@-]+"
    )
    assert "less than or equal to 64" in refused("iam", "CreateUser", {"UserName": "a" * 65})
    # Characters are counted, not bytes.
    validate(load_service("iam").operations["CreateUser"], {"UserName": "a" * 64})


# What holds for each entry of a list or map is stated once, for the container, with all of it. This is DynamoDB's own text for
# a batch of no items.
def test_entries_of_lists_and_maps() -> None:
    assert refused("dynamodb", "BatchWriteItem", {"RequestItems": {"t": []}}) == (
        "ValidationException: 1 validation error detected: Value '{t=[]}' at 'requestItems' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have length less than or equal to 25, "
        "Member must have length greater than or equal to 1]"
    )
    text = refused("iam", "SimulateCustomPolicy", {"PolicyInputList": ["{}"], "ActionNames": ["ab", "iam:GetUser"]})
    assert (
        "Value '[ab, iam:GetUser]' at 'actionNames' failed to satisfy constraint: Member must satisfy constraint: ["
        in text
    )


# A secret that fails a constraint is not in the message, as with AWS.
def test_secrets_are_not_repeated() -> None:
    text = refused("iam", "CreateLoginProfile", {"UserName": "u", "Password": ""})
    assert "Value at 'password' failed" in text
    inp = {"FunctionName": "f", "Environment": {"Variables": {"0": "secret"}}}
    text = refused("lambda", "UpdateFunctionConfiguration", inp)
    assert "Value at 'environment.variables' failed" in text
    assert "secret" not in text


# A service with words of its own hands them in; what it checks itself is left to it.
def test_a_service_words_it_itself() -> None:
    def refuse(failures: Sequence[Failure]) -> AwsError:
        return AwsError("MissingParameter", f"The request must contain the parameter {failures[0].path[-1]}.")

    wording = Wording(refuse=refuse, unchecked=frozenset({"enum"}), unchecked_members=frozenset({"Entries.member.Id"}))
    assert refused("sqs", "SendMessage", {"QueueUrl": "u"}, wording) == (
        "MissingParameter: The request must contain the parameter MessageBody."
    )
    batch = {"QueueUrl": "u", "Entries": [{"MessageBody": "b"}]}
    validate(load_service("sqs").operations["SendMessageBatch"], batch, wording)


# A value of a megabyte is refused without being sent back, and a long list fails shortly.
def test_refusals_are_bounded() -> None:
    assert len(refused("iam", "CreateUser", {"UserName": "a" * 1_000_000})) < 2000
    bad = {"TableName": "t", "AttributeDefinitions": [], "KeySchema": [{}] * 100_000}
    assert len(refused("dynamodb", "CreateTable", bad)) < 20_000


def every_pattern() -> set[str]:
    found = set()
    for service in SERVICES:
        model = load_service(service)
        for name in model.shapes:
            shape = model.shapes[name]
            found |= {
                traits["pattern"]
                for traits in (shape.traits, *(m.traits for m in shape.members.values()))
                if "pattern" in traits
            }
    return found


SKIPPED_PATTERNS: set[str] = set()
"""Patterns that cannot be compiled, and so are not checked."""


# Values that make nested quantifiers try everything; the worst pattern has its time limit, far below a second.
def test_every_pattern_compiles_and_none_hangs() -> None:
    patterns = every_pattern()
    assert len(patterns) > 400
    assert {pattern for pattern in patterns if compile_pattern(pattern) is None} == SKIPPED_PATTERNS
    for pattern in patterns:
        matches = compile_pattern(pattern)
        assert matches is not None
        for value in (
            "a" * 2000 + "\n!",
            "arn:aws:" + "a:" * 500 + "\0",
            "$." + ".a[1]" * 300 + "\0",
            "a-" * 1000 + "\n",
        ):
            start = monotonic_s()
            matches(value)
            assert monotonic_s() - start < 0.5, pattern


# Java's words: \w is ASCII, \p{L} is not, and two escapes make one character beyond the basic plane.
@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (r"\w+", "é", False),
        (r"[\w-_]+", "a-_", True),
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "é 日本", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "a😀", True),
        (r"[\u0020-\uD7FF]*", "\x01", False),
        (r"\p{Print}+", "é", False),
        (r"^a|b$", "b", True),
        (r"a", "ab", False),
        (r"a$", "a\n", False),
    ],
)
def test_patterns_mean_what_java_means(pattern: str, value: str, *, expected: bool) -> None:
    matches = compile_pattern(pattern)
    assert matches is not None
    assert matches(value) is expected
