"""What the front door asks of IAM with every call."""

from __future__ import annotations

import pytest
from iam_driver import ACCOUNT, ROOT, ROOT_KEY, ROOT_SECRET, Node

from unkai.kernel.errors import AwsError
from unkai.services.iam import identity


# The first start makes root's key; every later start finds it. A bootstrap that is repeated must change nothing.
def test_bootstrap_is_idempotent(node: Node) -> None:
    found = node.credential(ROOT_KEY)
    assert (found.caller, found.secret, found.expires_ms) == (ROOT, ROOT_SECRET, None)
    before = node.look(lambda tx: tx.get(identity.generation_key(ACCOUNT)))
    seal = node.look(identity.load_seal)
    node.step(identity.bootstrap, {"account": ACCOUNT, "access_key_id": ROOT_KEY, "secret": ROOT_SECRET})
    assert node.look(lambda tx: tx.get(identity.generation_key(ACCOUNT))) == before
    assert node.look(identity.load_seal) == seal


# Credentials from the environment may change between starts. The old ones must stop working with the same commit.
def test_bootstrap_replaces_roots_key(node: Node) -> None:
    node.step(identity.bootstrap, {"account": ACCOUNT, "access_key_id": "test", "secret": "test"})
    assert node.credential(ROOT_KEY) is None
    assert node.credential("test").caller.type == "Root"


# Unknown keys are told apart from bad tokens, since S3 words them differently.
def test_unknown_keys_and_tokens_that_do_not_belong(node: Node) -> None:
    assert node.credential("AKIANOBODYNOBODYNOBO") is None
    assert node.credential("ASIANOBODYNOBODYNOBO") is None
    assert node.credential("A" * 4096) is None
    for key in (ROOT_KEY, "ASIANOBODYNOBODYNOBO"):
        with pytest.raises(AwsError) as refused:
            node.credential(key, "Zm9v")
        assert refused.value.code == "InvalidToken"
