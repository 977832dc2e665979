"""Tests of accepting weak labels, in one step that can be undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeler_makers import add_faces, add_image, label, sample_states
from tools_for_tests import picture, run_here

from gleanset import Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from labeler.acceptance import apply_hints, plan_hints
from labeler.classes import ClassEditor


def accept(dataset: Dataset) -> dict[str, object]:
    plan = plan_hints(dataset)
    apply_hints(dataset, plan)
    return plan.result()


def hinted(dataset: Dataset, name: str, *hints: str | None, faces: int = 1) -> list[str]:
    """Add an image with these weak labels and some faces; return sample keys."""
    origins = [Origin("folder", f"{name}-{n}", hint=hint) for n, hint in enumerate(hints)]
    image = add_image(dataset, name, *origins)
    return add_faces(dataset, image, [30 * n for n in range(faces)])


@pytest.mark.parametrize(
    ("hints", "faces", "reason"),
    [
        (("hana",), 2, "several faces"),
        (("hana", "rei"), 1, "disputed hint"),
        (("hana", "rei"), 2, "disputed hint"),
        ((None,), 1, "no hint"),
        (("a/b",), 1, "hint is not a class name"),
        ((".hidden",), 1, "hint is not a class name"),
        (("x" * 101,), 1, "hint is not a class name"),
    ],
)
def test_ambiguous_weak_labels_stay_pending(
    empty: Dataset, hints: tuple[str | None, ...], faces: int, reason: str
) -> None:
    keys = hinted(empty, "a", *hints, faces=faces)
    result = accept(empty)
    assert result["accepted"] == 0
    assert result["left"] == {reason: faces}
    assert result["left_in_queue"] == faces
    assert {s.key: s.status for s in empty.samples.iter_by_key()} == dict.fromkeys(keys, "queue")
    assert empty.journal.count() == 0
    assert empty.classes.list_names() == []


def test_human_decisions_are_not_overwritten(empty: Dataset) -> None:
    (labelled,) = hinted(empty, "a", "hana")
    (rejected,) = hinted(empty, "b", "hana")
    label(empty, labelled, "rei")
    empty.journal.apply("Reject", [Choice(rejected, "reject")])
    before = sample_states(empty)
    assert accept(empty)["accepted"] == 0
    assert sample_states(empty) == before


def test_accept_is_one_undoable_step(empty: Dataset) -> None:
    keys = [*hinted(empty, "a", "hana"), *hinted(empty, "b", "rei")]
    hinted(empty, "c", "rei", faces=2)
    before = sample_states(empty)
    labels = {"hana": 1, "rei": 1}
    left = {"several faces": 2}
    assert accept(empty) == {"accepted": 2, "left_in_queue": 2, "labels": labels, "left": left}
    decisions = list(empty.journal.iterate())
    assert {(d.sample, d.value, d.provenance) for d in decisions} == {
        (keys[0], "hana", "hint"),
        (keys[1], "rei", "hint"),
    }
    assert len({decision.step for decision in decisions}) == 1
    undone = empty.journal.undo()
    assert (undone.restored, undone.changed_since) == (2, 0)
    assert sample_states(empty) == before
    with pytest.raises(UsageError, match="nothing to undo"):
        empty.journal.undo()


def test_decision_after_planning_is_not_overwritten(empty: Dataset) -> None:
    (labelled,) = hinted(empty, "a", "hana")
    (pending,) = hinted(empty, "b", "hana")
    plan = plan_hints(empty)
    label(empty, labelled, "rei")
    apply_hints(empty, plan)
    assert {s.key: s.label for s in empty.samples.iter_by_key()} == {
        labelled: "rei",
        pending: "hana",
    }
    assert plan.result()["accepted"] == 1
    assert plan.result()["left"] == {"decided meanwhile": 1}


def test_weak_label_of_renamed_class_resolves(empty: Dataset) -> None:
    (labelled,) = hinted(empty, "a", None)
    hinted(empty, "b", "hana")
    hinted(empty, "c", "hana", "Hana")
    label(empty, labelled, "hana")
    ClassEditor(empty).rename("hana", "Hana")
    assert accept(empty)["labels"] == {"Hana": 2}
    assert empty.classes.list_names() == ["Hana"]


def test_dropped_weak_labels_stay_dropped(tmp_path: Path) -> None:
    for seed, name in enumerate(("hana/a.jpg", "Downloads/b.jpg", "Downloads/c.jpg")):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(picture(seed))
    root = ("-d", tmp_path / "d")
    harvest = ("folder", tmp_path / "p", "--hints-from-folders", *root, "--json")
    assert run_here("harvest.cli", *harvest).json["hints"] == {"Downloads": 2, "hana": 1}
    dropped = run_here("labeler.cli", "hints", "drop", "Downloads", *root, "--json")
    assert dropped.json == {"dropped_from_images": 2}
    run_here("harvest.cli", *harvest)
    with Dataset.open(tmp_path / "d") as dataset:
        origins = [origin for image in dataset.images.iterate() for origin in image.origins]
        assert sorted(str(origin.hint) for origin in origins) == ["None", "None", "hana"]
    wrong = run_here("labeler.cli", "hints", "drop", "Downloads", *root)
    assert wrong.code == UsageError.exit_code
    assert "hana" in wrong.stderr
