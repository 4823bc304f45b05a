"""The seeded simulation. `scripts/sim --seed N` repeats one seed; `scripts/sim --minutes M` looks for new ones."""

from __future__ import annotations

import os

import pytest

from tests.sim.story import tell

SEEDS = int(os.environ.get("UNKAI_SIM_SEEDS", "30"))


# Whatever crashes, conflicts or jumps, the services' invariants and the clients' promises hold. A failing seed becomes a
# case of its own here.
@pytest.mark.parametrize("seed", range(SEEDS))
def test_seed(seed: int) -> None:
    assert tell(seed) == []


# A seed means one run: what it prints can be looked into again.
def test_a_seed_repeats_exactly() -> None:
    assert tell(7) == tell(7)
