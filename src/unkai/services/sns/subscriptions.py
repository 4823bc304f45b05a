"""Operations on subscriptions.

https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
https://docs.aws.amazon.com/sns/latest/api/API_Unsubscribe.html
https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html (confirmations)

A subscription to a queue or function of the caller's own account is confirmed at once; everything else is pending until its
endpoint gives back the token that it was sent.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.kernel.arn import Arn
from unkai.layers.tasks import add_task
from unkai.services.sns import arns, errors, keys, limits, retries, rows
from unkai.services.sns.envelopes import CONFIRMATION, UNSUBSCRIBED
from unkai.services.sns.fan_out import DELIVERY_KINDS, delivery_of
from unkai.services.sns.filter_policy import ATTRIBUTES
from unkai.services.sns.rows import CONFIRMED, DELETED, PENDING
from unkai.services.sns.subscription_attributes import check_endpoint, with_attributes
from unkai.services.sns.topics import find, load
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.services.sns.rows import SubscriptionRow, TopicRow
    from unkai.store.api import ReadTx, Tx

EXPIRE = "sns.expire"
"""The task kind that removes what nobody confirmed."""
TOKEN_SECRET_DIGITS = 96
ID_DIGITS = 32


async def find_subscription(tx: ReadTx, arn: str) -> tuple[TopicRow, SubscriptionRow] | None:
    """What an ARN names, unless it is gone."""
    topic_arn, subscription_id = arns.subscription_parts(arn)
    topic = await find(tx, str(topic_arn))
    if topic is None:
        return None
    value = await tx.get(keys.subscription(topic.id, subscription_id))
    if value is None:
        return None
    subscription = rows.decode_subscription(value)
    return None if subscription.state == DELETED else (topic, subscription)


async def load_owned(ctx: Ctx, tx: ReadTx, arn: str, action: str) -> tuple[TopicRow, SubscriptionRow]:
    """Raises NotFound; AuthorizationError to whoever owns neither the topic nor the subscription."""
    found = await find_subscription(tx, arn)
    if found is None:
        raise errors.subscription_does_not_exist()
    if ctx.account not in (found[0].account, found[1].owner):
        raise errors.not_authorized(action, arn)
    return found


async def subscribe(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["TopicArn"])
    protocol, endpoint = inp["Protocol"], inp.get("Endpoint", "")
    check_endpoint(topic, protocol, endpoint)
    given = inp.get("Attributes", {})
    attributes = with_attributes(topic, protocol, endpoint, {}, given, "Attributes Reason: ")
    existing = await tx.get(keys.endpoint(topic.id, protocol, endpoint))

    if existing is not None:
        subscription = await _subscribe_again(ctx, tx, topic, existing.decode(), given)
    else:
        if topic.is_fifo and await _count(tx, topic) >= limits.FIFO_SUBSCRIPTIONS_MAX:
            raise errors.subscription_limit_exceeded()
        subscription = _make(ctx, topic, protocol, endpoint, attributes)
        _insert(tx, topic, subscription)
        if subscription.state == PENDING:
            _send_token(ctx, tx, topic, subscription, CONFIRMATION)

    is_shown = subscription.state == CONFIRMED or inp.get("ReturnSubscriptionArn", False)
    return {"SubscriptionArn": arn_of(topic, subscription.id) if is_shown else "pending confirmation"}


def arn_of(topic: TopicRow, subscription_id: str) -> str:
    return f"{topic.arn}:{subscription_id}"


async def _count(tx: Tx, topic: TopicRow) -> int:
    return sum([read_counter(await tx.get(keys.count(topic.id, state))) for state in (CONFIRMED, PENDING)])


def _make(ctx: Ctx, topic: TopicRow, protocol: str, endpoint: str, attributes: dict[str, str]) -> SubscriptionRow:
    arn = Arn.parse(endpoint)
    # A function's own policy says whether this topic may call it; a queue's owner must agree to be sent to.
    is_own = protocol == "lambda" or (protocol == "sqs" and arn is not None and arn.account == ctx.account)
    subscription_id = ctx.ids.uuid()
    return rows.SubscriptionRow(
        id=subscription_id,
        protocol=protocol,
        endpoint=endpoint,
        owner=ctx.account,
        principal=ctx.caller.shown_arn,
        created_ms=ctx.now_ms,
        state=CONFIRMED if is_own else PENDING,
        attributes=attributes,
        token="" if is_own else _token(ctx, subscription_id),
        authenticated=is_own,
    )


def _token(ctx: Ctx, subscription_id: str) -> str:
    """It begins with the subscription's id, so that it is found without an index, and ends in a secret."""
    return subscription_id.replace("-", "") + ctx.ids.hex(TOKEN_SECRET_DIGITS)


async def _subscribe_again(
    ctx: Ctx, tx: Tx, topic: TopicRow, subscription_id: str, given: dict[str, str]
) -> SubscriptionRow:
    """Subscribing the same endpoint again is no error where what is given equals what it has; a pending one gets a new message."""
    value = await tx.get(keys.subscription(topic.id, subscription_id))
    assert value is not None, "SNS-1: an endpoint row without a subscription"
    subscription = rows.decode_subscription(value)
    current = {"RawMessageDelivery": "false", "FilterPolicyScope": ATTRIBUTES} | subscription.attributes
    if any(current.get(name, "") != value for name, value in given.items()):
        raise errors.invalid_parameter("Attributes Reason: Subscription already exists with different attributes")
    if subscription.state == PENDING:
        _send_token(ctx, tx, topic, subscription, CONFIRMATION)
    return subscription


def _insert(tx: Tx, topic: TopicRow, subscription: SubscriptionRow) -> None:
    tx.set(keys.subscription(topic.id, subscription.id), rows.encode(subscription))
    _index(tx, topic, subscription)
    tx.add(keys.count(topic.id, subscription.state), 1)


def _index(tx: Tx, topic: TopicRow, subscription: SubscriptionRow) -> None:
    tx.set(keys.endpoint(topic.id, subscription.protocol, subscription.endpoint), subscription.id.encode())
    tx.set(keys.owned(subscription.owner, topic.region, topic.name, subscription.id), topic.id + topic.arn.encode())


def _unindex(tx: Tx, topic: TopicRow, subscription: SubscriptionRow) -> None:
    tx.clear(keys.endpoint(topic.id, subscription.protocol, subscription.endpoint))
    tx.clear(keys.owned(subscription.owner, topic.region, topic.name, subscription.id))


def _send_token(ctx: Ctx, tx: Tx, topic: TopicRow, subscription: SubscriptionRow, kind: str) -> None:
    """Send the endpoint its token, and forget the subscription where nobody uses it in time."""
    message = rows.MessageRow(ctx.ids.uuid(), "", ctx.now_ms, base_url=ctx.base_url or topic.base_url)
    delivery = delivery_of(topic, subscription, message, kind=kind, token=subscription.token)
    add_task(ctx, tx, DELIVERY_KINDS[subscription.protocol], rows.encode(delivery))
    payload = msgspec.msgpack.encode([topic.arn, subscription.id, subscription.token])
    add_task(ctx, tx, EXPIRE, payload, due_ms=ctx.now_ms + limits.CONFIRMATION_MS)


async def confirm_subscription(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Confirming again succeeds. A deleted subscription comes back, unless its endpoint has subscribed anew meanwhile."""
    token = inp["Token"]
    if len(token) != ID_DIGITS + TOKEN_SECRET_DIGITS:
        raise errors.invalid_sentence("Invalid token")
    topic = await find(tx, inp["TopicArn"])
    if topic is None:
        raise errors.invalid_parameter("Token")
    digits = token[:ID_DIGITS]
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    value = await tx.get(keys.subscription(topic.id, "-".join(parts))) if digits.isalnum() else None
    if value is None:
        raise errors.invalid_parameter("Token")
    subscription = rows.decode_subscription(value)
    if not hmac.compare_digest(subscription.token.encode(), token.encode()):
        raise errors.invalid_parameter("Token")
    if subscription.state != CONFIRMED:
        if subscription.state == DELETED and await tx.get(
            keys.endpoint(topic.id, subscription.protocol, subscription.endpoint)
        ):
            raise errors.invalid_parameter("Token")
        is_signed = ctx.caller.type != "Anonymous"
        confirmed = msgspec.structs.replace(
            subscription,
            state=CONFIRMED,
            authenticated=is_signed,
            closed=is_signed and inp.get("AuthenticateOnUnsubscribe", "").lower() == "true",
        )
        tx.set(keys.subscription(topic.id, subscription.id), rows.encode(confirmed))
        _index(tx, topic, confirmed)
        tx.add(keys.count(topic.id, subscription.state), -1)
        tx.add(keys.count(topic.id, CONFIRMED), 1)

    return {"SubscriptionArn": arn_of(topic, subscription.id)}


async def unsubscribe(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Unsubscribing what is gone succeeds. An HTTP endpoint is told, and may come back with the token that it is sent."""
    found = await find_subscription(tx, inp["SubscriptionArn"])
    if found is None:
        return {}
    topic, subscription = found
    is_owner = ctx.account in (topic.account, subscription.owner) and ctx.caller.type != "Anonymous"
    if not is_owner and (subscription.closed or ctx.caller.type != "Anonymous"):
        raise errors.not_authorized("Unsubscribe", inp["SubscriptionArn"])

    tx.add(keys.count(topic.id, subscription.state), -1)
    _unindex(tx, topic, subscription)
    if subscription.state == CONFIRMED and subscription.protocol in ("http", "https"):
        left = msgspec.structs.replace(subscription, state=DELETED, token=_token(ctx, subscription.id))
        tx.set(keys.subscription(topic.id, subscription.id), rows.encode(left))
        tx.add(keys.count(topic.id, DELETED), 1)
        _send_token(ctx, tx, topic, left, UNSUBSCRIBED)
    else:
        tx.clear(keys.subscription(topic.id, subscription.id))

    return {}


async def forget(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> None:
    """Remove a subscription that still waits for the token it was sent."""
    topic = await find(tx, inp["TopicArn"])
    key = keys.subscription(topic.id, inp["SubscriptionId"]) if topic is not None else b""
    value = await tx.get(key) if key else None
    if topic is None or value is None:
        return
    subscription = rows.decode_subscription(value)
    if subscription.state == CONFIRMED or subscription.token != inp["Token"]:
        return
    tx.clear(key)
    tx.add(keys.count(topic.id, subscription.state), -1)
    if subscription.state == PENDING:
        _unindex(tx, topic, subscription)


async def set_subscription_attributes(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic, subscription = await load_owned(ctx, tx, inp["SubscriptionArn"], "SetSubscriptionAttributes")
    given = {inp["AttributeName"]: inp.get("AttributeValue", "")}
    attributes = with_attributes(
        topic, subscription.protocol, subscription.endpoint, subscription.attributes, given, ""
    )

    changed = msgspec.structs.replace(subscription, attributes=attributes)
    tx.set(keys.subscription(topic.id, subscription.id), rows.encode(changed))

    return {}


async def get_subscription_attributes(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    topic, subscription = await load_owned(ctx, tx, inp["SubscriptionArn"], "GetSubscriptionAttributes")

    attributes = {
        "SubscriptionArn": arn_of(topic, subscription.id),
        "TopicArn": topic.arn,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "Owner": subscription.owner,
        "SubscriptionPrincipal": subscription.principal,
        "PendingConfirmation": str(subscription.state == PENDING).lower(),
        "ConfirmationWasAuthenticated": str(subscription.authenticated).lower(),
        "RawMessageDelivery": "false",
        **subscription.attributes,
    }
    if "FilterPolicy" in attributes:
        attributes.setdefault("FilterPolicyScope", ATTRIBUTES)
    else:
        attributes.pop("FilterPolicyScope", None)
    if subscription.protocol in ("http", "https"):
        effective = retries.effective_subscription_policy(
            topic.attributes.get("DeliveryPolicy", ""), subscription.attributes.get("DeliveryPolicy", "")
        )
        attributes["EffectiveDeliveryPolicy"] = msgspec.json.encode(effective).decode()
    return {"Attributes": attributes}


def _shown(topic_arn: str, subscription: SubscriptionRow) -> dict[str, str]:
    is_pending = subscription.state == PENDING
    return {
        "SubscriptionArn": "PendingConfirmation" if is_pending else f"{topic_arn}:{subscription.id}",
        "Owner": subscription.owner,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": topic_arn,
    }


async def list_subscriptions_by_topic(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["TopicArn"])
    begin, end = keys.subscriptions(topic.id)
    if token := inp.get("NextToken"):
        begin = max(begin, keys.subscription(topic.id, token[:64]) + b"\0")
    pairs = await tx.get_range(begin, end, limit=limits.LIST_PAGE + 1)

    found = [rows.decode_subscription(value) for _, value in pairs[: limits.LIST_PAGE]]
    out: dict[str, Any] = {"Subscriptions": [_shown(topic.arn, each) for each in found if each.state != DELETED]}
    if len(pairs) > limits.LIST_PAGE:
        out["NextToken"] = found[-1].id
    return out


async def list_subscriptions(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    """The account's own subscriptions, to anybody's topics. Those of a deleted topic are left out until they are cleaned up."""
    begin, end = keys.owned_range(ctx.account, ctx.region)
    if token := inp.get("NextToken"):
        name, _, subscription_id = token[:400].partition(":")
        begin = max(begin, keys.owned(ctx.account, ctx.region, name, subscription_id) + b"\0")
    pairs = await tx.get_range(begin, end, limit=limits.LIST_PAGE + 1)

    shown: list[dict[str, str]] = []
    for key, topic in pairs[: limits.LIST_PAGE]:
        topic_id, topic_arn = topic[: keys.ID_SIZE_BYTES], topic[keys.ID_SIZE_BYTES :].decode()
        value = await tx.get(keys.subscription(topic_id, keys.owned_parts(key)[1]))
        if value is not None:
            shown.append(_shown(topic_arn, rows.decode_subscription(value)))
    out: dict[str, Any] = {"Subscriptions": shown}
    if len(pairs) > limits.LIST_PAGE:
        name, subscription_id = keys.owned_parts(pairs[limits.LIST_PAGE - 1][0])
        out["NextToken"] = f"{name}:{subscription_id}"
    return out
