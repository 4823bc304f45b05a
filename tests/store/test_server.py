"""The socket of the store process against peers that break off, or send what makes no sense."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_worlds import World, read_all, write

from unkai.store.api import StoreUnavailable
from unkai.store.engines import remote
from unkai.store.engines.embedded import ProgramFailed
from unkai.store.frames import FRAME_SIZE_BYTES_MAX, pack_frame

if TYPE_CHECKING:
    from pathlib import Path

    from unkai.store.api import Tx


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\3abc",
        pack_frame([1, 0, "no commit"]),
        pack_frame([1, 0, [b"id", 0, [], [], [[9, b"k", b"v"]]]])[:-3],
        pack_frame([1, 4, 7]),
        pack_frame({"number": 1}),
    ],
)
async def test_nonsense_ends_its_connection_and_no_other(garbage: bytes, tmp_path: Path) -> None:
    async with World("remote", tmp_path) as world:
        await write(world.engine, (b"a", b""))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(garbage)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await write(world.engine, (b"b", b""))
        assert [key for key, _ in await read_all(world.engine)] == [b"a", b"b"]


async def test_an_unknown_kind_of_write_fails_alone(tmp_path: Path) -> None:
    async with World("remote", tmp_path) as world:
        commit = [b"i" * 16, 0, [], [], [[9, b"k", b"v"]], b"", []]
        other = asyncio.create_task(write(world.engine, (b"a", b"")))
        with pytest.raises(ProgramFailed, match="AssertionError"):
            await world.engine.commit(commit)  # type: ignore[arg-type]
        await other
        assert await read_all(world.engine) == [(b"a", b"")]


async def test_an_answer_that_is_too_large(tmp_path: Path) -> None:
    async def shout(tx: Tx, args: bytes) -> bytes:
        return bytes(FRAME_SIZE_BYTES_MAX)

    async with World("remote", tmp_path) as world:
        world.programs["shout"] = shout
        with pytest.raises(ProgramFailed, match="too large"):
            await world.engine.serial("shout", b"")
        await write(world.engine, (b"a", b""))


async def test_a_store_process_that_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RECONNECT_TRIES", 2)
    async with World("remote", tmp_path) as world:
        away = remote.RemoteEngine(world.engine._env, tmp_path / "nobody")  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await write(away, (b"a", b""))
        results = await asyncio.gather(*(away.outcome(b"id") for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 5
