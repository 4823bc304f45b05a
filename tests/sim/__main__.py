"""Run seeds by hand: one again, or fresh ones for some minutes."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.sim.story import tell


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        broken = tell(arguments.seed)
        print("\n".join(broken) or "nothing is broken")
        return 1 if broken else 0
    until = time.monotonic() + arguments.minutes * 60
    count = 0
    while time.monotonic() < until:
        seed = random.randrange(1 << 40)
        if broken := tell(seed):
            print(f"seed {seed}:", *broken, sep="\n  ")
            return 1
        count += 1
    print(f"{count} seeds, nothing is broken")
    return 0


sys.exit(main())
