"""Numbers of Lambda.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""

from __future__ import annotations

MEMORY_MB_MAX = 10_240
TIMEOUT_S_MAX = 900
STORAGE_MB_MAX = 10_240
ENVIRONMENT_SIZE_BYTES_MAX = 4096
LAYERS_MAX = 5
ZIP_DIRECT_SIZE_BYTES_MAX = 50 * 1024 * 1024
REQUEST_SIZE_BYTES_MAX = 70_167_211
"""The number that AWS names where a zip is too large to be sent directly."""
UNZIPPED_SIZE_BYTES_MAX = 262_144_000
ZIP_ENTRIES_MAX = 100_000
CODE_STORAGE_BYTES = 80_530_636_800
POLICY_SIZE_BYTES_MAX = 20_480

CONCURRENCY = 1000
UNRESERVED_CONCURRENCY_MIN = 100

PAYLOAD_SIZE_BYTES_MAX = 6_291_456
EVENT_SIZE_BYTES_MAX = 1_048_576
"""An asynchronous payload; it was 256 KB until October 2025."""
RETRY_ATTEMPTS = 2
RETRY_DELAYS_MS = (60_000, 120_000)
EVENT_AGE_S_MAX = 21_600
THROTTLE_DELAY_MS_MIN = 1000
THROTTLE_DELAY_MS_MAX = 300_000

CODE_URL_MS = 600_000
SESSION_S = 3600
SESSION_LEFT_MS_MIN = 1_200_000
"""What must be left of a role's session for an invocation: more than the longest function runs."""

DEFAULT_HANDLER = "lambda_function.lambda_handler"
DEFAULT_MEMORY_MB = 128
DEFAULT_TIMEOUT_S = 3
DEFAULT_STORAGE_MB = 512

LIST_MAX = 50

SQS_BATCH_MAX = 10_000
SQS_BATCH_UNWINDOWED_MAX = 10
SQS_BATCH_DEFAULT = 10
WINDOW_S_MAX = 300

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    }
)
