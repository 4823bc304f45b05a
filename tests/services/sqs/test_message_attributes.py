"""Message attributes and message system attributes: types, checksums, filters."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from botocore.exceptions import ClientError

from unkai.services.sqs import contents

GIVEN = {
    "city": {"DataType": "String", "StringValue": "Zürich"},
    "count": {"DataType": "Number.int", "StringValue": "42"},
    "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    "order.id": {"DataType": "String", "StringValue": "7"},
}


# An answer from AWS, recorded in the tests of other people's clients: the checksum that SDKs compare.
def test_md5_of_attributes_is_as_recorded() -> None:
    attribute = {"SOME_Valid.attribute-Name": {"StringValue": "1493147359900", "DataType": "Number"}}
    assert contents.md5_of_attributes(attribute) == "36655e7e9d7c0e8479fa3f3f42247ae7"
    assert contents.md5_of_attributes({"Foo": {"DataType": "String", "StringValue": "Bar"}}) == (
        "ae7155c6026991b6d54b11589678bf9c"
    )


# They come back as they were sent, whichever names, prefixes or all are asked for, with the checksum of what is given.
@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["All"], set(GIVEN)),
        ([".*"], set(GIVEN)),
        (["city", "nothing"], {"city"}),
        (["order.*"], {"order.id"}),
        (["ord.*"], set()),
        ([], set()),
    ],
)
def test_attributes_come_back(sqs: Any, queue: str, asked: list[str], names: set[str]) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=GIVEN)
    assert sent["MD5OfMessageAttributes"] == contents.md5_of_attributes(GIVEN)
    (message,) = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=asked)["Messages"]
    expected = {name: value for name, value in GIVEN.items() if name in names}
    assert message.get("MessageAttributes", {}) == expected
    if expected:
        assert message["MD5OfMessageAttributes"] == contents.md5_of_attributes(expected)
    else:
        assert "MD5OfMessageAttributes" not in message


# The X-Ray header travels as the one system attribute that can be sent, with a checksum of its own.
def test_trace_header(sqs: Any, queue: str) -> None:
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageSystemAttributes=system)
    data = b"".join(struct.pack(">I", len(part)) + part for part in (b"AWSTraceHeader", b"String"))
    data += b"\x01" + struct.pack(">I", len(trace)) + trace.encode()
    assert sent["MD5OfMessageSystemAttributes"] == hashlib.md5(data).hexdigest()
    (message,) = sqs.receive_message(QueueUrl=queue, MessageSystemAttributeNames=["AWSTraceHeader"])["Messages"]
    assert message["Attributes"] == {"AWSTraceHeader": trace}


# A standard queue takes a group id (fair queues) and shows it.
def test_group_id_on_a_standard_queue(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId="tenant-1")
    (message,) = sqs.receive_message(QueueUrl=queue, AttributeNames=["MessageGroupId"])["Messages"]
    assert message["Attributes"] == {"MessageGroupId": "tenant-1"}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"a": {"DataType": "String", "StringValue": ""}}, "must contain a non-empty value of type 'String'"),
        ({"a": {"DataType": "Binary", "StringValue": "x"}}, "must contain a non-empty value of type 'Binary'"),
        ({"a": {"DataType": "Number", "StringValue": "x"}}, "Could not cast message attribute 'a' value to number"),
        ({"a": {"DataType": "Number", "StringValue": "1e999999999"}}, "Could not cast"),
        ({"a": {"DataType": "Text", "StringValue": "x"}}, "has an invalid message attribute type"),
        ({"AWS.x": {"DataType": "String", "StringValue": "x"}}, "beginning with 'AWS.'"),
        ({"a..b": {"DataType": "String", "StringValue": "x"}}, "cannot start or end with"),
        ({"a b": {"DataType": "String", "StringValue": "x"}}, "can only contain"),
        (
            {f"a{at}": {"DataType": "String", "StringValue": "x"} for at in range(11)},
            r"exceeds the allowed maximum \[10\]",
        ),
    ],
)
def test_refused(sqs: Any, queue: str, attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=attributes)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


# Names, types and values count against the size of a message.
def test_attributes_count_as_size(sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
    attributes = {"a": {"DataType": "String", "StringValue": "x" * 17}}
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1000, MessageAttributes=attributes)
    with pytest.raises(ClientError, match="Message must be shorter than 1024 bytes"):
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1001, MessageAttributes=attributes)
