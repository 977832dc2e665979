"""Merging time after time, also when one of the two has forgotten something since."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import picture, run_here

from curation.removals import plan_removal, remove_images
from gleanset import Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.work.progress import Progress
from pipeline.maintenance.merge import merge_dataset


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[tuple[Dataset, Dataset]]:
    """Two copies of a dataset of six pictures that were imported in one step."""
    (tmp_path / "tree" / "hana").mkdir(parents=True)
    for seed in range(6):
        (tmp_path / "tree" / "hana" / f"{seed}.jpg").write_bytes(picture(seed))
    run_here("labeler.cli", "import", tmp_path / "tree", "-q", "-d", tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "theirs")
    with Dataset.open(tmp_path / "ours") as ours, Dataset.open(tmp_path / "theirs") as theirs:
        yield ours, theirs


def merge_counts(into: Dataset, other: Dataset) -> tuple[object, object]:
    result = merge_dataset(into, other.root, simulate=False, progress=Progress()).result
    return result["decisions"], result["conflicts"]


def test_conflict_stays_queued_after_removals(
    copies: tuple[Dataset, Dataset],
) -> None:
    ours, theirs = copies
    first, second, third, *_ = sorted(sample.key for sample in ours.samples.iterate())
    image = {sample.key: sample.image for sample in ours.samples.iterate()}
    ours.journal.apply("mine", [Choice(first, "label", "lion")])
    theirs.journal.apply("theirs", [Choice(first, "label", "tiger")])
    remove_images(ours, plan_removal(ours, [image[second]], [], []), "asked to")
    remove_images(theirs, plan_removal(theirs, [image[third]], [], []), "asked to")
    assert merge_counts(ours, theirs) == (1, 1)
    # The step in which all six were imported is the same one, with five lines here and there.
    assert merge_counts(ours, theirs) == (0, 0)
    disputed = ours.samples.get(first)
    assert disputed is not None
    assert (disputed.status, disputed.label) == ("queue", None)
    assert ours.images.get(image[second]) is None
    merge_counts(theirs, ours)
    assert merge_counts(theirs, ours) == merge_counts(ours, theirs) == (0, 0)


def test_merged_weak_label_retracts_label(
    copies: tuple[Dataset, Dataset],
) -> None:
    ours, theirs = copies
    image = next(iter(ours.images.iterate())).sha256
    (key,) = [sample.key for sample in ours.samples.iterate() if sample.image == image]
    for dataset, hint in ((ours, "hana"), (theirs, "rei")):
        dataset.images.add_origin(image, Origin("folder", hint, hint=hint))
        dataset.journal.apply("Clear", [Choice(key, "clear")])
    ours.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    result = merge_dataset(ours, theirs.root, simulate=True, progress=Progress())
    accepted = ours.samples.get(key)
    assert accepted is not None
    assert accepted.label == "hana"
    assert result == merge_dataset(ours, theirs.root, simulate=False, progress=Progress())
    assert result.result["taken_back"] == 1
    disputed = ours.samples.get(key)
    assert disputed is not None
    assert (disputed.status, disputed.label, disputed.hint) == ("queue", None, None)
    merge_counts(theirs, ours)
    assert merge_counts(ours, theirs) == merge_counts(theirs, ours) == (0, 0)
