"""The pure parts: messages, frames, the system-call filter's shape, code archives, log lines, output lines."""

# ruff: noqa: E501 -- functions' sources are lines of text

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.conftest import zip_bytes
from unkai.runtime import frames, loglines
from unkai.runtime.api import InvalidCode, Report
from unkai.runtime.output import Output
from unkai.runtime.sandbox import messages, seccomp
from unkai.runtime.unpack import CodeStore, key_of

if TYPE_CHECKING:
    from pathlib import Path


def store(tmp_path: Path) -> CodeStore:
    folder = tmp_path / "code"
    folder.mkdir(exist_ok=True)
    opened = CodeStore(folder)
    opened.open()
    return opened


def add(code: CodeStore, *archives: bytes) -> Path:
    return code.add([hashlib.sha256(data).hexdigest() for data in archives], [io.BytesIO(data) for data in archives])


@given(st.binary(max_size=400))
def test_only_exact_messages_are_understood(data: bytes) -> None:
    # The spawner has rights: whatever bytes the keeper sends, they are one whole message or nothing.
    try:
        message = messages.unpack(data)
    except ValueError:
        return
    assert messages.pack(message) == data


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(1, 50))
def test_frames_survive_any_cut(bodies: list[bytes], step: int) -> None:
    data = b"".join(len(body).to_bytes(4, "little") + body for body in bodies)
    splitter, got = frames.Splitter(), []
    for at in range(0, len(data), step):
        splitter.feed(data[at : at + step], lambda frame: got.append(bytes(frame)))
    assert got == bodies


def test_a_frame_over_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        frames.Splitter().feed((frames.FRAME_SIZE_BYTES_MAX + 1).to_bytes(4, "little") + b"xx", lambda frame: None)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_stays_inside(machine: str) -> None:
    # A jump beyond the end would make the kernel refuse the program; one too short would allow what is to be denied.
    code = [
        struct.unpack("<HBBI", line)
        for line in zip(*[iter(seccomp.build_filter(machine))] * 8, strict=True)
        for line in [bytes(line)]
    ]
    for at, (operation, true, false, _) in enumerate(code):
        if operation & 7 == 5:
            assert max(at + 1 + true, at + 1 + false) < len(code)
    assert code[-1][0] == 6


def test_archives_are_unpacked_with_sane_modes(tmp_path: Path) -> None:
    folder = add(store(tmp_path), zip_bytes({"run": "x", "sub/data": "y"}, 0o4777))
    assert oct((folder / "run").stat().st_mode & 0o7777) == "0o755"
    plain = add(store(tmp_path), zip_bytes({"data": "x"}, 0o600))
    assert oct((plain / "data").stat().st_mode & 0o7777) == "0o644"


def link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, target)
        archive.writestr("lib/real", "x")
    return buffer.getvalue()


def test_links_stay_inside(tmp_path: Path) -> None:
    folder = add(store(tmp_path), link("lib/alias", "real"))
    assert os.readlink(folder / "lib/alias") == "real"
    for name, target in (("x", "/etc"), ("x", "../y"), ("a/b", "../../y"), ("x", "lib/../../y")):
        with pytest.raises(InvalidCode, match="leaves its folder"):
            add(store(tmp_path), link(name, target))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("d", "d/e"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "sub")
        archive.writestr("sub/file", "x")
    with pytest.raises(InvalidCode, match="link under a link"):
        add(store(tmp_path), buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18) + b"x", b"not a zip", zip_bytes({"a": "x"})[:-30]])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    if zipfile.is_zipfile(io.BytesIO(data)):
        return
    with pytest.raises(InvalidCode, match="Could not unzip"):
        add(store(tmp_path), data)


@given(st.data())
def test_broken_archives_never_escape_or_crash(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    # One byte changed anywhere: unpacked or refused, and nothing lands outside the store.
    original = zip_bytes({"a/b.py": "print(1)", "c": "x" * 50})
    at = data.draw(st.integers(0, len(original) - 1))
    broken = original[:at] + bytes([data.draw(st.integers(0, 255))]) + original[at + 1 :]
    root = tmp_path_factory.mktemp("broken")
    with contextlib.suppress(InvalidCode):
        add(store(root), broken)
    assert [entry.name for entry in root.iterdir()] == ["code"]


def test_layers_are_merged_and_unused_code_goes(tmp_path: Path) -> None:
    code = store(tmp_path)
    first, second = zip_bytes({"a": "1", "b": "1"}), zip_bytes({"b": "2"})
    merged = add(code, first, second)
    assert ((merged / "a").read_text(), (merged / "b").read_text()) == ("1", "2")
    alone = add(code, first)
    kept = key_of([hashlib.sha256(first).hexdigest()])
    assert code.remove_others([kept]) == 1
    assert alone.exists()
    assert not merged.exists()
    assert code.size(kept) == 2


def test_report_line() -> None:
    report = Report(12.345, 113, 128, 64, init_duration_ms=100.5)
    record = loglines.report_record("id", report, "Root=1-2;Parent=3;Sampled=1")
    line = loglines.text_of("platform.report", record)
    expected = "REPORT RequestId: id\tDuration: 12.35 ms\tBilled Duration: 113 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 100.50 ms\t"
    assert line.startswith(expected)
    assert line.endswith("\nXRAY TraceId: 1-2\tSegmentId: 3\tSampled: true\t")


def test_tail_keeps_the_last_four_kilobytes() -> None:
    tail = loglines.Tail()
    for at in range(10_000):
        tail.add(f"line {at}")
    assert len(tail.bytes()) == 4096
    assert tail.bytes().endswith(b"line 9999\n")


def test_output_lines() -> None:
    # A line feed ends an event, a carriage return breaks its text; bytes that are no UTF-8 are shown as such; long lines are cut.
    got: list[str] = []

    async def run() -> None:
        output = Output(got.append)
        os.write(output.write_fd, b"one\ntwo\rlines\n\xff\n" + b"x" * 60_000)
        output.drain()
        os.write(output.write_fd, b"y" * 5_000)
        output.started()
        output.close()

    asyncio.run(run())
    assert got[:3] == ["one", "two\nlines", "\ufffd"]
    assert "".join(got[3:]) == "x" * 60_000 + "y" * 5_000
