"""Cross-origin rules: kept, and applied to preflights and to the answers of requests that carry an Origin.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.s3 import buckets, errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx, Tx

SETTING = "cors"
METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})
RULES_MAX = 100
_VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


async def put_bucket_cors(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    rules = inp["CORSConfiguration"].get("CORSRules", [])
    if not 0 < len(rules) <= RULES_MAX:
        raise errors.malformed_xml()
    for rule in rules:
        for method in rule["AllowedMethods"]:
            if method not in METHODS:
                raise errors.invalid_request(
                    f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:64]}"
                )
        for each in (*rule["AllowedOrigins"], *rule.get("AllowedHeaders", ())):
            if each.count("*") > 1:
                raise errors.invalid_request(f'AllowedOrigin "{each[:256]}" can not have more than one wildcard.')
    buckets.write_setting(tx, bucket, SETTING, {"CORSRules": rules})
    return {}


async def get_bucket_cors(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    bucket = await buckets.load(ctx, tx, inp)
    configuration = await buckets.read_setting(tx, bucket, SETTING)
    if configuration is None:
        raise errors.absent("NoSuchCORSConfiguration", "The CORS configuration does not exist", bucket.name)
    return dict(configuration)


async def delete_bucket_cors(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> dict[str, Any]:
    buckets.clear_setting(tx, await buckets.load(ctx, tx, inp), SETTING)
    return {}


def _like(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def headers_of(
    rules: Sequence[dict[str, Any]], origin: str, method: str, asked: Sequence[str]
) -> list[tuple[str, str]] | None:
    """The response headers of the first rule that allows `origin` to use `method` with the headers `asked`; None: none does."""
    for rule in rules:
        if method not in rule["AllowedMethods"] or not any(_like(each, origin) for each in rule["AllowedOrigins"]):
            continue
        allowed = [each.lower() for each in rule.get("AllowedHeaders", ())]
        if not all(any(_like(pattern, name.lower()) for pattern in allowed) for name in asked):
            continue
        everybody = "*" in rule["AllowedOrigins"]
        out = [
            ("Access-Control-Allow-Origin", "*" if everybody else origin),
            ("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])),
        ]
        if asked:
            out.append(("Access-Control-Allow-Headers", ", ".join(name.lower() for name in asked)))
        if rule.get("ExposeHeaders"):
            out.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
        if "MaxAgeSeconds" in rule:
            out.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
        if not everybody:
            out.append(("Access-Control-Allow-Credentials", "true"))
        return [*out, _VARY]
    return None


async def cross_origin(
    tx: ReadTx, bucket_name: str, origin: str, method: str, asked: Sequence[str]
) -> list[tuple[str, str]] | None:
    """The same by the bucket's rules. An answer to a request with an Origin carries them; a preflight consists of them."""
    bucket = await buckets.find(tx, bucket_name)
    if bucket is None:
        return None
    configuration = await buckets.read_setting(tx, bucket, SETTING)
    return headers_of(configuration["CORSRules"], origin, method, asked) if configuration else None
