"""Queues: names, attributes, listing, deletion, purging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.node import ACCOUNT


def code_of(call: Callable[..., Any], **inp: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**inp)
    code: str = refused.value.response["Error"]["Code"]
    return code


# The same creation again is no error and gives the same URL; other attributes are refused by name.
def test_create_again(sqs: Any, name: str) -> None:
    first = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    assert first.endswith(f"/{ACCOUNT}/{name}")
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == first
    with pytest.raises(ClientError, match="VisibilityTimeout"):
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "6"})


# A queue that is gone is gone for every operation, with the code that SDKs turn into QueueDoesNotExist; made again, it is empty.
def test_delete(sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.delete_queue(QueueUrl=url)
    assert code_of(sqs.send_message, QueueUrl=url, MessageBody="x") == "AWS.SimpleQueueService.NonExistentQueue"
    assert code_of(sqs.get_queue_url, QueueName=name) == "AWS.SimpleQueueService.NonExistentQueue"
    sqs.create_queue(QueueName=name)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


# A purge empties the queue at once, and may be asked for once a minute.
def test_purge(sqs: Any, name: str, advance: Callable[[float], None]) -> None:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.purge_queue(QueueUrl=url)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    assert code_of(sqs.purge_queue, QueueUrl=url) == "AWS.SimpleQueueService.PurgeQueueInProgress"
    advance(60)
    sqs.purge_queue(QueueUrl=url)


# Listing gives names in order by prefix, and pages only for those who ask for pages.
def test_list(sqs: Any, name: str) -> None:
    urls = [sqs.create_queue(QueueName=f"{name}-{at}")["QueueUrl"] for at in range(5)]
    assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == urls
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name, PaginationConfig={"PageSize": 2})
    assert [page["QueueUrls"] for page in pages] == [urls[:2], urls[2:4], urls[4:]]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{name}-none")


# Attributes are checked by name and range.
@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "-1"}, "InvalidAttributeValue"),
        ({"Nonsense": "1"}, "InvalidAttributeName"),
    ],
)
def test_refused_attributes(sqs: Any, name: str, attributes: dict[str, str], code: str) -> None:
    assert code_of(sqs.create_queue, QueueName=name, Attributes=attributes) == code


@pytest.mark.parametrize("bad", ["", "a b", "ä", "x" * 81])
def test_refused_names(sqs: Any, bad: str) -> None:
    assert code_of(sqs.create_queue, QueueName=bad) == "InvalidParameterValue"
