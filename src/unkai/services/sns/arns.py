"""ARNs in and out, and which topic an operation's input names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.kernel.service import Access
from unkai.services.sns import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import AccessRule

ARN_ELEMENTS = 6


def check_elements(text: str, name: str) -> Arn:
    """The ARN's parts. Raises InvalidParameter in AWS's words."""
    parts = text.split(":")
    if len(parts) < ARN_ELEMENTS:
        raise errors.invalid_parameter(f"{name} Reason: An ARN must have at least 6 elements, not {len(parts)}")
    arn = Arn.parse(text)
    if arn is None or arn.service != "sns" or not arn.resource:
        raise errors.invalid_parameter(name)
    return arn


def topic_parts(text: str, name: str = "TopicArn") -> Arn:
    """The ARN of a topic: its resource is the topic's name."""
    arn = check_elements(text, name)
    if ":" in arn.resource:
        raise errors.invalid_parameter(name)
    return arn


def subscription_parts(text: str) -> tuple[Arn, str]:
    """The topic's ARN and the subscription's id."""
    arn = check_elements(text, "SubscriptionArn")
    topic, colon, subscription_id = arn.resource.partition(":")
    if not colon or not subscription_id or ":" in subscription_id or len(subscription_id) > 64:
        raise errors.invalid_parameter("SubscriptionId")
    return Arn("sns", arn.region, arn.account, topic), subscription_id


def topic_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    text: str = inp["TopicArn"]
    topic_parts(text)
    return text


def resource_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    text: str = inp["ResourceArn"]
    topic_parts(text, "ResourceArn")
    return text


def tagged_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    """Tagging answers ResourceNotFound for what is no topic at all."""
    text: str = inp["ResourceArn"]
    arn = Arn.parse(text)
    if arn is None or arn.service != "sns" or ":" in arn.resource:
        raise errors.resource_does_not_exist()
    return text


def published_arn(ctx: Ctx, inp: dict[str, Any]) -> str:
    """TopicArn or TargetArn; a phone number and an application's endpoint are refused here."""
    if "PhoneNumber" in inp:
        raise errors.protocol_not_delivered("sms")
    text: str = inp.get("TopicArn") or inp.get("TargetArn") or ""
    if not text:
        raise errors.invalid_parameter("TopicArn or TargetArn Reason: no value for required parameter")
    name = "TopicArn" if inp.get("TopicArn") else "TargetArn"
    arn = check_elements(text, name)
    if arn.resource.startswith("endpoint/"):
        raise errors.protocol_not_delivered("application")
    if ":" in arn.resource or (ctx.region and arn.region != ctx.region and ctx.caller.type != "Anonymous"):
        raise errors.invalid_parameter(name)
    return text


def created(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    if not inp["Name"] or ":" in inp["Name"]:
        raise errors.invalid_parameter("Topic Name")
    tags = {tag["Key"]: tag["Value"] for tag in inp.get("Tags", ())}
    return (Access("SNS:CreateTopic", ctx.arn("sns", inp["Name"]), request_tags=tags or None),)


def tagged(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    tags = {tag["Key"]: tag["Value"] for tag in inp["Tags"]}
    return (Access("SNS:TagResource", tagged_arn(ctx, inp), request_tags=tags),)


def untagged(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    return (Access("SNS:UntagResource", tagged_arn(ctx, inp), {"aws:TagKeys": list(inp["TagKeys"])}),)


def subscribed(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    context = {"sns:Protocol": inp["Protocol"], "sns:Endpoint": inp.get("Endpoint", "")}
    return (Access("SNS:Subscribe", topic_arn(ctx, inp), context),)


def confirmed(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """The token is the proof; whoever visits SubscribeURL signs nothing. Somebody else's topic need not name a subscriber."""
    text = inp["TopicArn"]
    arn = Arn.parse(text)
    if ctx.caller.type == "Anonymous":
        return ()
    own = arn is not None and arn.account == ctx.account
    return (Access("SNS:ConfirmSubscription", text if own else "*"),)


def unsubscribed(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
    """UnsubscribeURL is visited without a signature; the handler decides whether that is enough."""
    return () if ctx.caller.type == "Anonymous" else (Access("SNS:Unsubscribe"),)


def on_topic(action: str) -> AccessRule:
    resource: Callable[[Ctx, dict[str, Any]], str] = topic_arn

    def rule(ctx: Ctx, inp: dict[str, Any]) -> Sequence[Access]:
        return (Access(action, resource(ctx, inp)),)

    return rule
