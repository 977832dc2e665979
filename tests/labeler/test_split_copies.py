"""A split looks for near copies by itself, and says that it did."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
from duplicate_pictures import COPIES, add_picture, drawing, encoded
from labeler_makers import label

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from labeler.duplicates.finder import DuplicateFinder

Labeler = Callable[..., subprocess.CompletedProcess[str]]
KINDS = ("crop 15 %", "mirror")


@pytest.fixture
def copied(empty: Dataset) -> list[tuple[str, ...]]:
    """Six drawings, each with two copies: labelled, and never searched for duplicates."""
    result = []
    for seed in range(6):
        made = [drawing(seed), *(COPIES[kind](drawing(seed)) for kind in KINDS)]
        keys = [add_picture(empty, f"{seed}-{n}", encoded(one)) for n, one in enumerate(made)]
        for key in keys:
            label(empty, key, ("hana", "rei")[seed % 2])
        result.append(tuple(keys))
    add_picture(empty, "waits", encoded(drawing(99)))
    return result


def test_copies_that_nobody_looked_for_are_on_one_side(
    empty: Dataset, copied: list[tuple[str, ...]], labeler: Labeler
) -> None:
    rehearsed = labeler("split", "--ratio", "1:1:1", "--simulate", "--json", "-d", empty.root)
    compared = json.loads(rehearsed.stdout)["looked_for_copies"]
    assert compared["compared"] == 18, "what waits is left to dedup"
    assert compared["copies"] >= 12
    result = json.loads(labeler("split", "--ratio", "1:1:1", "--json", "-d", empty.root).stdout)
    assert "looked_for_copies" not in result, "what was found is remembered"
    assert "not_searched_for_duplicates" not in result
    assert result["groups"] == 6
    where = {sample.key: sample.split for sample in empty.samples.iter_by_key() if sample.kept}
    assert len(where) == 19, "nobody is set aside"
    assert all(len({where[key] for key in keys}) == 1 for keys in copied)
    assert {where[keys[0]] for keys in copied} == {"train", "val", "test"}
    audit = json.loads(labeler("audit", "-d", empty.root, "--json").stdout)
    assert audit["leaks"] == 0


@pytest.mark.damages("an original is gone")
def test_what_cannot_be_read_is_told_and_not_counted_as_searched(
    empty: Dataset, copied: list[tuple[str, ...]]
) -> None:
    gone = empty.samples.get(copied[0][0])
    assert gone is not None
    image = empty.images.get(gone.image)
    assert image is not None
    empty.image_path(image.sha256, image.format).unlink()
    result = DuplicateFinder(empty).search_labelled()["looked_for_copies"]
    assert result == {"compared": 17, "copies": result["copies"], "unreadable": 1}  # type: ignore[index]
    keys = [key for keys in copied for key in keys]
    assert Pairs(empty.db).count_searched(keys) == 17


def test_the_card_of_an_export_says_whether_copies_were_looked_for(
    empty: Dataset, labeler: Labeler
) -> None:
    key = add_picture(empty, "alone", encoded(drawing(0)))
    label(empty, key, "hana")
    empty.samples.set_splits({key: (key, "train")}, "by hand")
    labeler("export", empty.root / "a", "-d", empty.root)
    assert (
        "No samples were searched for near-duplicates." in (empty.root / "a/README.md").read_text()
    )
    DuplicateFinder(empty).search_labelled()
    labeler("export", empty.root / "b", "-d", empty.root)
    assert (
        "All samples were searched for near-duplicates." in (empty.root / "b/README.md").read_text()
    )
