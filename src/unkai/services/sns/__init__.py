"""Amazon SNS. https://docs.aws.amazon.com/sns/latest/api/welcome.html"""

from unkai.kernel.service import Service, Task, on, on_any, read, write
from unkai.services.sns import (
    arns,
    dataplane,
    deliveries,
    errors,
    fan_out,
    invariants,
    permissions,
    publishing,
    signing,
    subscriptions,
    topics,
    workers,
)

SERVICE = Service(
    name="sns",
    prefix="sns",
    operations={
        "AddPermission": write(permissions.add_permission, on("SNS:AddPermission", arns.topic_arn)),
        "ConfirmSubscription": write(subscriptions.confirm_subscription, arns.confirmed),
        "CreateTopic": write(topics.create_topic, arns.created),
        "DeleteTopic": write(topics.delete_topic, on("SNS:DeleteTopic", arns.topic_arn)),
        "GetDataProtectionPolicy": read(
            topics.get_data_protection_policy, on("SNS:GetDataProtectionPolicy", arns.resource_arn)
        ),
        "GetSubscriptionAttributes": read(
            subscriptions.get_subscription_attributes, on_any("SNS:GetSubscriptionAttributes")
        ),
        "GetTopicAttributes": read(topics.get_topic_attributes, on("SNS:GetTopicAttributes", arns.topic_arn)),
        "ListSubscriptions": read(subscriptions.list_subscriptions, on_any("SNS:ListSubscriptions")),
        "ListSubscriptionsByTopic": read(
            subscriptions.list_subscriptions_by_topic, on("SNS:ListSubscriptionsByTopic", arns.topic_arn)
        ),
        "ListTagsForResource": read(topics.list_tags_for_resource, on("SNS:ListTagsForResource", arns.tagged_arn)),
        "ListTopics": read(topics.list_topics, on_any("SNS:ListTopics")),
        "Publish": write(publishing.publish, on("SNS:Publish", arns.published_arn)),
        "PublishBatch": write(publishing.publish_batch, on("SNS:Publish", arns.published_arn)),
        "PutDataProtectionPolicy": write(
            topics.put_data_protection_policy, on("SNS:PutDataProtectionPolicy", arns.resource_arn)
        ),
        "RemovePermission": write(permissions.remove_permission, on("SNS:RemovePermission", arns.topic_arn)),
        "SetSubscriptionAttributes": write(
            subscriptions.set_subscription_attributes, on_any("SNS:SetSubscriptionAttributes")
        ),
        "SetTopicAttributes": write(topics.set_topic_attributes, on("SNS:SetTopicAttributes", arns.topic_arn)),
        "Subscribe": write(subscriptions.subscribe, arns.subscribed),
        "TagResource": write(topics.tag_resource, arns.tagged),
        "Unsubscribe": write(subscriptions.unsubscribe, arns.unsubscribed),
        "UntagResource": write(topics.untag_resource, arns.untagged),
    },
    steps=(fan_out.serve_page, signing.read_signing_key, subscriptions.forget, workers.remove_page),
    serial_steps=(signing.keep_signing_key, deliveries.is_there, deliveries.bury, workers.sweep_topic),
    tasks={
        "sns.sqs": Task(deliveries.carry_sqs, concurrency=64),
        "sns.lambda": Task(deliveries.carry_lambda, concurrency=64),
        "sns.http": Task(deliveries.carry_http, concurrency=128),
        "sns.dead": Task(deliveries.carry_dead, concurrency=16),
        fan_out.FAN_OUT: Task(fan_out.carry_fan_out, concurrency=8),
        subscriptions.EXPIRE: Task(workers.expire, concurrency=4),
        publishing.SWEEP: Task(workers.sweep, concurrency=4),
        topics.CLEAN_UP: Task(workers.clean_up, concurrency=2),
    },
    resource_policy=topics.resource_policy,
    complete=topics.complete,
    access_denied_code="AuthorizationError",
    wording=errors.WORDING,
    dataplane=dataplane.certificate,
    invariants=(invariants.check,),
)
