"""Numbers and character sets of SNS.

https://docs.aws.amazon.com/general/latest/gr/sns.html
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
"""

from __future__ import annotations

import re

TOPIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,251}\.fifo")
MESSAGE_SIZE_BYTES_DEFAULT = 262_144
MESSAGE_SIZE_BYTES_MAX = 1_048_576
LARGE_MESSAGE_SUBSCRIPTIONS_MAX = 100
SUBJECT_CHARS_MAX = 100
BATCH_ENTRIES_MAX = 10
BATCH_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]+")
BATCH_ENTRY_ID_CHARS_MAX = 80
FIFO_TOKEN = re.compile(r"[!-~]{1,128}")
"""MessageGroupId and MessageDeduplicationId."""
FIFO_SUBSCRIPTIONS_MAX = 100
TAGS_MAX = 50
LIST_PAGE = 100
ENDPOINT_CHARS_MAX = 2048
POLICY_SIZE_BYTES_MAX = 30_720
POLICY_STATEMENTS_MAX = 100
DEDUPLICATION_MS = 5 * 60 * 1000
CONFIRMATION_MS = 48 * 3600 * 1000
"""How long a confirmation token is valid; what is not confirmed by then is removed."""

ATTRIBUTE_NAME_CHARS_MAX = 256
ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,128}(?:\.[0-9]{0,128})?|\.[0-9]{1,128})(?:[eE][+-]?[0-9]{1,3})?")

FILTER_SIZE_BYTES_MAX = 262_144
FILTER_KEYS_MAX = 5
FILTER_COMBINATIONS_MAX = 150
FILTER_DEPTH_MAX = 32
FILTER_NUMBER_MAX = 1_000_000_000
FILTER_WILDCARDS_MAX = 3
FILTER_WILDCARD_POINTS_MAX = 100

DELIVERY_TOTAL_S_MAX = 3600
OUTBOUND_TIMEOUT_S = 15.0
