"""Amazon CloudWatch Logs. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html"""

from unkai.kernel.service import Service, Task, effect, on, on_any, read, write
from unkai.services.logs import (
    arns,
    errors,
    events,
    groups,
    invariants,
    metric_filters,
    policies,
    streams,
    subscriptions,
    tags,
    workers,
)

SERVICE = Service(
    name="logs",
    prefix="logs",
    access_denied_code="AccessDeniedException",
    operations={
        "AssociateKmsKey": write(groups.associate_kms_key, on("logs:AssociateKmsKey", arns.kms_arn)),
        "CreateLogGroup": write(groups.create_log_group, arns.on_create_group),
        "DeleteLogGroup": write(groups.delete_log_group, on("logs:DeleteLogGroup", arns.group_arn)),
        "DeleteRetentionPolicy": write(
            groups.delete_retention_policy, on("logs:DeleteRetentionPolicy", arns.group_arn)
        ),
        "DescribeLogGroups": read(groups.describe_log_groups, on("logs:DescribeLogGroups", arns.any_group_arn)),
        "DisassociateKmsKey": write(groups.disassociate_kms_key, on("logs:DisassociateKmsKey", arns.kms_arn)),
        "ListLogGroups": read(groups.list_log_groups, on("logs:ListLogGroups", arns.any_group_arn)),
        "PutLogGroupDeletionProtection": write(
            groups.put_log_group_deletion_protection, on("logs:PutLogGroupDeletionProtection", arns.group_arn)
        ),
        "PutRetentionPolicy": write(groups.put_retention_policy, on("logs:PutRetentionPolicy", arns.group_arn)),
        "ListTagsForResource": read(tags.list_tags_for_resource, on("logs:ListTagsForResource", arns.tagged_arn)),
        "ListTagsLogGroup": read(tags.list_tags_log_group, on("logs:ListTagsLogGroup", arns.tagged_arn)),
        "TagLogGroup": write(tags.tag_log_group, arns.on_tag("logs:TagLogGroup")),
        "TagResource": write(tags.tag_resource, arns.on_tag("logs:TagResource")),
        "UntagLogGroup": write(tags.untag_log_group, arns.on_tag("logs:UntagLogGroup")),
        "UntagResource": write(tags.untag_resource, arns.on_tag("logs:UntagResource")),
        "CreateLogStream": write(streams.create_log_stream, on("logs:CreateLogStream", arns.stream_arn)),
        "DeleteLogStream": write(streams.delete_log_stream, on("logs:DeleteLogStream", arns.stream_arn)),
        "DescribeLogStreams": read(streams.describe_log_streams, on("logs:DescribeLogStreams", arns.group_arn)),
        "FilterLogEvents": read(events.filter_log_events, on("logs:FilterLogEvents", arns.group_arn)),
        "GetLogEvents": read(events.get_log_events, on("logs:GetLogEvents", arns.stream_arn)),
        "PutLogEvents": write(events.put_log_events, on("logs:PutLogEvents", arns.stream_arn)),
        "DeleteMetricFilter": write(metric_filters.delete_metric_filter, on("logs:DeleteMetricFilter", arns.group_arn)),
        "DescribeMetricFilters": read(
            metric_filters.describe_metric_filters, on("logs:DescribeMetricFilters", arns.any_group_arn)
        ),
        "PutMetricFilter": write(metric_filters.put_metric_filter, on("logs:PutMetricFilter", arns.group_arn)),
        "TestMetricFilter": read(metric_filters.test_metric_filter, on_any("logs:TestMetricFilter")),
        "DeleteSubscriptionFilter": write(
            subscriptions.delete_subscription_filter, on("logs:DeleteSubscriptionFilter", arns.group_arn)
        ),
        "DescribeSubscriptionFilters": read(
            subscriptions.describe_subscription_filters, on("logs:DescribeSubscriptionFilters", arns.group_arn)
        ),
        "PutSubscriptionFilter": effect(
            subscriptions.put_subscription_filter, on("logs:PutSubscriptionFilter", arns.group_arn)
        ),
        "DeleteResourcePolicy": write(
            policies.delete_resource_policy, on("logs:DeleteResourcePolicy", arns.policy_arn)
        ),
        "DescribeResourcePolicies": read(
            policies.describe_resource_policies, on("logs:DescribeResourcePolicies", arns.policy_arn)
        ),
        "PutResourcePolicy": write(policies.put_resource_policy, on("logs:PutResourcePolicy", arns.policy_arn)),
    },
    steps=(
        subscriptions.check_group,
        subscriptions.store_subscription,
        workers.expire_page,
        workers.remove_group_page,
        workers.remove_stream_page,
    ),
    tasks={
        groups.CLEAN_UP: Task(workers.clean_up, concurrency=2),
        groups.EXPIRE: Task(workers.expire, concurrency=2),
        subscriptions.DELIVER: Task(subscriptions.deliver),
    },
    resource_policy=policies.resource_policy,
    complete=arns.complete,
    wording=errors.WORDING,
    invariants=(invariants.check,),
    # Log events may lose the last second at power loss, never at kill -9; nothing else here depends on where they are kept.
    is_telemetry=True,
)
