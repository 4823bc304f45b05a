"""Numbers and character sets of SQS.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-fifo.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import re
import string

QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
NAME_MAX = 80
MESSAGE_SIZE_BYTES_MAX = 1024 * 1024
RECEIVE_MAX = 10
WAIT_S_MAX = 20
DELAY_S_MAX = 900
VISIBILITY_S_MAX = 43_200
IN_FLIGHT_MAX = 120_000
PURGE_INTERVAL_MS = 60_000
LIST_MAX = 1000
TAGS_MAX = 50
TAG_KEY_MAX = 128
TAG_VALUE_MAX = 256

BATCH_MAX = 10
BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")

ATTRIBUTES_MAX = 10
ATTRIBUTE_NAME_MAX = 256
ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
ATTRIBUTE_TYPE_MAX = 256

# A group or deduplication id: 1 to 128 letters, digits and punctuation.
FIFO_ID = re.compile(f"[A-Za-z0-9{re.escape(string.punctuation)}]{{1,128}}")
DEDUPLICATION_MS = 300_000
ATTEMPT_MS = 300_000

MOVE_RATE_MAX = 500
MOVE_MS_MAX = 36 * 3600 * 1000
MOVE_TASKS_LISTED_MAX = 10
POLICY_ACTIONS_MAX = 7
RECEIVE_COUNT_MAX = 1000
REDRIVE_SOURCES_MAX = 10

# XML 1.0 characters: what a message may consist of. https://www.w3.org/TR/REC-xml/#charsets
FORBIDDEN_CHARACTERS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
