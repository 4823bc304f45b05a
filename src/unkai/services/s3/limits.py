"""Numbers and character sets of S3.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html (multipart)
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from __future__ import annotations

import re

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_NAME_IS_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
BUCKET_PREFIXES_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")
BUCKET_SUFFIXES_RESERVED = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
REGION = re.compile(r"[a-z]{2}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}")

KEY_SIZE_BYTES_MAX = 1024
METADATA_SIZE_BYTES_MAX = 2048
IN_ROW_SIZE_BYTES_MAX = 2048
"""Objects up to this size lie in their row: one read gives all. Larger ones would make listings read too much."""
PUT_SIZE_BYTES_MAX = 5 * 1024**3
PART_SIZE_BYTES_MIN = 5 * 1024**2
PART_NUMBER_MAX = 10_000
PAGE_MAX = 1000
DELETE_MAX = 1000
TAGS_PER_OBJECT_MAX = 10
TAGS_PER_BUCKET_MAX = 50
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256
TAG_CHARACTERS = re.compile(r"[\w\s+\-=.:/@]*")
POLICY_SIZE_BYTES_MAX = 20 * 1024
RULES_MAX = 1000
CONFIGURATIONS_MAX = 1000
