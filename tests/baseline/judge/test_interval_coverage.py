"""Every interval and bound keeps its promise, in a small fixed simulation."""

from __future__ import annotations

import sys

import pytest
from tools_for_tests import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from interval_coverage import CASES, Case, measure

RUNS = 40
EACH = 4
"""Worlds of each case, spread over all it has."""


@pytest.mark.parametrize("one", CASES.values(), ids=lambda one: one.name)
def test_intervals_and_bounds_hold_the_truth_as_often_as_promised(one: Case) -> None:
    step = max(1, len(one.worlds) // EACH)
    rows = [measure(one, world, RUNS) for world in one.worlds[step // 2 :: step]]
    told = [row for row in rows if row is not None]
    assert told
    assert not [row for row in told if not row.kept]
    # All together, luck has less to do with it.
    assert sum(row.covered for row in told) / len(told) >= one.promised - 0.02


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if "drawn" in name])
def test_every_drawn_world_is_covered(name: str) -> None:
    rows = [measure(CASES[name], world, 200) for world in CASES[name].worlds]
    assert not [row for row in rows if row is None or not row.kept]
