"""Values made from botocore's shapes, by seed: what the oracle tests send both ways.

botocore's own model is read here, not ours, so that a mistake in our loader shows.
"""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.model import Shape

# fmt: off
SERVICES = (
    "acm", "apigateway", "apigatewaymanagementapi", "apigatewayv2", "application-autoscaling", "cloudformation",
    "cloudfront", "cloudwatch", "dynamodb", "dynamodbstreams", "ecs", "elasticache", "elbv2", "events", "iam",
    "kinesis", "kms", "lambda", "logs", "neptune", "pipes", "rds", "redshift", "resourcegroupstaggingapi", "s3",
    "s3control", "scheduler", "secretsmanager", "sns", "sqs", "ssm", "stepfunctions", "sts", "xray",
)
# fmt: on
"""Every service that the project names, but EC2, whose own protocol (ec2) no codec speaks yet."""

# Text that finds escaping mistakes: XML's and JSON's special characters, what URLs encode, several planes of Unicode.
TEXTS = ("plain", "a&b<c>d\"e'f", "sp ace+plus%41%", "slash/../dots", "é 日本 😀", "x=y;z,w:v?u#t", "line\nbreak\ttab")
HEADER_TEXTS = ("plain", 'semi;colon="x"', "a/b:c=d+e", "in ner", "100%")
DEPTH_MAX = 3


class Sampler:
    """Draws one value per shape: all members, one of a union, recursion cut."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def value(self, shape: Shape, place: str = "body", seen: tuple[str, ...] = ()) -> object:
        kind = shape.type_name
        place = shape.serialization.get("location", place)
        if kind == "structure":
            return self._structure(shape, seen)
        if kind == "list":
            return [self.value(shape.member, place, seen) for _ in range(self.random.randint(1, 2))]
        if kind == "map":
            return self._map(shape, place, seen)
        if kind == "timestamp":
            return self._timestamp(shape, place)
        if kind == "blob":
            return bytes(self.random.randrange(256) for _ in range(self.random.randint(1, 9)))
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind in ("integer", "long"):
            high = 2**31 - 1 if kind == "integer" else 2**53
            return self.random.choice((0, 1, 17, high, -high))
        if kind in ("float", "double"):
            return self.random.choice((0.0, 0.5, -12.25, 1e10, float("inf")))
        return self._text(shape, place)

    def _structure(self, shape: Shape, seen: tuple[str, ...]) -> object:
        if shape.is_document_type:
            return {"a": [1, "x", {"b": True}]}
        inner = (*seen, shape.name)
        members = {
            n: s
            for n, s in shape.members.items()
            if not self._is_recursive(s, inner) and not s.serialization.get("eventstream")
        }
        if shape.is_tagged_union:
            chosen = self.random.choice(list(members))
            members = {chosen: members[chosen]}
        return {name: self.value(member, "body", inner) for name, member in members.items()}

    def _is_recursive(self, shape: Shape, seen: tuple[str, ...]) -> bool:
        """Whether a second turn of a recursive shape would begin; a union among them must not end up empty."""
        if shape.type_name == "structure":
            return shape.name in seen and len(seen) > DEPTH_MAX
        if shape.type_name == "list":
            return self._is_recursive(shape.member, seen)
        if shape.type_name == "map":
            return self._is_recursive(shape.value, seen)
        return False

    def _map(self, shape: Shape, place: str, seen: tuple[str, ...]) -> object:
        keys = ("key", "k2") if place in ("headers", "querystring") else (self.value(shape.key, "body", seen), "k&2")
        texts = {"headers": "header"}.get(place, place)
        return {key: self.value(shape.value, texts, seen) for key in keys}

    def _timestamp(self, shape: Shape, place: str) -> datetime.datetime:
        moment = datetime.datetime.fromtimestamp(self.random.randrange(10**9, 2 * 10**9), datetime.UTC)
        # HTTP dates have no fraction, and botocore cuts it from every header.
        if place == "header" or shape.serialization.get("timestampFormat", "").lower() == "rfc822":
            return moment
        return moment.replace(microsecond=self.random.choice((0, 123000, 1000)))

    def _text(self, shape: Shape, place: str) -> str:
        if shape.serialization.get("hostLabel"):
            return "123456789012"
        if "enum" in shape.metadata:
            return self.random.choice(shape.metadata["enum"])
        return self.random.choice(HEADER_TEXTS if place == "header" else TEXTS)


def to_milliseconds(value: object) -> object:
    """As our codecs give values: timestamps are integer milliseconds."""
    if isinstance(value, datetime.datetime):
        since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if isinstance(value, dict):
        return {key: to_milliseconds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_milliseconds(item) for item in value]
    return value
