"""Server-side encryption: SSE-S3 is recorded, SSE-C really encrypts. A customer's key is never stored.

AES-256 in counter mode, so that any range can be read without the bytes before it. Each body has its own random nonce of 8
bytes; the other 8 count blocks. What is kept of a key is its MD5, which clients show and are shown, and a salted hash by which
it is recognised. https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from unkai.services.s3 import errors
from unkai.services.s3.rows import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unkai.kernel.ctx import Ctx

NONCE_SIZE_BYTES = 8
BLOCK_SIZE_BYTES = 16
KEY_SIZE_BYTES = 32
SECRETS = ("SSECustomerKey", "CopySourceSSECustomerKey")


def customer_key(inp: Mapping[str, Any], prefix: str = "") -> bytes | None:
    """The key that came with the request, checked against its MD5; None where there is none."""
    algorithm = inp.get(f"{prefix}SSECustomerAlgorithm")
    text, md5 = inp.get(f"{prefix}SSECustomerKey"), inp.get(f"{prefix}SSECustomerKeyMD5")
    if algorithm is None and text is None and md5 is None:
        return None
    if algorithm is None:
        raise errors.invalid_argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.",
            "x-amz-server-side-encryption",
            "null",
        )
    if algorithm != "AES256":
        raise errors.invalid_argument(
            "The encryption algorithm specified is not valid.", "x-amz-server-side-encryption", algorithm
        )
    if text is None:
        raise errors.invalid_argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.",
            "x-amz-server-side-encryption",
            "null",
        )
    if md5 is None:
        raise errors.invalid_argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 "
            "of the secret key.",
            "x-amz-server-side-encryption",
            "null",
        )
    key = _decoded(text)
    if len(key) != KEY_SIZE_BYTES:
        raise errors.invalid_argument(
            "The secret key was invalid for the specified algorithm.", "x-amz-server-side-encryption", "null"
        )
    if not hmac.compare_digest(hashlib.md5(key, usedforsecurity=False).digest(), _decoded(md5)):
        raise errors.invalid_argument(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
            "x-amz-server-side-encryption",
            "null",
        )
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def remembered(ctx: Ctx, key: bytes) -> Key:
    """What is stored of a key."""
    salt = ctx.ids.token(16)
    md5 = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    return Key(md5, salt, hmac.digest(salt, key, "sha256"))


def check_key(stored: Key | None, given: bytes | None) -> None:
    """Refuse a read or a further part without the key that was used, or with another."""
    if stored is None:
        if given is not None:
            raise errors.invalid_request("The encryption parameters are not applicable to this object.")
        return
    if given is None:
        raise errors.invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to "
            "retrieve the object."
        )
    if not is_key(stored, given):
        raise errors.access_denied()


def is_key(stored: Key, given: bytes) -> bool:
    return hmac.compare_digest(stored.hash, hmac.digest(stored.salt, given, "sha256"))


def check_sse(inp: Mapping[str, Any]) -> str:
    """The server-side encryption that the object is recorded with. Keys of KMS need KMS."""
    asked = inp.get("ServerSideEncryption", "AES256")
    if asked != "AES256":
        raise errors.lacking(f"server-side encryption {asked}")
    if "SSEKMSKeyId" in inp:
        raise errors.invalid_argument(
            "Server Side Encryption with KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
            "x-amz-server-side-encryption",
            asked,
        )
    if "SSECustomerAlgorithm" in inp and "ServerSideEncryption" in inp:
        raise errors.invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
            "x-amz-server-side-encryption",
            asked,
        )
    return str(asked)


def cipher(key: bytes, nonce: bytes, offset: int = 0) -> Callable[[bytes], bytes]:
    """Encrypts or decrypts (it is the same) successive pieces, the first of which begins at `offset`."""
    assert len(nonce) == NONCE_SIZE_BYTES, "a nonce leaves room for the counter"
    counter = nonce + (offset // BLOCK_SIZE_BYTES).to_bytes(BLOCK_SIZE_BYTES - NONCE_SIZE_BYTES, "big")
    context = Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()
    context.update(bytes(offset % BLOCK_SIZE_BYTES))
    return context.update


def shown(sse: str, key: Key | None) -> dict[str, Any]:
    """Output members that tell how an object is encrypted."""
    if key is not None:
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": key.md5}
    return {"ServerSideEncryption": sse} if sse else {}
