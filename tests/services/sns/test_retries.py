"""When deliveries are tried again: AWS's table for queues and functions, and delivery policies of HTTP endpoints."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkai.kernel.errors import AwsError
from unkai.services.sns import retries
from unkai.services.sns.retries import MANAGED, Retries, delay_ms


# https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html: 3 at once, 2 a second apart, 10 growing from 1 to
# 20 s, 100,000 every 20 s; 100,015 over 23 days.
def test_queues_and_functions() -> None:
    delays = [delay_ms(MANAGED, failures) for failures in range(1, 100_016)]
    assert delays[:5] == [0, 0, 0, 1000, 1000]
    growing = [delay or 0 for delay in delays[5:15]]
    assert growing == sorted(growing)
    assert (growing[0], growing[-1]) == (1000, 20_000)
    assert set(delays[15:]) == {20_000}
    assert delay_ms(MANAGED, 100_016) is None
    assert sum(delay or 0 for delay in delays) // (24 * 3600 * 1000) == 23


# By default an HTTP endpoint is tried three more times, 20 seconds apart.
def test_http_default() -> None:
    policy = retries.http_retries("")
    assert [delay_ms(policy, failures) for failures in range(1, 5)] == [20_000, 20_000, 20_000, None]


# All functions begin at the minimum, end at the maximum, and never fall; linear lies above arithmetic above exponential.
@given(st.integers(1, 3600), st.integers(0, 3600), st.integers(2, 2000))
def test_backoff_functions(low: int, more: int, steps: int) -> None:
    by_name = {
        name: [delay_ms(Retries(0, 0, steps, 0, low, low + more, name), n) or 0 for n in range(1, steps + 1)]
        for name in retries.BACKOFFS
    }
    for delays in by_name.values():
        assert delays == sorted(delays)
        assert delays[0] == low * 1000
        assert abs(delays[-1] - (low + more) * 1000) <= 1
    for linear, arithmetic in zip(by_name["linear"], by_name["arithmetic"], strict=True):
        assert linear >= arithmetic


@pytest.mark.parametrize(
    "policy",
    [
        {"minDelayTarget": 0},
        {"minDelayTarget": 30},
        {"maxDelayTarget": 3601},
        {"numRetries": 101},
        {"numRetries": -1},
        {"numRetries": 2, "numNoDelayRetries": 3},
        {"backoffFunction": "random"},
        {"numRetries": True},
        {"nonsense": 1},
        {"numRetries": 100, "maxDelayTarget": 3600, "numMaxDelayRetries": 90},
    ],
)
def test_refused_policies(policy: dict[str, object]) -> None:
    with pytest.raises(AwsError, match="healthyRetryPolicy"):
        retries.check_subscription_policy(json.dumps({"healthyRetryPolicy": policy}), "")


# A subscription's policy goes before its topic's, unless the topic forbids it.
def test_effective_policy() -> None:
    topic = json.dumps({"http": {"defaultHealthyRetryPolicy": {"numRetries": 7}}})
    own = json.dumps({"healthyRetryPolicy": {"numRetries": 9}})
    assert retries.effective_subscription_policy(topic, "")["healthyRetryPolicy"]["numRetries"] == 7
    assert retries.effective_subscription_policy(topic, own)["healthyRetryPolicy"]["numRetries"] == 9
    strict = json.dumps(
        {"http": {"defaultHealthyRetryPolicy": {"numRetries": 7}, "disableSubscriptionOverrides": True}}
    )
    assert retries.effective_subscription_policy(strict, own)["healthyRetryPolicy"]["numRetries"] == 7
