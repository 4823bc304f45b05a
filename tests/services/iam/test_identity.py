"""What the front door asks of IAM with every call."""

from __future__ import annotations

import pytest

from tests.services.iam.driver import ACCOUNT, ROOT, ROOT_KEY, ROOT_SECRET, Node
from unkai.kernel.errors import AwsError
from unkai.services.iam import identity


# The first start makes root's key; every later start finds it. A bootstrap that is repeated must change nothing.
def test_bootstrap_is_idempotent(local: Node) -> None:
    found = local.credential(ROOT_KEY)
    assert (found.caller, found.secret, found.expires_ms) == (ROOT, ROOT_SECRET, None)
    before = local.look(lambda tx: tx.get(identity.generation_key(ACCOUNT)))
    seal = local.look(identity.load_seal)
    local.step(identity.bootstrap, {"account": ACCOUNT, "access_key_id": ROOT_KEY, "secret": ROOT_SECRET})
    assert local.look(lambda tx: tx.get(identity.generation_key(ACCOUNT))) == before
    assert local.look(identity.load_seal) == seal


# Credentials from the environment may change between starts. The old ones must stop working with the same commit.
def test_bootstrap_replaces_roots_key(local: Node) -> None:
    local.step(identity.bootstrap, {"account": ACCOUNT, "access_key_id": "test", "secret": "test"})
    assert local.credential(ROOT_KEY) is None
    assert local.credential("test").caller.type == "Root"


# Unknown keys are told apart from bad tokens, since S3 words them differently.
def test_unknown_keys_and_tokens_that_do_not_belong(local: Node) -> None:
    assert local.credential("AKIANOBODYNOBODYNOBO") is None
    assert local.credential("ASIANOBODYNOBODYNOBO") is None
    assert local.credential("A" * 4096) is None
    for key in (ROOT_KEY, "ASIANOBODYNOBODYNOBO"):
        with pytest.raises(AwsError) as refused:
            local.credential(key, "Zm9v")
        assert refused.value.code == "InvalidToken"
