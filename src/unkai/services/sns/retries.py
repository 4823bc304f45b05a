"""When a delivery that failed is tried again. Pure.

The four phases of a delivery policy: at once, after the smallest delay, with a growing delay, after the largest delay.
https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html

AWS draws its four backoff functions and gives no formulas. With t from 0 to 1 over the growing phase the delay is
min + (max - min) * f(t): linear f = t, arithmetic f = t^2; geometric min * (max / min)^t; exponential doubles each step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from unkai.services.sns import errors, limits

BACKOFFS = ("linear", "arithmetic", "geometric", "exponential")
DEFAULT_CONTENT_TYPE = "text/plain; charset=UTF-8"
CONTENT_TYPES = frozenset(
    {
        "text/plain; charset=UTF-8",
        "text/plain",
        "text/html",
        "text/csv",
        "text/css",
        "text/javascript",
        "text/xml",
        "application/json",
        "application/xml",
        "application/soap+xml",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/atom+xml",
        "application/xhtml+xml",
    }
)


@dataclass(frozen=True, slots=True)
class Retries:
    at_once: int
    before: int
    growing: int
    after: int
    delay_min_s: int
    delay_max_s: int
    backoff: str = "linear"

    @property
    def total(self) -> int:
        return self.at_once + self.before + self.growing + self.after


MANAGED = Retries(3, 2, 10, 100_000, 1, 20, "exponential")
"""SQS and Lambda: 100,015 retries over 23 days. Nobody can change it."""
HTTP_DEFAULTS: dict[str, Any] = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}


def delay_ms(retries: Retries, failures: int) -> int | None:
    """How long to wait after the `failures`-th failed try (1 is the first); None: no more tries."""
    assert failures > 0, "a retry follows a failure"
    at = failures - 1
    if at >= retries.total:
        return None
    if at < retries.at_once:
        return 0
    at -= retries.at_once
    if at < retries.before:
        return retries.delay_min_s * 1000
    at -= retries.before
    if at < retries.growing:
        return int(_grown_s(retries, at) * 1000)
    return retries.delay_max_s * 1000


def _grown_s(retries: Retries, at: int) -> float:
    low, high, steps = retries.delay_min_s, retries.delay_max_s, retries.growing - 1
    if steps == 0 or high == low:
        return float(low)
    t = at / steps
    if retries.backoff == "geometric":
        return low * (high / low) ** t if low else high * t
    if retries.backoff == "exponential":
        # (2^at - 1) / (2^steps - 1), written so that no power overflows a float
        f = 2.0 ** (at - steps) if at > 60 else (2.0**at - 1) / (2.0 ** min(steps, 1000) - 1)
    else:
        f = t * t if retries.backoff == "arithmetic" else t
    return low + (high - low) * min(f, 1.0)


@lru_cache(maxsize=1024)
def http_retries(policy: str) -> Retries:
    """What an effective delivery policy (JSON, or empty for the default) says of retries."""
    given = HTTP_DEFAULTS | (json.loads(policy) if policy else {})
    at_once, before, after = given["numNoDelayRetries"], given["numMinDelayRetries"], given["numMaxDelayRetries"]
    growing = given["numRetries"] - at_once - before - after
    return Retries(
        at_once, before, growing, after, given["minDelayTarget"], given["maxDelayTarget"], given["backoffFunction"]
    )


def check_topic_policy(text: str, where: str) -> None:
    """Refuse a topic's DeliveryPolicy that AWS refuses."""
    policy = _object(text, where)
    for protocol, inner in policy.items():
        if protocol != "http" or not isinstance(inner, dict):
            raise errors.invalid_parameter(f"{where}DeliveryPolicy: {str(protocol)[:64]} must be an http object")
        _check_parts(inner, where, "default")


def check_subscription_policy(text: str, where: str) -> None:
    _check_parts(_object(text, where), where, "")


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        raise errors.invalid_parameter(f"{where}DeliveryPolicy: failed to parse JSON.") from None
    if not isinstance(policy, dict):
        raise errors.invalid_parameter(f"{where}DeliveryPolicy: must be an object")
    return policy


def _named(prefix: str, name: str) -> str:
    return f"{prefix}{name[0].upper()}{name[1:]}" if prefix else name


def _check_parts(policy: dict[str, Any], where: str, prefix: str) -> None:
    known = {_named(prefix, name) for name in ("healthyRetryPolicy", "throttlePolicy", "requestPolicy")}
    known |= {"sicklyRetryPolicy", "guaranteed"} | ({"disableSubscriptionOverrides"} if prefix else set())
    for name, value in policy.items():
        if name not in known:
            raise errors.invalid_parameter(f"{where}DeliveryPolicy: Unexpected JSON member: {name[:64]}")
        if name.lower().endswith("healthyretrypolicy") and value is not None:
            _check_retries(value, where)
        elif name.lower().endswith("throttlepolicy") and value is not None:
            _check_throttle(value, where)
        elif name.lower().endswith("requestpolicy") and value is not None:
            content_type = value.get("headerContentType") if isinstance(value, dict) else None
            if content_type is not None and content_type not in CONTENT_TYPES:
                raise errors.invalid_parameter(f"{where}DeliveryPolicy: headerContentType is not supported")


def _check_throttle(value: Any, where: str) -> None:
    rate = value.get("maxReceivesPerSecond", 1) if isinstance(value, dict) else 0
    if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or rate < 1):
        raise errors.invalid_parameter(
            f"{where}DeliveryPolicy: throttlePolicy.maxReceivesPerSecond must be greater than or equal to 1"
        )


def _check_retries(given: Any, where: str) -> None:
    def refuse(what: str) -> None:
        raise errors.invalid_parameter(f"{where}DeliveryPolicy: healthyRetryPolicy.{what}")

    if not isinstance(given, dict):
        refuse("must be an object")
    for name, value in given.items():
        if name not in HTTP_DEFAULTS:
            refuse(f"{str(name)[:64]} is not known")
        if name == "backoffFunction":
            if value not in BACKOFFS:
                refuse("backoffFunction must be one of linear, arithmetic, geometric, exponential")
        elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limits.DELIVERY_TOTAL_S_MAX:
            refuse(f"{name} must be between 0 and {limits.DELIVERY_TOTAL_S_MAX}")
    merged = HTTP_DEFAULTS | given
    if not 1 <= merged["minDelayTarget"] <= merged["maxDelayTarget"]:
        refuse("minDelayTarget must be at least 1 and at most maxDelayTarget")
    if not 0 <= merged["numRetries"] <= 100:
        refuse("numRetries must be between 0 and 100")
    retries = http_retries(json.dumps(given, sort_keys=True))
    if retries.growing < 0:
        refuse("numRetries must be at least the sum of numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries")
    total_ms = sum(delay_ms(retries, failures) or 0 for failures in range(1, retries.total + 1))
    if total_ms > limits.DELIVERY_TOTAL_S_MAX * 1000:
        refuse("the total retry time must be at most 3600 seconds")


def effective_topic_policy(text: str) -> dict[str, Any]:
    """EffectiveDeliveryPolicy of a topic: what is set, over AWS's defaults."""
    http = json.loads(text).get("http", {}) if text else {}
    out: dict[str, Any] = {
        "defaultHealthyRetryPolicy": HTTP_DEFAULTS | (http.get("defaultHealthyRetryPolicy") or {}),
        "disableSubscriptionOverrides": http.get("disableSubscriptionOverrides", False),
    }
    if http.get("defaultThrottlePolicy"):
        out["defaultThrottlePolicy"] = http["defaultThrottlePolicy"]
    out["defaultRequestPolicy"] = {"headerContentType": DEFAULT_CONTENT_TYPE} | (http.get("defaultRequestPolicy") or {})
    return {"http": out}


@lru_cache(maxsize=1024)
def effective_subscription_policy(topic_text: str, text: str) -> dict[str, Any]:
    """EffectiveDeliveryPolicy of an HTTP subscription: its own, over the topic's, unless that forbids overrides."""
    topic = effective_topic_policy(topic_text)["http"]
    own = json.loads(text) if text and not topic["disableSubscriptionOverrides"] else {}
    out: dict[str, Any] = {
        "healthyRetryPolicy": (HTTP_DEFAULTS | own["healthyRetryPolicy"])
        if own.get("healthyRetryPolicy")
        else topic["defaultHealthyRetryPolicy"],
        "sicklyRetryPolicy": None,
        "throttlePolicy": own.get("throttlePolicy") or topic.get("defaultThrottlePolicy"),
        "requestPolicy": topic["defaultRequestPolicy"] | (own.get("requestPolicy") or {}),
        "guaranteed": False,
    }
    return out
