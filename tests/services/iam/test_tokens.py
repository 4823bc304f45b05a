"""Session tokens are bearer secrets: these tests attack the seal itself."""

from __future__ import annotations

from base64 import b64decode, b64encode

from hypothesis import given
from hypothesis import strategies as st

from tests.services.iam.driver import ACCOUNT, SECRET
from unkai.kernel.caller import Caller, Session, anonymous
from unkai.kernel.ctx import Ctx
from unkai.kernel.ids import Ids
from unkai.services.iam import tokens

SEAL = bytes(range(32))
KEY = "ASIAABCDEFGHIJKLMNOP"
CTX = Ctx(anonymous(), ACCOUNT, "us-east-1", "r", 0, Ids(SECRET, "r"))
CALLER = Caller(
    "AssumedRole",
    ACCOUNT,
    f"arn:aws:iam::{ACCOUNT}:role/r",
    "AROAEXAMPLE:s",
    KEY,
    Session("s", 1, 2, ('{"Version":"2012-10-17"}',), {"team": "a"}, "me", False, "", ("team",)),
    f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s",
)
TOKEN = tokens.seal_session(CTX, SEAL, CALLER)


# A token must give back exactly the session that was sealed, or rights would change on the way.
def test_opens_to_what_was_sealed() -> None:
    assert tokens.open_session(SEAL, KEY, TOKEN) == CALLER


# Whoever holds a token may try to change the role or the expiry in it. Any flipped bit must give no session.
@given(st.integers(0, len(b64decode(TOKEN)) * 8 - 1))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    raw = bytearray(b64decode(TOKEN))
    raw[bit // 8] ^= 1 << bit % 8
    assert tokens.open_session(SEAL, KEY, b64encode(raw).decode()) is None


# Cut, extended, random and over-long texts come from clients too; none may raise.
@given(
    st.one_of(
        st.text(), st.integers(0, len(TOKEN) - 1).map(lambda n: TOKEN[:n]), st.text(min_size=1).map(TOKEN.__add__)
    )
)
def test_any_other_text_is_refused(text: str) -> None:
    assert tokens.open_session(SEAL, KEY, text) is None
    assert tokens.open_session(SEAL, KEY, text * 2000) is None or not text


# A token works with its own access key only, and only where the same seal is: not on another local.
def test_bound_to_its_access_key_and_node() -> None:
    assert tokens.open_session(SEAL, "ASIAABCDEFGHIJKLMNOQ", TOKEN) is None
    assert tokens.open_session(bytes(32), KEY, TOKEN) is None
    assert tokens.secret_of(SEAL, KEY) != tokens.secret_of(bytes(32), KEY)
    assert len(tokens.secret_of(SEAL, KEY)) == 40


# A sealed authorization message must not be accepted as a session, nor the other way round.
def test_purposes_do_not_mix() -> None:
    assert tokens.open_bytes(SEAL, b"message", TOKEN) is None
    message = tokens.seal_bytes(CTX, SEAL, b"message", b"plain")
    assert tokens.open_bytes(SEAL, b"message", message) == b"plain"
    assert tokens.open_session(SEAL, KEY, message) is None
