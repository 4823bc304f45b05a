"""Numbers and character sets of SQS.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import re

QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
MESSAGE_SIZE_BYTES_MAX = 1024 * 1024
RECEIVE_MAX = 10
WAIT_S_MAX = 20
DELAY_S_MAX = 900
VISIBILITY_S_MAX = 43_200
IN_FLIGHT_MAX = 120_000
PURGE_INTERVAL_MS = 60_000
LIST_MAX = 1000

# XML 1.0 characters: what a message may consist of. https://www.w3.org/TR/REC-xml/#charsets
FORBIDDEN_CHARACTERS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

DEFAULTS = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": str(MESSAGE_SIZE_BYTES_MAX),
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}

NUMBER_RANGES = {
    "VisibilityTimeout": (0, VISIBILITY_S_MAX),
    "MaximumMessageSize": (1024, MESSAGE_SIZE_BYTES_MAX),
    "MessageRetentionPeriod": (60, 1_209_600),
    "DelaySeconds": (0, DELAY_S_MAX),
    "ReceiveMessageWaitTimeSeconds": (0, WAIT_S_MAX),
}
BOOLEANS = frozenset({"SqsManagedSseEnabled"})
