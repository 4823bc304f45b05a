"""The load for the store's crash tests, and the processes that are killed under it: `store_load.py load|serve FOLDER SEED`.

Clients move money between accounts and write each move into a log, in one transaction. So whatever is found after a crash,
the log explains the accounts, their sum is what it was, and a move stands in the log once or not at all.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unkai.store.api import StoreUnavailable, read_counter
from unkai.store.engines.lmdb import open_lmdb
from unkai.store.retry import Run, run, run_serial
from unkai.store.server import StoreServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from unkai.store.api import Engine, Tx

ACCOUNTS = 12
START_AMOUNT = 1000


async def move(tx: Tx, args: bytes) -> bytes:
    """args: `name source target amount`."""
    _, source, target, amount = args.split()
    total = 0
    if source != target:
        rows = {}
        for account, change in ((source, -int(amount)), (target, int(amount))):
            rows[account] = read_counter(await tx.get(b"account/" + account)) + change
        for account, value in rows.items():
            tx.set(b"account/" + account, value.to_bytes(8, "big", signed=True))
            total += value
    tx.set(b"log/" + tx.stamp().mark, args)
    # A large value now and then, so that a crash also meets overflow pages.
    tx.set(b"large/" + source, args * (1 + 300 * (int(amount) % 7 == 0)))
    tx.add(b"moves", 1)
    return args


async def create(tx: Tx) -> None:
    if await tx.get(b"account/0") is None:
        for account in range(ACCOUNTS):
            tx.set(b"account/%d" % account, START_AMOUNT.to_bytes(8, "big"))


PROGRAMS = {"move": move}


async def client(engine: Engine, name: str, draws: random.Random, acknowledge: Callable[[bytes], None]) -> None:
    """Move after move until the process ends. Each is acknowledged after its commit."""
    n = 0
    while True:
        n += 1
        source, target, amount = draws.randrange(ACCOUNTS), draws.randrange(ACCOUNTS), draws.randrange(1, 50)
        args = b"%s/%d %d %d %d" % (name.encode(), n, source, target, amount)
        task = Run("move", partial(move, args=args), lambda args=args: args, lambda answer: answer)  # type: ignore[misc]
        try:
            # Half of them run on the writer at once, so that both ways meet in one batch.
            await (run_serial(engine, task) if n % 2 else run(engine, task))
        except StoreUnavailable:
            continue  # the client was told to retry; ours makes another move
        acknowledge(args)


async def check(engine: Engine, acknowledged: list[bytes]) -> int:
    """Everything acknowledged is there, everything there is whole. How many moves there are."""
    snapshot = engine.snapshot()
    log = [value for _, value in await snapshot.get_range(b"log/", b"log0")]
    accounts = {key[8:]: read_counter(value) for key, value in await snapshot.get_range(b"account/", b"account0")}
    moves = read_counter(await snapshot.get(b"moves"))
    snapshot.close()
    assert len(set(log)) == len(log), "a move was applied twice"
    missing = set(acknowledged) - set(log)
    assert not missing, f"acknowledged and lost: {sorted(missing)[:5]}"
    assert moves == len(log), "a counter and the log disagree"
    if not accounts:
        assert not log
        return 0
    expected = {b"%d" % account: START_AMOUNT for account in range(ACCOUNTS)}
    for args in log:
        _, source, target, amount = args.split()
        if source != target:
            expected[source] -= int(amount)
            expected[target] += int(amount)
    assert accounts == expected, "the log does not explain the accounts"
    assert sum(accounts.values()) == ACCOUNTS * START_AMOUNT
    return len(log)


async def load(folder: Path, seed: int) -> None:
    engine = open_lmdb(folder, PROGRAMS)
    draws = random.Random(seed)
    await run(engine, Run("none", create, lambda: b"", lambda answer: answer))

    def acknowledge(args: bytes) -> None:
        os.write(1, args + b"\n")  # one write below PIPE_BUF is whole or not at all

    await asyncio.gather(*(client(engine, f"{seed}.{n}", random.Random(draws.random()), acknowledge) for n in range(6)))


async def serve(folder: Path) -> None:
    engine = open_lmdb(folder, PROGRAMS)
    await run(engine, Run("none", create, lambda: b"", lambda answer: answer))
    server = StoreServer(engine.writer)
    await server.listen(folder / "socket")
    os.write(1, b"ready\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    path = Path(sys.argv[2])
    asyncio.run(load(path, int(sys.argv[3])) if sys.argv[1] == "load" else serve(path))
