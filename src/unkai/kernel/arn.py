"""Amazon Resource Names. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"""

from __future__ import annotations

import msgspec

PARTITION = "aws"


class Arn(msgspec.Struct, frozen=True):
    """`arn:partition:service:region:account:resource`; region and account may be empty."""

    service: str
    region: str
    account: str
    resource: str
    partition: str = PARTITION

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @staticmethod
    def parse(text: str) -> Arn | None:
        """The parts of an ARN, or None where `text` is not one."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
            return None
        return Arn(parts[2], parts[3], parts[4], parts[5], parts[1])
