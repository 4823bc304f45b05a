"""Invoking functions: at once, later, dry and streamed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.lambda_.conftest import eventually, package, said

Make = Callable[..., str]
FAIL = "def lambda_handler(event, context):\n    raise ValueError('no ' + str(event))\n"


def body_of(answer: Any) -> Any:
    return json.loads(answer["Payload"].read())


# The answer of a synchronous invocation is the function's own, with the version that ran and, where asked for, the log's end.
def test_request_response(lam: Any, make: Make) -> None:
    answer = lam.invoke(FunctionName=make(), Payload=b'{"a": 1}', LogType="Tail")
    assert body_of(answer) == {"a": 1}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert base64.b64decode(answer["LogResult"]).startswith(b"START RequestId: ")


# A function that raises is no HTTP error: the answer says so in a header, and its payload tells what was raised.
def test_function_error(lam: Any, make: Make) -> None:
    answer = lam.invoke(FunctionName=make(FAIL), Payload=b"1")
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    error = body_of(answer)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no 1")


# What functions see of their caller and themselves.
def test_context(lam: Any, make: Make) -> None:
    name = make(
        """
        def lambda_handler(event, context):
            return [context.invoked_function_arn, context.function_version, context.aws_request_id]
        """
    )
    given = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    answer = lam.invoke(FunctionName=name, ClientContext=given)
    arn, version, request_id = body_of(answer)
    assert arn == f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    assert version == "$LATEST"
    assert request_id == answer["ResponseMetadata"]["RequestId"]


def test_dry_run(lam: Any, make: Make) -> None:
    assert lam.invoke(FunctionName=make(FAIL), InvocationType="DryRun")["StatusCode"] == 204


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        ("RequestResponse", b"{", "InvalidRequestContentException"),
        ("RequestResponse", b'"' + b"x" * 6_291_456 + b'"', "RequestTooLargeException"),
        ("Event", b'"' + b"x" * 1_048_576 + b'"', "RequestTooLargeException"),
    ],
)
def test_bad_payloads(lam: Any, make: Make, kind: str, payload: bytes, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        lam.invoke(FunctionName=make(), InvocationType=kind, Payload=payload)
    assert caught.value.response["Error"]["Code"] == code


# Reserved concurrency of 0 is how a function is stopped; SDKs retry on 429 and read the reason.
def test_throttled(lam: Any, make: Make) -> None:
    name = make()
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(lam.exceptions.TooManyRequestsException) as caught:
        lam.invoke(FunctionName=name)
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    lam.delete_function_concurrency(FunctionName=name)


# A function runs with its role's session, which names the function.
def test_role_credentials(lam: Any, make: Make) -> None:
    name = make(
        "def lambda_handler(e, c):\n    return c.credentials.access_key_id if hasattr(c, 'credentials') else 'ASIA'"
    )
    assert body_of(lam.invoke(FunctionName=name)).startswith("ASIA")


def test_response_stream(lam: Any, make: Make) -> None:
    events = list(lam.invoke_with_response_stream(FunctionName=make(), Payload=b'{"a": 1}')["EventStream"])
    pieces = b"".join(event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event)
    assert json.loads(pieces) == {"a": 1}
    assert "InvokeComplete" in events[-1]


# Without a right, nobody invokes; a resource policy gives another account's principal or a service the right.
def test_invoke_needs_a_right(client: Callable[..., Any], node: Any, make: Make, name: str) -> None:
    iam = client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    lam = node.client("lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    function = make()
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
    with pytest.raises(ClientError, match=f"lambda:InvokeFunction on resource: {arn}"):
        lam.invoke(FunctionName=function)
    user = f"arn:aws:iam::123456789012:user/{name}"
    client("lambda").add_permission(
        FunctionName=function, StatementId="x", Action="lambda:InvokeFunction", Principal=user
    )
    assert lam.invoke(FunctionName=function)["StatusCode"] == 200


# --- asynchronous invocation

TALLY = """
    def lambda_handler(event, context):
        print("SAID", context.aws_request_id)
        if event == "fail":
            raise ValueError("not yet")
        return "done"
"""


@pytest.fixture
def queue(client: Callable[..., Any], name: str) -> tuple[str, str]:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(client: Callable[..., Any], url: str) -> Any:
    message = eventually(lambda: client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"))[0]
    return message


def destination(arn: str) -> dict[str, Any]:
    return {"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}}


# The client sees 202 before the function has run; the success destination gets AWS's record of it.
def test_event_and_success_record(lam: Any, make: Make, client: Callable[..., Any], queue: tuple[str, str]) -> None:
    name = make()
    url, arn = queue
    lam.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination(arn))
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')
    assert answer["StatusCode"] == 202
    record = json.loads(receive(client, url)["Body"])
    assert record["version"] == "1.0"
    assert record["requestContext"] == {
        "requestId": answer["ResponseMetadata"]["RequestId"],
        "functionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}:$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == record["responsePayload"] == {"a": 1}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}


# A function's error is tried again after one minute and after two more, then the failure destination hears of it. The request
# id stays the same over all tries.
def test_retries_and_failure_record(
    lam: Any, make: Make, client: Callable[..., Any], queue: tuple[str, str], advance: Callable[[float], None]
) -> None:
    name = make(TALLY)
    url, arn = queue
    lam.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination(arn))
    lam.invoke(FunctionName=name, InvocationType="Event", Payload=b'"fail"')

    def runs(count: int) -> list[str]:
        lines = said(client, name)
        assert len(lines) <= count
        return lines if len(lines) == count else []

    eventually(lambda: runs(1))
    for wait_s, count in ((57, 1), (5, 2), (113, 2), (10, 3), (600, 3)):
        advance(wait_s)
        ids = eventually(lambda count=count: runs(count))
    assert len(set(ids)) == 1
    record = json.loads(receive(client, url)["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "not yet"


# A dead-letter queue gets the event itself, not a record.
def test_dead_letter(
    lam: Any, make: Make, client: Callable[..., Any], queue: tuple[str, str], advance: Callable[[float], None]
) -> None:
    url, arn = queue
    name = make(FAIL, DeadLetterConfig={"TargetArn": arn})
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    lam.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')
    assert json.loads(receive(client, url)["Body"]) == {"a": 1}


# A throttled event waits, without its waiting counting as tries, until it is too old.
def test_throttled_event_grows_too_old(
    lam: Any, make: Make, client: Callable[..., Any], queue: tuple[str, str], advance: Callable[[float], None]
) -> None:
    url, arn = queue
    name = make()
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    lam.put_function_event_invoke_config(
        FunctionName=name, MaximumEventAgeInSeconds=60, DestinationConfig=destination(arn)
    )
    lam.invoke(FunctionName=name, InvocationType="Event")
    advance(59)
    assert "Messages" not in client("sqs").receive_message(QueueUrl=url)
    advance(2)
    record = json.loads(receive(client, url)["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record
    lam.delete_function_concurrency(FunctionName=name)


# A destination may be another function, which gets the record as its event.
def test_function_as_destination(lam: Any, make: Make, client: Callable[..., Any]) -> None:
    second = make("def lambda_handler(e, c):\n    print('SAID', e['responsePayload'])")
    first = make()
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{second}"
    lam.put_function_event_invoke_config(FunctionName=first, DestinationConfig={"OnSuccess": {"Destination": arn}})
    lam.invoke(FunctionName=first, InvocationType="Event", Payload=b'"x"')
    eventually(lambda: said(client, second) == ["x"])


def test_older_asynchronous_form(lam: Any, make: Make, client: Callable[..., Any]) -> None:
    name = make(TALLY)
    assert lam.invoke_async(FunctionName=name, InvokeArgs=b"{}")["Status"] == 202
    eventually(lambda: said(client, name))


# New code is what the next invocation runs, whichever process serves it.
def test_update_is_seen_at_once(lam: Any, make: Make) -> None:
    name = make("def lambda_handler(e, c):\n    return 0")
    for n in range(1, 4):
        lam.update_function_code(FunctionName=name, ZipFile=package(f"def lambda_handler(e, c):\n    return {n}"))
        assert body_of(lam.invoke(FunctionName=name)) == n
