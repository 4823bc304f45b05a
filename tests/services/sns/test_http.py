"""HTTP subscriptions: confirmation, notifications, retries by node time, unsubscribing. The endpoint is on this machine."""

from __future__ import annotations

import json
import queue
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.services.sns.conftest import Queue
from tests.services.sns.test_topics import refused


@dataclass
class Endpoint:
    """What came, in order; `status` is what it answers."""

    url: str = ""
    status: int = 200
    came: queue.Queue[tuple[dict[str, str], str]] = field(default_factory=queue.Queue)

    def next(self) -> tuple[dict[str, str], Any]:
        """Headers by lower-case name, and the JSON body (or text)."""
        headers, body = self.came.get(timeout=10)
        return headers, json.loads(body) if body.startswith("{") else body


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.came.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def visit(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        text: str = answer.read().decode()
    return text


def confirmed(sns: Any, topic: str, endpoint: Endpoint, **attributes: str) -> str:
    """A subscription whose endpoint has visited its SubscribeURL."""
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url, Attributes=attributes)
    found = re.search("<SubscriptionArn>(.*)</SubscriptionArn>", visit(endpoint.next()[1]["SubscribeURL"]))
    assert found is not None
    return found[1]


# The endpoint gets a token and is pending until it visits SubscribeURL; then it gets notifications, with AWS's headers.
def test_confirmation_and_notification(sns: Any, topic: str, endpoint: Endpoint) -> None:
    out = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    assert out["SubscriptionArn"] == "pending confirmation"
    headers, body = endpoint.next()
    assert headers["x-amz-sns-message-type"] == body["Type"] == "SubscriptionConfirmation"
    assert headers["x-amz-sns-topic-arn"] == body["TopicArn"] == topic
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert headers["user-agent"] == "Amazon Simple Notification Service Agent"
    assert body["Token"] in body["SubscribeURL"]
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    sns.publish(TopicArn=topic, Message="nobody hears it")

    answer = visit(body["SubscribeURL"])
    assert visit(body["SubscribeURL"]).count(topic) == answer.count(topic) == 1
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=listed["SubscriptionArn"])["Attributes"]
    assert attributes["PendingConfirmation"] == "false"
    assert attributes["ConfirmationWasAuthenticated"] == "false"

    sent = sns.publish(TopicArn=topic, Message="hello")
    headers, body = endpoint.next()
    assert headers["x-amz-sns-message-type"] == body["Type"] == "Notification"
    assert headers["x-amz-sns-message-id"] == body["MessageId"] == sent["MessageId"]
    assert headers["x-amz-sns-subscription-arn"] == listed["SubscriptionArn"]
    assert body["Message"] == "hello"


def test_raw_delivery_and_content_type(sns: Any, topic: str, endpoint: Endpoint) -> None:
    policy = json.dumps({"requestPolicy": {"headerContentType": "application/json"}})
    confirmed(sns, topic, endpoint, RawMessageDelivery="true", DeliveryPolicy=policy)
    sns.publish(TopicArn=topic, Message="as it is")
    headers, body = endpoint.next()
    assert body == "as it is"
    assert headers["x-amz-sns-rawdelivery"] == "true"
    assert headers["content-type"] == "application/json"


# A failing endpoint is tried again by its delivery policy (here at once, after 5 s, after 9 s), then the message is dead.
def test_retries_and_dead_letter(
    sns: Any, topic: str, endpoint: Endpoint, make_queue: Callable[..., Queue], advance: Callable[[float], None]
) -> None:
    dead = make_queue("dead")
    retries = {
        "minDelayTarget": 5,
        "maxDelayTarget": 9,
        "numRetries": 3,
        "numNoDelayRetries": 1,
        "numMaxDelayRetries": 1,
    }
    confirmed(
        sns,
        topic,
        endpoint,
        DeliveryPolicy=json.dumps({"healthyRetryPolicy": retries}),
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead.arn}),
    )
    endpoint.status = 503
    sns.publish(TopicArn=topic, Message="m")
    endpoint.next()
    endpoint.next()
    advance(4)
    assert endpoint.came.empty()
    advance(1)
    endpoint.next()
    advance(8)
    assert endpoint.came.empty()
    assert dead.receive(wait_s=0) == []
    advance(2)
    endpoint.next()
    assert dead.bodies() == ["m"]


# A 4xx says that the endpoint will never take it: no retry.
def test_client_errors_are_final(
    sns: Any, topic: str, endpoint: Endpoint, make_queue: Callable[..., Queue], advance: Callable[[float], None]
) -> None:
    dead = make_queue("dead")
    confirmed(sns, topic, endpoint, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead.arn}))
    endpoint.status = 404
    sns.publish(TopicArn=topic, Message="m")
    assert dead.bodies() == ["m"]
    advance(100)
    assert endpoint.came.qsize() == 1


# Visiting UnsubscribeURL ends it; the endpoint is told, and may take it back with the token it is sent.
def test_unsubscribe_and_come_back(sns: Any, topic: str, endpoint: Endpoint) -> None:
    arn = confirmed(sns, topic, endpoint)
    sns.publish(TopicArn=topic, Message="m")
    visit(endpoint.next()[1]["UnsubscribeURL"])
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"
    headers, body = endpoint.next()
    assert headers["x-amz-sns-message-type"] == body["Type"] == "UnsubscribeConfirmation"
    visit(body["SubscribeURL"])
    sns.publish(TopicArn=topic, Message="again")
    headers, body = endpoint.next()
    assert headers["x-amz-sns-subscription-arn"] == arn
    assert body["Message"] == "again"


# Confirmed with AuthenticateOnUnsubscribe, a subscription is not ended by whoever finds its URL.
def test_authenticate_on_unsubscribe(sns: Any, topic: str, endpoint: Endpoint) -> None:
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    token = endpoint.next()[1]["Token"]
    arn = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="m")
    with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
        visit(endpoint.next()[1]["UnsubscribeURL"])
    assert b"AuthorizationError" in refusal.value.read()
    refusal.value.close()
    sns.unsubscribe(SubscriptionArn=arn)


# A wrong token confirms nothing, in AWS's words; a token that nobody used in two days is worth nothing.
def test_tokens(sns: Any, topic: str, endpoint: Endpoint, advance: Callable[[float], None]) -> None:
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    token = endpoint.next()[1]["Token"]
    with refused("InvalidParameter", "Invalid token"):
        sns.confirm_subscription(TopicArn=topic, Token="short")
    with refused("InvalidParameter", "Invalid parameter: Token"):
        sns.confirm_subscription(TopicArn=topic, Token=token[:-1] + ("0" if token[-1] != "0" else "1"))
    with refused("InvalidParameter", "Invalid parameter: Token"):
        sns.confirm_subscription(TopicArn=topic + "x", Token=token)
    advance(48 * 3600)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    with refused("InvalidParameter", "Invalid parameter: Token"):
        sns.confirm_subscription(TopicArn=topic, Token=token)
