"""How code reaches the keeper: other processes open an archive and pass the descriptor, so the keeper needs no way to the data.

A thread of its own: unpacking is long work, and asyncio has no call that receives descriptors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING

import msgspec

from unkai.runtime import api
from unkai.runtime.sandbox.cells import receive, send

if TYPE_CHECKING:
    from unkai.runtime.settings import Settings
    from unkai.runtime.unpack import CodeStore

_log = logging.getLogger(__name__)

ARCHIVES_MAX = 5
"""Layers of a function: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
_decode = msgspec.json.Decoder(list[str]).decode


def start(settings: Settings, store: CodeStore) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = str(settings.code_socket_path)
    listener.bind(path)
    os.chmod(path, 0o666)  # who may connect is decided by SO_PEERCRED
    listener.listen(16)
    threading.Thread(target=_serve, args=(listener, settings, store), daemon=True, name="code").start()


def _serve(listener: socket.socket, settings: Settings, store: CodeStore) -> None:
    from unkai.runtime.keeper import allowed_peer

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # out of descriptors: the caller's patience ends before this loop may
            _log.exception("a connection could not be accepted")
            continue
        with connection:
            if allowed_peer(connection, settings):
                connection.settimeout(60)
                try:
                    _take(connection, store)
                except Exception:  # one request must not end the thread
                    _log.exception("code could not be taken")


def _take(connection: socket.socket, store: CodeStore) -> None:
    """One request: the digests, with one descriptor each. Answers with nothing, or why not."""
    try:
        data, fds = receive(connection, ARCHIVES_MAX)
    except OSError:
        return
    files = [os.fdopen(fd, "rb") for fd in fds]
    answer = b""
    try:
        digests = _decode(data)
        if len(digests) != len(files) or not files:
            raise api.InvalidCode("a digest for each archive is needed")
        store.add(digests, files)
    except (api.InvalidCode, msgspec.MsgspecError, ValueError) as error:
        answer = str(error).encode()[:2048]
    except OSError as error:
        answer = f"\0{error.strerror}".encode()  # the machine's fault, not the archive's
    finally:
        for file in files:
            file.close()
    with contextlib.suppress(OSError):
        connection.send(answer or b"ok")


def upload(settings_socket: str, code: tuple[api.CodeRef, ...]) -> None:
    """The client's side; blocks. Raises InvalidCode or RuntimeUnavailable."""
    fds: list[int] = []
    try:
        fds = [os.open(ref.path, os.O_RDONLY | os.O_CLOEXEC) for ref in code]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(settings_socket)
            send(connection, msgspec.json.encode([ref.sha256 for ref in code]), fds)
            answer = connection.recv(4096)
    except OSError as error:
        raise api.RuntimeUnavailable(f"the code could not be handed over: {error.strerror}") from error
    finally:
        for fd in fds:
            os.close(fd)
    if answer[:1] in (b"\0", b""):
        raise api.RuntimeUnavailable(
            f"the code could not be unpacked: {answer[1:].decode(errors='replace') or 'no answer'}"
        )
    if answer != b"ok":
        raise api.InvalidCode(answer.decode(errors="replace"))
