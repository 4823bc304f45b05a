"""The server's TLS context: from given files, or from a self-signed certificate that is made once in the data directory."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_VALID_DAYS = 820  # clients refuse self-signed certificates that are valid for more than 825 days
_RENEW_DAYS = 30


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/2 and HTTP/1.1 by ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Compression leaks secrets and renegotiation costs the server more than the client; RFC 9113 section 9.2 forbids both.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def self_signed_context(directory: Path, now_ms: int) -> ssl.SSLContext:
    """The context of the certificate in `directory`, made (or renewed shortly before it ends) where it lacks."""
    pem = directory / "tls.pem"
    if not pem.exists() or _ends_ms(pem.read_bytes()) - now_ms < _RENEW_DAYS * 86_400_000:
        _write_private(pem, _self_signed_pem(now_ms))
    return server_context(pem, pem)


def _ends_ms(pem: bytes) -> int:
    return int(x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp() * 1000)


def _write_private(path: Path, data: bytes) -> None:
    """Key and certificate are one file, renamed into place: no process ever reads a pair that does not match."""
    born = path.with_suffix(f".{os.getpid()}.new")
    fd = os.open(born, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(born, path)


def _self_signed_pem(now_ms: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unkai")])
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.DNSName("*.localhost"),
        # OpenSSL matches a wildcard only above two labels, so virtual-hosted buckets need this one.
        x509.DNSName("*.s3.localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # A certificate authority of itself, so that it can be put into a trust store as it is.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
