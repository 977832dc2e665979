"""Samples for scripts and notebooks: selections, labels, tables and loaders."""

import pytest
from drawn_dataset import fill
from torch.utils.data import DataLoader

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.sorting import SampleTiles
from gleanset.decisions import apply_decisions
from gleanset.errors import Unreadable, UsageError


@pytest.fixture
def patterns(empty: Dataset) -> Dataset:
    fill(empty, 10)
    return empty


def test_selection_meets_all_conditions(patterns: Dataset) -> None:
    crosses = patterns.select(label="cross")
    assert len(crosses) == 10
    train = crosses.select(split="train", where=lambda sample: sample.size == 32)
    assert {(sample.label, sample.split) for sample in train} == {("cross", "train")}
    assert len(train) < 10
    assert len(patterns.select(source="nowhere")) == 0
    with pytest.raises(UsageError, match="circle"):
        patterns.select(label="circle")
    with pytest.raises(UsageError, match="trian"):
        patterns.select(split="trian")


def test_selection_by_source_follows_origins(patterns: Dataset) -> None:
    sources = {
        origin.source for image in patterns.images.iterate() for origin in image.origins
    }
    [source] = sources
    assert len(patterns.select(source=source)) == 30


def test_selection_leaves_out_retired_and_duplicate_samples(patterns: Dataset) -> None:
    first, second = list(patterns.select(label="disc"))[:2]
    patterns.db.execute(
        "UPDATE sample SET status='retired', label=NULL, split=NULL WHERE key=?",
        (first.key,),
    )
    patterns.db.execute(
        "UPDATE sample SET kept=0, duplicate_set='x' WHERE key=?", (second.key,)
    )
    assert len(patterns) == 28
    keys = {sample.key for sample in patterns}
    assert not keys & {first.key, second.key}


def test_label_is_one_step_that_can_be_undone(patterns: Dataset) -> None:
    discs = patterns.select(label="disc")
    first = next(iter(discs))
    first.label = "ring"
    assert (first.label, patterns[first.key].label) == ("ring", "ring")
    step = patterns.label([sample.key for sample in discs], "ring")
    assert len(patterns.select(label="ring")) == 10

    assert patterns.journal.undo(step).name == "Label 9 as ring"
    assert [sample.key for sample in patterns.select(label="ring")] == [first.key]
    decision = list(patterns.journal.iterate())[-1]
    assert decision.undoes is not None


def test_former_name_of_a_class_selects_the_class(patterns: Dataset) -> None:
    step = patterns.journal.apply("rename", [])
    patterns.classes.rename(step, "cross", "plus")
    assert len(patterns.select(label="cross")) == 10
    sample = next(iter(patterns.select(label="disc")))
    sample.label = "cross"
    assert sample.label == "plus"
    assert list(patterns.classes) == ["disc", "plus", "stripes"]


def test_unknown_key_is_refused(patterns: Dataset) -> None:
    with pytest.raises(UsageError, match="no sample"):
        patterns["zz"]
    with pytest.raises(UsageError, match="no sample"):
        patterns.label(["zz"], "disc")


def test_tables_and_loaders_have_a_row_for_each_sample(patterns: Dataset) -> None:
    table = patterns.to_pandas()
    assert len(table) == 30
    assert set(table["label"]) == {"cross", "disc", "stripes"}
    assert table["phash"].str.len().eq(16).all()
    assert len(patterns.select(label="disc").to_hf().filter(bool)) == 10

    pixels = patterns.select(label="disc").to_hf()[0]["image"]
    assert pixels.size == (32, 32)

    train = patterns.to_torch("train", lambda image: image.size[0])
    [batch] = DataLoader(train, batch_size=100, num_workers=0)
    sides, classes = batch
    assert set(sides.tolist()) == {32}
    assert sorted(set(classes.tolist())) == [0, 1, 2]


def test_repr_counts_classes_and_states(patterns: Dataset) -> None:
    first = next(iter(patterns.select(label="disc")))
    patterns.journal.apply("reject", [Choice(first.key, "reject")])
    assert "30 samples (10 cross, 9 disc, 1 rejected, 10 stripes)" in repr(patterns)
    shown = patterns.select(label="disc")._repr_html_()
    assert shown.count("<img ") == 9
    assert "&lt;" not in shown


def test_label_of_a_duplicate_goes_to_its_kept_copy(patterns: Dataset) -> None:
    discs = [sample.key for sample in patterns.select(label="disc")]
    patterns.db.execute(
        "UPDATE sample SET duplicate_set='x' WHERE key IN (?, ?)", discs[:2]
    )
    patterns.db.execute("UPDATE sample SET kept=0 WHERE key=?", discs[:1])
    assert len(patterns.select(label="disc")) == 9
    patterns.label(discs[:1], "ring")
    assert patterns[discs[0]].label == "ring"


def test_label_removes_the_mark_of_a_skipped_sample(patterns: Dataset) -> None:
    key = next(iter(patterns)).key
    apply_decisions(patterns.db, "skip", [Choice(key, "clear")], "later")
    marks = SampleTiles(patterns.db)
    assert list(marks.get_marks([key]).values()) == ["later"]
    patterns.label([key], "disc")
    assert list(marks.get_marks([key]).values()) == [None]


def test_empty_selection_is_an_empty_table(patterns: Dataset) -> None:
    nothing = patterns.select(source="nowhere")
    assert len(nothing.to_pandas()) == 0
    assert len(nothing.to_hf()) == 0
    assert nothing._repr_html_() == "<p>dataset: 0 samples ()</p>"


@pytest.mark.damages("deletes a file of an image")
def test_collection_with_a_lost_file_is_shown(patterns: Dataset) -> None:
    first = next(iter(patterns))
    first.file.unlink()
    assert patterns.select(label=first.label)._repr_html_().count("<img ") == 9
    with pytest.raises(Unreadable):
        first.image()
