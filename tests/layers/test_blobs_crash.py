"""kill -9 while blobs are written: every acknowledged one is whole afterwards, and nothing else is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from unkai.layers import blobs as layer
from unkai.layers.blobs import FileBlobs
from unkai.store.engines.lmdb import open_lmdb

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import asyncio, sys
from pathlib import Path
from unkai.layers import blobs as layer
from unkai.layers.blobs import FileBlobs
from unkai.store.engines.lmdb import open_lmdb
from unkai.store.retry import Run, run

async def put(engine, blobs, number):
    writer = await blobs.create()
    for _ in range(3):
        await writer.write(bytes([number % 256]) * 40_000)
    await writer.finish()
    async def body(tx):
        layer.refer(tx, writer.id)
    await blobs.keep([writer], run(engine, Run("", body, bytes, bytes)))
    print(writer.id.hex(), number % 256, flush=True)

async def main():
    folder = Path(sys.argv[1])
    engine = open_lmdb(folder / "store", {})
    blobs = FileBlobs(folder / "blobs", engine.snapshot)
    await blobs.recover()
    for number in range(0, 10_000, 4):
        await asyncio.gather(*(put(engine, blobs, number + n) for n in range(4)))

asyncio.run(main())
"""


# The parent kills the writer after a few acknowledgements, wherever it is then, and looks at what a restart finds.
@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 6, 23])
def test_killed_writer(tmp_path: Path, acknowledged: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(acknowledged)]
    child.kill()
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()

    async def look() -> None:
        engine = open_lmdb(tmp_path / "store", {})
        blobs = FileBlobs(tmp_path / "blobs", engine.snapshot)
        await blobs.recover()
        moment = engine.snapshot()
        assert await layer.check(moment, blobs) == []
        moment.close()
        for line in lines:
            if line.endswith("\n"):
                name, byte = line.split()
                with os.fdopen(blobs.open(bytes.fromhex(name)), "rb") as file:
                    assert file.read() == bytes([int(byte)]) * 120_000
        assert os.listdir(tmp_path / "blobs" / "incoming") == []
        await engine.close()

    asyncio.run(look())
