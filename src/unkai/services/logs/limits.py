"""Numbers of CloudWatch Logs.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
"""

from __future__ import annotations

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

BATCH_SIZE_BYTES_MAX = 1_048_576
EVENT_OVERHEAD_BYTES = 26
BATCH_SPAN_MS_MAX = DAY_MS
TOO_OLD_MS = 14 * DAY_MS
TOO_NEW_MS = 2 * HOUR_MS

PAGE_SIZE_BYTES_MAX = 1_048_576
PAGE_EVENTS_MAX = 10_000
DESCRIBE_MAX = 50

RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
TAGS_MAX = 50
SUBSCRIPTION_FILTERS_MAX = 2
METRIC_FILTERS_MAX = 100
REGEX_PATTERNS_MAX = 5
RESOURCE_POLICIES_MAX = 10
POLICY_SIZE_CHARS_MAX = 5120

LATEST_FIRST_SINCE_MS = 1_704_067_200_000
"""FilterLogEvents gives the latest events first only for ranges that begin on or after 2024-01-01."""

LOOK_MAX = 1000
"""How many rows one listing looks at before it answers with what it has and a token."""
