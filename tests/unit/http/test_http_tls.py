"""TLS: a certificate made once and kept private, HTTP/2 by ALPN, HTTP/1.1 otherwise."""

from __future__ import annotations

import contextlib
import ssl
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from http_front import Front, connect, read_response
from test_http2 import FIELDS, Client

from unkai.edge.http import Limits
from unkai.edge.http.tls import self_signed_context
from unkai.kernel.clock import RealClock

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_900_000_000_000
DAY_MS = 86_400_000


def trusting(directory: Path, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "tls.pem"))
    context.set_alpn_protocols(list(protocols))
    return context


def secure(address: tuple[str, int], context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    return context.wrap_socket(connect(address), server_hostname=name)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def address(front: Front, directory: Path) -> tuple[str, int]:
    return front.start(tls=self_signed_context(directory, RealClock().real_ms()))


@pytest.mark.parametrize("name", ["localhost", "bucket.s3.localhost", "127.0.0.1", "::1"])
def test_http11_over_tls(front: Front, address: tuple[str, int], directory: Path, name: str) -> None:
    with secure(address, trusting(directory, "http/1.1"), name) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
        assert len(read_response(sock)[2]) == 300_003
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert read_response(sock)[1]["connection"] == "close"
        assert sock.recv(1) == b""
    assert front.seen[0].scheme == "https"


def test_http2_by_alpn(front: Front, address: tuple[str, int], directory: Path) -> None:
    with secure(address, trusting(directory, "h2", "http/1.1")) as sock:
        assert sock.selected_alpn_protocol() == "h2"
        client = Client(sock)
        stream_id = client.ask(FIELDS)
        assert client.responses(stream_id)[stream_id][1] == b"/a "
    assert front.seen[0].scheme == "https"


def test_plain_text_on_the_tls_port_harms_nobody(front: Front, address: tuple[str, int], directory: Path) -> None:
    with connect(address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            sock.recv(100)
    with secure(address, trusting(directory, "http/1.1")) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_response(sock)[2] == b"/a "


def test_tls_12_is_the_oldest(address: tuple[str, int], directory: Path) -> None:
    context = trusting(directory)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with secure(address, context) as sock:
        assert sock.version() == "TLSv1.2"
    assert self_signed_context(directory, NOW_MS).minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificate_is_made_once_kept_private_and_renewed(directory: Path) -> None:
    pem = directory / "tls.pem"
    self_signed_context(directory, NOW_MS)
    first = pem.read_bytes()
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    assert list(directory.iterdir()) == [pem]
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.localhost", "*.s3.localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    self_signed_context(directory, NOW_MS + 700 * DAY_MS)
    assert pem.read_bytes() == first
    self_signed_context(directory, NOW_MS + 800 * DAY_MS)
    assert pem.read_bytes() != first


def test_client_that_never_shakes_hands_is_dropped(front: Front, directory: Path) -> None:
    """The handshake has the deadline of a head; here a real half second."""
    tls = self_signed_context(directory, RealClock().real_ms())
    with (
        connect(front.start(limits=Limits(header_timeout_s=0.3), tls=tls)) as sock,
        contextlib.suppress(ConnectionResetError),
    ):
        assert sock.recv(1) == b""
