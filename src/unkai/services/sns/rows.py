"""Stored values of SNS: msgpack arrays. A field may only be added at the end, with a default, so that old rows stay readable."""

from __future__ import annotations

from typing import Any

import msgspec

CONFIRMED, PENDING, DELETED = "confirmed", "pending", "deleted"
STATES = (CONFIRMED, PENDING, DELETED)


class TopicRow(msgspec.Struct, frozen=True, array_like=True):
    """`attributes` holds only what was set, as text, by AWS's names. `policy` is empty while it is AWS's default one.

    `base_url` is how its creator reached the node: where a message's URLs point when its publisher is another service.
    """

    id: bytes
    name: str
    account: str
    region: str
    created_ms: int
    attributes: dict[str, str]
    tags: dict[str, str]
    policy: str = ""
    data_protection: str = ""
    base_url: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:sns:{self.region}:{self.account}:{self.name}"

    @property
    def is_fifo(self) -> bool:
        return self.attributes.get("FifoTopic") == "true"


class SubscriptionRow(msgspec.Struct, frozen=True, array_like=True):
    """`state` is confirmed, pending, or deleted: an HTTP endpoint that was unsubscribed may come back with its `token`."""

    id: str
    protocol: str
    endpoint: str
    owner: str
    principal: str
    created_ms: int
    state: str
    attributes: dict[str, str]
    token: str = ""
    authenticated: bool = True
    """The confirmation was signed: ConfirmationWasAuthenticated."""
    closed: bool = False
    """AuthenticateOnUnsubscribe: only the owners may unsubscribe."""


class MessageRow(msgspec.Struct, frozen=True, array_like=True):
    """A published message. `by_protocol` is MessageStructure's JSON where it was given; `index` is its place in its batch."""

    id: str
    body: str
    sent_ms: int
    subject: str | None = None
    attributes: dict[str, Any] = {}
    by_protocol: dict[str, str] = {}
    group: str = ""
    dedup: str = ""
    index: int = 0
    trace: str = ""
    base_url: str = ""


class DeliveryRow(msgspec.Struct, frozen=True, array_like=True):
    """One message on its way to one subscription. It holds all that is needed, so that delivering reads nothing.

    `kind` is Notification, SubscriptionConfirmation or UnsubscribeConfirmation, `token` belongs to the last two.
    `sequence` is empty where the task's own key tells it. `dead_letter` is the queue for what cannot be delivered.
    """

    kind: str
    topic: str
    subscription: str
    protocol: str
    endpoint: str
    message: MessageRow
    raw: bool = False
    signature_version: str = "1"
    is_fifo: bool = False
    sequence: str = ""
    dead_letter: str = ""
    policy: str = ""
    """The effective delivery policy of an HTTP endpoint, where one is set."""
    content_type: str = ""
    token: str = ""


class FanOutRow(msgspec.Struct, frozen=True, array_like=True):
    """One message on its way to more subscriptions than one transaction should write to. `after` is the last one served."""

    topic_id: bytes
    account: str
    region: str
    name: str
    message: MessageRow
    after: str = ""


class DedupRow(msgspec.Struct, frozen=True, array_like=True):
    """A message that was taken: a second one with the same deduplication id gets its answer. `stamp` is the commit's."""

    message_id: str
    until_ms: int
    stamp: bytes
    index: int


class SigningKeyRow(msgspec.Struct, frozen=True, array_like=True):
    """PEM texts, and the name under which the certificate is served."""

    private_key: bytes
    certificate: bytes
    name: str


encode = msgspec.msgpack.Encoder().encode
decode_topic = msgspec.msgpack.Decoder(TopicRow).decode
decode_subscription = msgspec.msgpack.Decoder(SubscriptionRow).decode
decode_delivery = msgspec.msgpack.Decoder(DeliveryRow).decode
decode_fan_out = msgspec.msgpack.Decoder(FanOutRow).decode
decode_dedup = msgspec.msgpack.Decoder(DedupRow).decode
decode_signing_key = msgspec.msgpack.Decoder(SigningKeyRow).decode
