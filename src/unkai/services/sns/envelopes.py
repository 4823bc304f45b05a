"""What subscribers receive: the JSON around a message, its canonical string, and Lambda's event. Pure.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from unkai.kernel.clock import iso8601

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.services.sns.rows import DeliveryRow, MessageRow

NOTIFICATION = "Notification"
CONFIRMATION = "SubscriptionConfirmation"
UNSUBSCRIBED = "UnsubscribeConfirmation"

_json = msgspec.json.Encoder().encode


def body_of(message: MessageRow, protocol: str) -> str:
    """What this protocol gets to read: its own entry of MessageStructure's JSON, or `default`."""
    if not message.by_protocol:
        return message.body
    return message.by_protocol.get(protocol, message.by_protocol["default"])


def fields(delivery: DeliveryRow) -> dict[str, str]:
    """The members that every form of the envelope has and the signature covers, in AWS's order."""
    message = delivery.message
    out = {"Type": delivery.kind, "MessageId": message.id}
    if delivery.token:
        out["Token"] = delivery.token
    if delivery.sequence:
        out["SequenceNumber"] = delivery.sequence
    out["TopicArn"] = delivery.topic
    if delivery.kind == NOTIFICATION:
        if message.subject is not None:
            out["Subject"] = message.subject
        out["Message"] = body_of(message, delivery.protocol)
    else:
        out["Message"] = _sentence(delivery)
        out["SubscribeURL"] = subscribe_url(delivery)
    out["Timestamp"] = iso8601(message.sent_ms)
    return out


def _sentence(delivery: DeliveryRow) -> str:
    if delivery.kind == CONFIRMATION:
        return (
            f"You have chosen to subscribe to the topic {delivery.topic}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        )
    return (
        f"You have chosen to deactivate subscription {delivery.subscription}.\n"
        "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
    )


def canonical(signed: Mapping[str, str]) -> bytes:
    """The string to sign: names and values, a line each, in the order of the names."""
    names = (
        ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        if signed["Type"] == NOTIFICATION
        else ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    )
    return "".join(f"{name}\n{signed[name]}\n" for name in names if name in signed).encode()


def envelope(delivery: DeliveryRow, signed: Mapping[str, str], signature: str, certificate_url: str) -> str:
    """The JSON that SQS queues and HTTP endpoints get. FIFO topics send no signature."""
    members: dict[str, Any] = dict(signed)
    if signature:
        members["SignatureVersion"] = delivery.signature_version
        members["Signature"] = signature
        members["SigningCertURL"] = certificate_url
    lines = [f'  "{name}" : {_json(value).decode()}' for name, value in members.items()]
    if delivery.kind == NOTIFICATION:
        lines.append(f'  "UnsubscribeURL" : {_json(unsubscribe_url(delivery)).decode()}')
        if delivery.message.attributes:
            inner = [
                f"    {_json(name).decode()} : {_json(value).decode()}"
                for name, value in shown_attributes(delivery.message).items()
            ]
            lines.append('  "MessageAttributes" : {\n' + ",\n".join(inner) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}"


def lambda_event(delivery: DeliveryRow, signed: Mapping[str, str], signature: str, certificate_url: str) -> bytes:
    """The payload of a Lambda invocation. Its URLs are spelled differently, and an absent subject is null."""
    sns: dict[str, Any] = dict(signed)
    sns.setdefault("Subject", None)
    if signature:
        sns["SignatureVersion"] = delivery.signature_version
        sns["Signature"] = signature
        sns["SigningCertUrl"] = certificate_url
    sns["UnsubscribeUrl"] = unsubscribe_url(delivery)
    sns["MessageAttributes"] = shown_attributes(delivery.message)
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": delivery.subscription,
        "Sns": sns,
    }
    return _json({"Records": [record]})


def shown_attributes(message: MessageRow) -> dict[str, dict[str, str]]:
    return {
        name: {
            "Type": attribute["DataType"],
            "Value": attribute["StringValue"]
            if "StringValue" in attribute
            else base64.b64encode(attribute["BinaryValue"]).decode(),
        }
        for name, attribute in message.attributes.items()
    }


def subscribe_url(delivery: DeliveryRow) -> str:
    return (
        f"{delivery.message.base_url}/?Action=ConfirmSubscription&TopicArn={quote(delivery.topic, safe=':')}"
        f"&Token={delivery.token}"
    )


def unsubscribe_url(delivery: DeliveryRow) -> str:
    return f"{delivery.message.base_url}/?Action=Unsubscribe&SubscriptionArn={quote(delivery.subscription, safe=':')}"


def sequence_number(stamp: bytes, index: int) -> str:
    """20 digits that grow with the order of publishing. `stamp` is the commit's, `index` the place in its batch."""
    version, order = int.from_bytes(stamp[:8], "big"), int.from_bytes(stamp[8:], "big")
    return str(10**19 + ((version << 16 | order) << 4 | index))
