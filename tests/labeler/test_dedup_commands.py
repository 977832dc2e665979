"""Tests of the commands dedup and groups."""

from __future__ import annotations

from typing import Any

import pytest
from duplicate_images import drawing, encoded
from labelled_images import put
from tools_for_tests import run_here

from gleanset import Dataset
from labeler.export.plan import plan_export
from labeler.splits.plan import CONFLICT_REASON


@pytest.fixture
def copies(empty: Dataset) -> dict[str, str]:
    """Add an image, a small copy of it, and another image."""
    small_copy = drawing(1).resize((160, 130))
    (small,) = put(empty, encoded(small_copy, 60), "small.jpg", label="a")
    (large,) = put(empty, encoded(drawing(1)), "large.jpg", label="a")
    (other,) = put(empty, encoded(drawing(2)), "other.jpg", label="b")
    return {"small": small, "large": large, "other": other}


def run(dataset: Dataset, *words: str) -> dict[str, Any]:
    done = run_here("labeler.cli", *words, "-d", dataset.root, "--json")
    assert done.code == 0, done.stderr
    return done.json


def list_sets(dataset: Dataset, option: str) -> str:
    return run_here("labeler.cli", "groups", option, "-d", dataset.root).stdout


@pytest.mark.slow
def test_dedup_and_undo(empty: Dataset, copies: dict[str, str]) -> None:
    first = run(empty, "dedup", "--simulate")
    assert (first["set_aside"], first["looked_at"]) == (1, 3)
    assert not {"looked_at_before", "note"} & first.keys()
    assert len(plan_export(empty)) == 3
    assert run(empty, "dedup", "--simulate")["note"].endswith("its --simulate, are used")
    result = run(empty, "dedup")
    assert (result["looked_at"], result["looked_at_before"]) == (0, 3)
    assert result["note"].endswith("are used and applied")
    assert (result["groups"], result["set_aside"], result["conflicts"]) == (1, 1, 0)
    assert run(empty, "dedup")["changed"] == 0
    group = run(empty, "groups")
    assert (group["kept"], group["others"]) == (copies["large"], [copies["small"]])
    assert "larger (320 x 260, the next 160 x 130)" in group["reason"]
    assert {item.sample.key for item in plan_export(empty)} == {copies["large"], copies["other"]}
    run(empty, "undo")
    assert len(plan_export(empty)) == 3


@pytest.mark.slow
def test_conflicting_labels_are_left_out(empty: Dataset, copies: dict[str, str]) -> None:
    run(empty, "label", "b", copies["small"])
    result = run(empty, "dedup")
    assert (result["set_aside"], result["conflicts"]) == (0, 1)
    assert sorted(run(empty, "groups", "--conflicts")["decisions"]) == ["a", "b"]
    # They are in no split until then.
    assert run(empty, "split")["left_out"] == {CONFLICT_REASON: 2}
    assert {item.sample.key for item in plan_export(empty)} == {copies["other"]}
    run(empty, "groups", "--differ", copies["small"], copies["large"])
    assert run(empty, "dedup")["groups"] == 0
    assert "left_out" not in run(empty, "split")


@pytest.mark.slow
def test_doubtful_pairs_are_listed_until_judged(empty: Dataset, copies: dict[str, str]) -> None:
    assert run(empty, "dedup", "--simulate")["doubtful"] == 0
    with empty.db.transaction():
        empty.db.execute("UPDATE pair SET verdict='doubtful' WHERE verdict='same'")
    result = run(empty, "dedup")
    assert (result["doubtful"], result["set_aside"]) == (1, 0)
    samples = run(empty, "groups", "--doubtful")["samples"]
    assert set(samples) == {copies["small"], copies["large"]}
    assert list_sets(empty, "--conflicts") == ""
    run(empty, "groups", "--same", *samples)
    assert run(empty, "dedup")["set_aside"] == 1
    assert list_sets(empty, "--doubtful") == ""
