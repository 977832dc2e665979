"""Every interval and bound keeps its promise in a small fixed simulation: see benchmarks."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest
from tools_for_tests import ROOT

# Not by its name, which is that of a well-known package.
_SPEC = importlib.util.spec_from_file_location(
    "promises", ROOT / "benchmarks" / "interval_coverage.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
promises = sys.modules["promises"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(promises)

RUNS = 40
EACH = 4
"""Worlds of each case, spread over all it has."""


@pytest.mark.parametrize("one", promises.CASES.values(), ids=lambda one: one.name)
def test_intervals_and_bounds_hold_the_truth_as_often_as_promised(one: Any) -> None:
    step = max(1, len(one.worlds) // EACH)
    rows = [promises.measure(one, world, RUNS) for world in one.worlds[step // 2 :: step]]
    told = [row for row in rows if row is not None]
    assert told
    assert not [row for row in told if not row.kept]
    # All together, luck has less to do with it.
    assert sum(row.covered for row in told) / len(told) >= one.promised - 0.02
