"""How clients name functions, and how that becomes an account, a region, a name and a qualifier. Pure.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (FunctionName: name, partial ARN, ARN, each with a qualifier)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unkai.kernel.arn import Arn
from unkai.services.lambda_ import errors

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx

LATEST = "$LATEST"


class NotAName(KeyError):
    """The text names no function. A KeyError, since validation by the model words that better (calls/execute)."""


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """`qualifier` is empty where none was given: it means $LATEST, but shows in no ARN."""

    account: str
    region: str
    name: str
    qualifier: str = ""

    @property
    def arn(self) -> str:
        return str(Arn("lambda", self.region, self.account, f"function:{self.name}"))

    @property
    def qualified_arn(self) -> str:
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn


def parse(text: str, account: str, region: str) -> FunctionRef:
    """Raises NotAName."""
    parts = text.split(":")
    if parts[0] == "arn" and len(parts) > 3:
        if len(parts) not in (7, 8) or parts[2] != "lambda" or parts[5] != "function" or not is_account(parts[4]):
            raise NotAName("FunctionName")
        account, region, rest = parts[4], parts[3], parts[6:]
    elif len(parts) > 2 and parts[1] == "function":
        if not is_account(parts[0]):
            raise NotAName("FunctionName")
        account, rest = parts[0], parts[2:]
    elif len(parts) > 1 and parts[0] == "function":
        rest = parts[1:]
    else:
        rest = parts
    if not 1 <= len(rest) <= 2 or not all(rest) or not _is_name(rest[0]) or not region:
        raise NotAName("FunctionName")
    return FunctionRef(account, region, rest[0], rest[1] if len(rest) == 2 else "")


def is_account(text: str) -> bool:
    return len(text) == 12 and text.isascii() and text.isdigit()


def is_version(qualifier: str) -> bool:
    return qualifier.isascii() and qualifier.isdigit()


def _is_name(text: str) -> bool:
    return text.isascii() and len(text) <= 140 and text.replace("-", "a").replace("_", "a").isalnum()


def ref_of(ctx: Ctx, inp: dict[str, Any], member: str = "FunctionName") -> FunctionRef:
    """The function that an input names, with the qualifier of its name or of its `Qualifier`."""
    ref = parse(inp[member], ctx.account, ctx.region)
    given = inp.get("Qualifier", "")
    if given and ref.qualifier and given != ref.qualifier:
        raise errors.invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return FunctionRef(ref.account, ref.region, ref.name, given or ref.qualifier)
