"""Tests of `labeler label` and `labeler undo`."""

from __future__ import annotations

import pytest
from labeler_makers import add_faces, add_image
from tools_for_tests import run_here

from gleanset import Dataset


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    return add_faces(empty, add_image(empty, "a"), (0, 30, 60))


def label(dataset: Dataset, *words: str) -> int:
    return run_here("labeler.cli", "label", *words, "-d", dataset.root).code


def test_label_reject_and_undo(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hana", *keys[:2]) == 0
    assert label(empty, "--reject", keys[2]) == 0
    states = {s.key: (s.status, s.label) for s in empty.samples.iter_by_key()}
    assert states[keys[0]] == states[keys[1]] == ("labelled", "hana")
    assert states[keys[2]] == ("rejected", None)
    assert "Reject 1" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert "Label 2 as hana" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert {s.status for s in empty.samples.iter_by_key()} == {"queue"}


def test_misspelt_class_raises_error(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hatsune_miku", keys[0]) == 0
    refused = run_here("labeler.cli", "label", "hatsune_mikuu", keys[1], "-d", empty.root)
    assert refused.code == 2
    assert "did you mean 'hatsune_miku'?" in refused.stderr
    assert "labeler classes add hatsune_mikuu" in refused.stderr
    assert empty.classes.list_names() == ["hatsune_miku"]
    assert label(empty, "rei", keys[1]) == 0, "unlike other names"
    add = ("classes", "add", "hatsune_mikuu", "-d", empty.root)
    assert run_here("labeler.cli", *add).code == 0
    assert label(empty, "hatsune_mikuu", keys[2]) == 0
    assert empty.classes.list_names() == ["hatsune_miku", "hatsune_mikuu", "rei"]


def test_alias_is_not_misspelt(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hana", keys[0]) == 0
    add = ("classes", "add", "hana", "--alias", "hanna", "-d", empty.root)
    assert run_here("labeler.cli", *add).code == 0
    assert label(empty, "hanna", keys[1]) == 0
    assert empty.classes.list_names() == ["hana"]
