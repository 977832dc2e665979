"""Near-duplicates are searched before a split."""

from __future__ import annotations

import pytest
from duplicate_images import COPIES, add_picture, drawing, encoded
from labeler_makers import label
from labelled_images import run_labeler

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from labeler.duplicates.finder import DuplicateFinder

KINDS = ("crop 15 %", "mirror")


@pytest.fixture
def images_with_copies(empty: Dataset) -> list[tuple[str, ...]]:
    """Six labelled drawings with two copies each, not searched for duplicates."""
    result = []
    for seed in range(6):
        images = [drawing(seed), *(COPIES[kind](drawing(seed)) for kind in KINDS)]
        keys = [add_picture(empty, f"{seed}-{n}", encoded(image)) for n, image in enumerate(images)]
        for key in keys:
            label(empty, key, ("hana", "rei")[seed % 2])
        result.append(tuple(keys))
    add_picture(empty, "waits", encoded(drawing(99)))
    return result


def test_unsearched_copies_stay_in_one_split(
    empty: Dataset, images_with_copies: list[tuple[str, ...]]
) -> None:
    simulated = run_labeler("split", "--ratio", "1:1:1", "--simulate", "--json", "-d", empty.root)
    compared = simulated.json["looked_for_copies"]
    assert compared["compared"] == 18, "queued samples are left to dedup"
    assert compared["copies"] >= 12
    result = run_labeler("split", "--ratio", "1:1:1", "--json", "-d", empty.root).json
    assert "looked_for_copies" not in result, "results are stored"
    assert "not_searched_for_duplicates" not in result
    assert result["groups"] == 6
    splits = {sample.key: sample.split for sample in empty.samples.iter_by_key() if sample.kept}
    assert len(splits) == 19, "no sample is marked as duplicate"
    assert all(len({splits[key] for key in keys}) == 1 for keys in images_with_copies)
    assert {splits[keys[0]] for keys in images_with_copies} == {"train", "val", "test"}
    audit = run_labeler("audit", "-d", empty.root, "--json").json
    assert audit["leaks"] == 0


@pytest.mark.damages("an original is gone")
def test_unreadable_samples_are_not_counted_as_searched(
    empty: Dataset, images_with_copies: list[tuple[str, ...]]
) -> None:
    sample = empty.samples.get(images_with_copies[0][0])
    assert sample is not None
    image = empty.images.get(sample.image)
    assert image is not None
    empty.image_path(image.sha256, image.format).unlink()
    result = DuplicateFinder(empty).search_labelled()["looked_for_copies"]
    assert result == {"compared": 17, "copies": result["copies"], "unreadable": 1}  # type: ignore[index]
    keys = [key for keys in images_with_copies for key in keys]
    assert Pairs(empty.db).count_searched(keys) == 17


def test_card_states_near_duplicate_search(empty: Dataset) -> None:
    key = add_picture(empty, "alone", encoded(drawing(0)))
    label(empty, key, "hana")
    empty.samples.set_splits({key: (key, "train")}, "by hand")
    run_labeler("export", empty.root / "a", "-d", empty.root)
    assert (
        "No samples were searched for near-duplicates." in (empty.root / "a/README.md").read_text()
    )
    DuplicateFinder(empty).search_labelled()
    run_labeler("export", empty.root / "b", "-d", empty.root)
    assert (
        "All samples were searched for near-duplicates." in (empty.root / "b/README.md").read_text()
    )
