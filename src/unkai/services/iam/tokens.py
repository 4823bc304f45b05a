"""Session tokens: what temporary credentials mean, sealed, so that no session needs a row in the store.

A token is base64 of a version byte, a 12-byte nonce and AES-256-GCM of the session's claims (msgpack, deflated). The access
key id is the associated data, so a token opens with its own access key only, and whoever changes a bit of it has no token at
all (NIST SP 800-38D). The secret access key is derived from the access key id with HMAC-SHA256 under a second key; the token
does not hold it.
"""

from __future__ import annotations

import binascii
import hmac
import zlib
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unkai.kernel.caller import Caller

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx

SEAL_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
TOKEN_SIZE_CHARS_MAX = 8192
CLAIMS_SIZE_BYTES_MAX = 65_536
_VERSION = b"\x01"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Caller).decode


@lru_cache(maxsize=8)
def _cipher(seal: bytes, purpose: bytes) -> AESGCM:
    return AESGCM(hmac.digest(seal, purpose, "sha256"))


def seal_bytes(ctx: Ctx, seal: bytes, purpose: bytes, plain: bytes) -> str:
    """`plain`, unreadable and unchangeable, as text. `purpose` is not secret; opening needs the same one."""
    assert len(seal) == SEAL_SIZE_BYTES
    nonce = ctx.ids.token(NONCE_SIZE_BYTES)
    return b64encode(_VERSION + nonce + _cipher(seal, b"seal").encrypt(nonce, zlib.compress(plain), purpose)).decode()


def open_bytes(seal: bytes, purpose: bytes, text: str) -> bytes | None:
    """What `seal_bytes` sealed for the same purpose, or None."""
    if len(text) > TOKEN_SIZE_CHARS_MAX:
        return None
    try:
        raw = b64decode(text, validate=True)
        # One text for one token: the loose bits at base64's end may not vary.
        if raw[:1] != _VERSION or len(raw) <= NONCE_SIZE_BYTES or b64encode(raw).decode() != text:
            return None
        nonce, sealed = raw[1 : 1 + NONCE_SIZE_BYTES], raw[1 + NONCE_SIZE_BYTES :]
        packed = _cipher(seal, b"seal").decrypt(nonce, sealed, purpose)
        return zlib.decompressobj().decompress(packed, CLAIMS_SIZE_BYTES_MAX)
    except (binascii.Error, ValueError, InvalidTag, zlib.error):
        return None


def _purpose(access_key_id: str) -> bytes:
    return b"session:" + access_key_id.encode()


def seal_session(ctx: Ctx, seal: bytes, caller: Caller) -> str:
    """The session token for `caller`, which has a session and the temporary access key that it is bound to."""
    assert caller.session is not None
    assert caller.access_key_id.startswith("ASIA")
    return seal_bytes(ctx, seal, _purpose(caller.access_key_id), _encode(caller))


def open_session(seal: bytes, access_key_id: str, token: str) -> Caller | None:
    """The principal that the token was made for, or None where it was not made here, or for another access key."""
    claims = open_bytes(seal, _purpose(access_key_id), token)
    if claims is None:
        return None
    caller = _decode(claims)
    assert caller.session is not None
    assert caller.access_key_id == access_key_id
    return caller


def secret_of(seal: bytes, access_key_id: str) -> str:
    """The secret access key of temporary credentials: 40 characters, as AWS's."""
    key = hmac.digest(seal, b"secret", "sha256")
    return b64encode(hmac.digest(key, access_key_id.encode(), "sha256")[:30]).decode()
