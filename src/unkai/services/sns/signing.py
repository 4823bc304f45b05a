"""The node's signature on messages: an RSA key and a certificate, made once and kept in the store.

SignatureVersion 1 is SHA1withRSA, 2 is SHA256withRSA; both PKCS #1 v1.5, over the canonical string.
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html

AWS's certificate names sns.amazonaws.com and chains to a public authority; ours names unkai and signs itself.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from unkai.services.sns import keys, rows

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.kernel.ports import Node
    from unkai.services.sns.rows import SigningKeyRow
    from unkai.store.api import Tx

KEY_BITS = 2048
VALID_DAYS = 3650
PATH_PREFIX = "/SimpleNotificationService-"

# One RSA signature takes 0.2 ms without the interpreter's lock, so it goes to a thread and the loop does other work meanwhile.
_threads = ThreadPoolExecutor(1, thread_name_prefix="sns-sign")


async def signing_key(ctx: Ctx, node: Node) -> SigningKeyRow:
    """The node's key; made where there is none. If the process dies in between, the next one makes another: none was used."""
    stored: bytes | None = await node.run(ctx, read_signing_key, {})
    if stored is None:
        made = await asyncio.to_thread(_make, node.clock.real_ms())
        stored = await node.run(ctx, keep_signing_key, {"Row": rows.encode(made)})
    assert stored is not None
    return _decoded(stored)


@lru_cache(maxsize=8)
def _decoded(stored: bytes) -> SigningKeyRow:
    return rows.decode_signing_key(stored)


async def read_signing_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bytes | None:
    return await tx.peek(keys.SIGNING_KEY)


async def keep_signing_key(ctx: Ctx, tx: Tx, inp: dict[str, Any]) -> bytes:
    """The key that the node has from now on: the first one that anybody made."""
    existing = await tx.get(keys.SIGNING_KEY)
    if existing is not None:
        return existing
    row: bytes = inp["Row"]
    tx.set(keys.SIGNING_KEY, row)
    return row


def _make(now_ms: int) -> SigningKeyRow:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com unkai node")])
    begin = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return rows.SigningKeyRow(private, certificate, hashlib.sha256(certificate).hexdigest()[:32])


@lru_cache(maxsize=8)
def _loaded(private_key: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(private_key, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _sign(private_key: bytes, version: str, data: bytes) -> str:
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    return base64.b64encode(_loaded(private_key).sign(data, padding.PKCS1v15(), algorithm)).decode()


async def sign(key: SigningKeyRow, version: str, data: bytes) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _sign, key.private_key, version, data)


def certificate_url(base_url: str, key: SigningKeyRow) -> str:
    return f"{base_url}{PATH_PREFIX}{key.name}.pem"
