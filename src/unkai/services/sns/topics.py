"""Operations on topics, their attributes and their tags.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
"""

from __future__ import annotations

from dataclasses import replace as replace_access
from typing import TYPE_CHECKING, Any

import msgspec

from unkai.layers.tasks import add_task
from unkai.services.sns import arns, errors, keys, limits, retries, rows
from unkai.services.sns.policies import check_policy, effective_policy
from unkai.services.sns.topic_attributes import check_attribute
from unkai.store.api import read_counter

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.service import Access
    from unkai.services.sns.rows import TopicRow
    from unkai.store.api import ReadTx, Tx

CLEAN_UP = "sns.clean_up"
"""The task kind that removes what a deleted topic held, a page at a time."""


async def find(tx: ReadTx, arn: str, name: str = "TopicArn") -> TopicRow | None:
    parts = arns.topic_parts(arn, name)
    value = await tx.get(keys.topic(parts.account, parts.region, parts.resource))
    return rows.decode_topic(value) if value is not None else None


async def load(tx: ReadTx, arn: str, name: str = "TopicArn") -> TopicRow:
    """Raises NotFound."""
    topic = await find(tx, arn, name)
    if topic is None:
        raise errors.topic_does_not_exist()
    return topic


def save(tx: Tx, topic: TopicRow) -> None:
    tx.set(keys.topic(topic.account, topic.region, topic.name), rows.encode(topic))


async def resource_policy(tx: ReadTx, arn: str) -> str | None:
    """The topic's policy, for the pipeline. What is no topic's ARN has none; the handler refuses it in its own words."""
    if not arn.startswith("arn:aws:sns:") or arn.count(":") != 5:
        return None
    topic = await find(tx, arn)
    return effective_policy(topic) if topic is not None else None


async def complete(tx: ReadTx, access: Access) -> Access:
    """The topic's tags, for aws:ResourceTag."""
    if access.resource == "*" or access.resource.count(":") != 5:
        return access
    topic = await find(tx, access.resource)
    return replace_access(access, resource_tags=topic.tags) if topic is not None and topic.tags else access


async def create_topic(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    name = inp["Name"]
    attributes: dict[str, str] = dict(inp.get("Attributes", {}))
    tags = _tags(inp.get("Tags", ()))
    _check_name(name, attributes)
    existing = await tx.get(keys.topic(ctx.account, ctx.region, name))

    if existing is not None:
        topic = rows.decode_topic(existing)
        _check_same(topic, attributes, tags, has_tags="Tags" in inp)
        return {"TopicArn": topic.arn}

    topic = rows.TopicRow(
        id=ctx.ids.token(keys.ID_SIZE_BYTES),
        name=name,
        account=ctx.account,
        region=ctx.region,
        created_ms=ctx.now_ms,
        attributes={"FifoTopic": "true", "ContentBasedDeduplication": "false"}
        if attributes.get("FifoTopic") == "true"
        else {},
        tags=tags,
        data_protection=_json_object(inp.get("DataProtectionPolicy", ""), "DataProtectionPolicy"),
        base_url=ctx.base_url,
    )
    for attribute, value in attributes.items():
        if attribute != "FifoTopic":
            topic = _with_attribute(topic, attribute, value, "Attributes Reason: ")
    save(tx, topic)

    return {"TopicArn": topic.arn}


def _check_name(name: str, attributes: dict[str, str]) -> None:
    fifo = attributes.get("FifoTopic", "false")
    if fifo not in ("true", "false"):
        raise errors.invalid_parameter("Attributes Reason: FifoTopic: Must be true or false.")
    if fifo == "true" and not limits.FIFO_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, "
            "numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
        )
    if fifo == "false" and not limits.TOPIC_NAME.fullmatch(name):
        raise errors.invalid_parameter("Topic Name")


def _check_same(topic: TopicRow, attributes: dict[str, str], tags: dict[str, str], *, has_tags: bool) -> None:
    """Creating a topic again is no error where all that is given equals what the topic has."""
    current = {"FifoTopic": "false", "DisplayName": "", **topic.attributes, "Policy": effective_policy(topic)}
    if any(current.get(name) != value for name, value in attributes.items()):
        raise errors.invalid_parameter("Attributes Reason: Topic already exists with different attributes")
    if has_tags and tags != topic.tags:
        raise errors.invalid_parameter("Tags Reason: Topic already exists with different tags")


def _tags(given: Any) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise errors.invalid_parameter("Duplicated keys are not allowed.")
    if len(tags) > limits.TAGS_MAX:
        raise errors.tag_limit_exceeded()
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise errors.invalid_parameter("Tags Reason: Invalid tag key or value")
    return tags


def _json_object(text: str, name: str) -> str:
    if text and not isinstance(_parsed(text), dict):
        raise errors.invalid_parameter(f"{name} Reason: must be a JSON object")
    if len(text.encode()) > limits.POLICY_SIZE_BYTES_MAX:
        raise errors.invalid_parameter(f"{name} Reason: must be at most 30,720 bytes long")
    return text


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _with_attribute(topic: TopicRow, name: str, value: str, where: str) -> TopicRow:
    """The topic with one attribute set. Raises what AWS answers."""
    if name == "Policy":
        check_policy(value, topic.arn)
        return msgspec.structs.replace(topic, policy=value)
    check_attribute(topic, name, value, where)
    attributes = {**topic.attributes, name: value}
    if value == "" and name != "DisplayName":
        del attributes[name]
    return msgspec.structs.replace(topic, attributes=attributes)


async def set_topic_attributes(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["TopicArn"])
    name, value = inp["AttributeName"], inp.get("AttributeValue", "")
    if name == "MaximumMessageSize" and value.isdigit() and int(value[:8]) > limits.MESSAGE_SIZE_BYTES_DEFAULT:
        await _check_large_messages(tx, topic)

    save(tx, _with_attribute(topic, name, value, ""))

    return {}


async def _check_large_messages(tx: Tx, topic: TopicRow) -> None:
    """Messages over 256 KiB go to at most 100 subscriptions, all of SQS, Lambda or Firehose."""
    page = await tx.get_range(*keys.subscriptions(topic.id), limit=limits.LARGE_MESSAGE_SUBSCRIPTIONS_MAX + 1)
    if len(page) > limits.LARGE_MESSAGE_SUBSCRIPTIONS_MAX or any(
        rows.decode_subscription(value).protocol not in ("sqs", "lambda") for _, value in page
    ):
        raise errors.invalid_parameter(
            "MaximumMessageSize Reason: above 262144 a topic must have 100 or fewer subscriptions, each to SQS or Lambda"
        )


async def get_topic_attributes(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["TopicArn"])

    attributes = {
        "TopicArn": topic.arn,
        "Owner": topic.account,
        "Policy": effective_policy(topic),
        "DisplayName": "",
        **topic.attributes,
        "EffectiveDeliveryPolicy": msgspec.json.encode(
            retries.effective_topic_policy(topic.attributes.get("DeliveryPolicy", ""))
        ).decode(),
    }
    for state in rows.STATES:
        attributes[f"Subscriptions{state.capitalize()}"] = str(read_counter(await tx.get(keys.count(topic.id, state))))
    return {"Attributes": attributes}


async def delete_topic(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    """Deleting what is not there succeeds. Its subscriptions go with it, in the background."""
    topic = await find(tx, inp["TopicArn"])
    if topic is None:
        return {}

    tx.clear(keys.topic(topic.account, topic.region, topic.name))
    add_task(ctx, tx, CLEAN_UP, rows.encode(topic))

    return {}


async def list_topics(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    begin, end = keys.topics(ctx.account, ctx.region)
    if token := inp.get("NextToken"):
        # The token is the last name of the page before: a position, which stays right whatever is made or deleted.
        begin = max(begin, keys.topic(ctx.account, ctx.region, token[:300]) + b"\0")
    pairs = await tx.get_range(begin, end, limit=limits.LIST_PAGE + 1)

    found = [rows.decode_topic(value) for _, value in pairs[: limits.LIST_PAGE]]
    out: dict[str, Any] = {"Topics": [{"TopicArn": topic.arn} for topic in found]}
    if len(pairs) > limits.LIST_PAGE:
        out["NextToken"] = found[-1].name
    return out


# --- tags


async def _load_tagged(tx: ReadTx, arn: str) -> TopicRow:
    topic = await find(tx, arn, "ResourceArn")
    if topic is None:
        raise errors.resource_does_not_exist()
    return topic


async def tag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await _load_tagged(tx, inp["ResourceArn"])
    tags = topic.tags | _tags(inp["Tags"])
    if len(tags) > limits.TAGS_MAX:
        raise errors.tag_limit_exceeded()

    save(tx, msgspec.structs.replace(topic, tags=tags))

    return {}


async def untag_resource(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await _load_tagged(tx, inp["ResourceArn"])
    gone = set(inp["TagKeys"])

    save(tx, msgspec.structs.replace(topic, tags={k: v for k, v in topic.tags.items() if k not in gone}))

    return {}


async def list_tags_for_resource(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await _load_tagged(tx, inp["ResourceArn"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in topic.tags.items()]}


# --- data protection: kept and given back; messages are not searched for what it names


async def put_data_protection_policy(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["ResourceArn"], "ResourceArn")
    policy = _json_object(inp["DataProtectionPolicy"], "DataProtectionPolicy")

    save(tx, msgspec.structs.replace(topic, data_protection=policy))

    return {}


async def get_data_protection_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    topic = await load(tx, inp["ResourceArn"], "ResourceArn")
    return {"DataProtectionPolicy": topic.data_protection} if topic.data_protection else {}
