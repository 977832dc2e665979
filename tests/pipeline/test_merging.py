"""Merging is the same once and twice, there and back, in rehearsal and in earnest."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from gleanset import Dataset
from gleanset.db.images import FetchOutcome
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from gleanset.files.store import hash_bytes
from gleanset.images.cropping import make_sample_key
from gleanset.records import HAND, Box, Face, FaceCrop, Measured, Origin
from gleanset.work.progress import Progress
from pipeline.listing import list_records
from pipeline.maintenance.merge import MergeResult, merge_dataset

BOXES = (Box(0, 0, 10, 10), Box(20, 0, 10, 10))
LABELS = ("cat", "owl")


def data(picture: int) -> bytes:
    return b"picture %d" % picture


def sha(picture: int) -> str:
    return hash_bytes(data(picture))


def key(picture: int, box: int) -> str:
    return make_sample_key(sha(picture), BOXES[box])


def make_crop(picture: int, box: int, detector: str) -> FaceCrop:
    place = BOXES[box]
    return FaceCrop(Face(detector, place, 0.5), key(picture, box), place, 1, 1.0)


def add(dataset: Dataset, picture: int, source: str = "folder") -> None:
    """A picture with its file; its bytes are no picture, and nobody decodes them."""
    path = dataset.image_path(sha(picture), "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data(picture))
    size = len(data(picture))
    result = Measured(sha(picture), "JPEG", size, 40, 10, 1, 1, picture, 1.0)
    dataset.images.add(result, Origin(source, str(picture), hint="cat"))


class Action:
    """What a person does with one picture; whatever makes no sense there does nothing."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, what: str, picture: int, box: int, label: str) -> None:
        if what == "add":
            add(self.dataset, picture, label)
        elif self.dataset.images.get(sha(picture)) is not None:
            getattr(self, what)(picture, box, label)

    def search(self, picture: int, box: int, label: str) -> None:
        """Find one face, or two with another detector; a small one has no sample."""
        result = [box] if label == "cat" else [0, 1]
        cuts = [make_crop(picture, face_box, label) for face_box in result]
        small = [Face(label, Box(30, 5, 2, 2), 0.1)] if box else []
        self.dataset.faces.replace(sha(picture), label, "", cuts, cut="margin=0", small=small)

    def lose(self, picture: int, box: int, label: str) -> None:
        self.dataset.faces.replace(sha(picture), label, "again", [])

    def take(self, picture: int, box: int, label: str) -> None:
        """As `labeler import` does: a face without a search, and its label."""
        with self.dataset.db.transaction():
            self.dataset.faces.add_manual(sha(picture), make_crop(picture, box, "whole"))
        self.label(picture, box, label)

    def draw(self, picture: int, box: int, label: str) -> None:
        with self.dataset.db.transaction():
            if self.dataset.faces.add_manual(sha(picture), make_crop(picture, box, HAND)):
                self._decide(picture, box, "add")

    def label(self, picture: int, box: int, label: str) -> None:
        self._decide(picture, box, "label", label)

    def reject(self, picture: int, box: int, label: str) -> None:
        self._decide(picture, box, "reject")

    def clear(self, picture: int, box: int, label: str) -> None:
        self._decide(picture, box, "clear")

    def undo(self, picture: int, box: int, label: str) -> None:
        with suppress(UsageError):
            self.dataset.journal.undo()

    def _decide(self, picture: int, box: int, action: str, label: str | None = None) -> None:
        if self.dataset.samples.get(key(picture, box)) is not None:
            self.dataset.journal.apply(action, [Choice(key(picture, box), action, label)])


ACTION_NAMES = (
    "add",
    "search",
    "search",
    "lose",
    "take",
    "draw",
    "label",
    "label",
    "reject",
    "clear",
    "undo",
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(ACTION_NAMES), st.integers(0, 2), st.integers(0, 1), st.sampled_from(LABELS)
    ),
    max_size=8,
)


def make_dataset(root: Path, who: str, actions: list[tuple[str, int, int, str]]) -> Path:
    with Dataset.create(root) as dataset:
        dataset.journal.who = who
        for action_arguments in actions:
            Action(dataset)(*action_arguments)
    return root


def merge(into: Path, other: Path, *, simulate: bool = False) -> MergeResult:
    with Dataset.open(into) as dataset:
        return merge_dataset(dataset, other, simulate=simulate, progress=Progress())


def all_rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a catalogue."""
    with Dataset.open(root) as dataset:
        names = [
            row[0]
            for row in dataset.db.fetch_all(
                "SELECT name FROM sqlite_master WHERE type='table' AND name<>'sqlite_sequence'"
            )
        ]
        return {
            name: list(map(tuple, dataset.db.fetch_all(f"SELECT * FROM {name}"))) for name in names
        }


def list_lines(root: Path, kind: str) -> list[dict[str, Any]]:
    with Dataset.open(root) as dataset:
        return list(list_records(dataset, kind, ()))


def list_labels(root: Path) -> dict[str, tuple[str, str | None]]:
    return {
        line["id"]: (line["status"], line["label"])
        for line in list_lines(root, "samples")
        if line["status"] in ("labelled", "rejected")
    }


def list_decisions(root: Path) -> list[tuple[str, ...]]:
    """Who decided what and when, but for what the merges made of it."""
    return sorted(
        tuple(str(line[name]) for name in ("at", "who", "name", "sample", "action", "value"))
        for line in list_lines(root, "decisions")
        if not line["name"].startswith("Merge ")
    )


def read_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(autouse=True)
def _every_step_has_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("gleanset.db.journal.now", lambda: f"2026-01-01T{next(ticks):08d}Z")


@settings(max_examples=examples(8, 25), suppress_health_check=list(HealthCheck))
@given(before=ACTIONS, mine=ACTIONS, theirs=ACTIONS)
def test_merge_is_idempotent_and_symmetric(
    before: list[tuple[str, int, int, str]],
    mine: list[tuple[str, int, int, str]],
    theirs: list[tuple[str, int, int, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, other = Path(folder, "ours"), Path(folder, "other")
        start = [("add", 0, 0, "cat"), ("search", 0, 0, "owl"), *before]
        make_dataset(ours, "ana", start)
        shutil.copytree(ours, other)
        make_dataset(ours, "ana", mine)
        make_dataset(other, "ben", theirs)
        _check_merges(ours, other)


@settings(max_examples=examples(5, 12), suppress_health_check=list(HealthCheck))
@given(mine=ACTIONS, theirs=ACTIONS)
def test_mutual_merges_converge(
    mine: list[tuple[str, int, int, str]], theirs: list[tuple[str, int, int, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = [("add", 0, 0, "cat"), ("take", 0, 0, "cat")]
        ours = make_dataset(Path(folder, "ours"), "ana", start)
        other = Path(folder, "other")
        shutil.copytree(ours, other)
        make_dataset(ours, "ana", mine)
        make_dataset(other, "ben", theirs)
        for _ in range(2):
            merge(ours, other)
            merge(other, ours)
        assert not any(merge(ours, other).result.values())
        assert not any(merge(other, ours).result.values())
        assert list_labels(ours) == list_labels(other)
        assert list_decisions(ours) == list_decisions(other)


def _check_merges(ours: Path, other: Path) -> None:
    back = ours.with_name("back")
    shutil.copytree(other, back)
    mine = ours.with_name("mine")
    shutil.copytree(ours, mine)
    rows_before, theirs, labels_before = all_rows(ours), read_files(other), list_labels(ours)

    simulated = merge(ours, other, simulate=True)
    assert all_rows(ours) == rows_before
    assert merge(ours, other) == simulated
    assert read_files(other) == theirs

    # Again: nothing at all.
    rows_after = all_rows(ours)
    again = merge(ours, other).result
    assert [name for name, number in again.items() if number] == []
    assert all_rows(ours) == rows_after

    # The other way round: the same pictures, decisions and labels.
    merge(back, mine)
    assert list_labels(back) == list_labels(ours)
    assert list_decisions(back) == list_decisions(ours)
    for root in (ours, back):
        assert len({line["sha256"] for line in list_lines(root, "images")}) == len(
            all_rows(root)["image"]
        )
    assert list_lines(back, "images") == list_lines(ours, "images")

    # Undo takes back what it decided, and nothing else.
    if simulated.result["decided"]:
        with Dataset.open(ours) as dataset:
            undone = dataset.journal.undo()
            assert undone.name == f"Merge other: {simulated.result['decided']} decisions"
            assert undone.changed_since == 0
            assert {sample.key for sample in dataset.samples.iterate()} >= labels_before.keys()
        assert list_labels(ours) == labels_before


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two datasets of the same two imported pictures, labelled on their own."""
    actions = [("add", 0, 0, "cat"), ("add", 1, 0, "cat"), ("take", 0, 0, "cat")]
    ours = make_dataset(tmp_path / "ours", "ana", [*actions, ("take", 1, 0, "cat")])
    return ours, make_dataset(tmp_path / "other", "ben", [*actions, ("take", 1, 0, "owl")])


def test_undo_of_merge_keeps_merged_steps(pair: tuple[Path, Path]) -> None:
    ours, other = pair
    merge(ours, other)
    with Dataset.open(ours) as dataset:
        assert dataset.journal.undo().name == "Merge other: 1 decisions"
        assert dataset.samples.get(key(1, 0)).label == "cat"  # type: ignore[union-attr]
        # What comes next is the last step of our own, not one of theirs.
        assert dataset.journal.undo().restored == 1
        assert dataset.samples.get(key(1, 0)).label is None  # type: ignore[union-attr]


def test_later_decision_replaces_common_one(tmp_path: Path) -> None:
    ours = make_dataset(
        tmp_path / "ours",
        "ana",
        [("add", 0, 0, "cat"), ("take", 0, 0, "cat"), ("take", 0, 1, "cat")],
    )
    other = tmp_path / "other"
    shutil.copytree(ours, other)
    make_dataset(other, "ben", [("label", 0, 0, "owl"), ("clear", 0, 1, "")])
    assert merge(ours, other).conflicts == {}
    assert list_labels(ours) == {key(0, 0): ("labelled", "owl")}


def test_late_image_completes_its_step(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        both = [Choice(key(n, 0), "label", "owl") for n in range(2)]
        dataset.journal.apply("both", both)
        lost = dataset.image_path(sha(1), "JPEG")
    lost.rename(tmp_path / "lost")
    third = make_dataset(tmp_path / "third", "eve", [])
    assert merge(third, other).result["rejected"] == 1
    (tmp_path / "lost").rename(lost)
    assert merge(third, other).result["decisions"] == 2
    assert list_decisions(third) == list_decisions(other)
    assert list_labels(third) == list_labels(other)


@pytest.mark.damages("loses the file of a picture that is still to be fetched")
def test_unmerged_image_is_still_fetched(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        for picture in range(2):
            dataset.fetches.record(FetchOutcome("urls", f"{picture}", "done", image=sha(picture)))
        dataset.image_path(sha(1), "JPEG").unlink()
    third = make_dataset(tmp_path / "third", "eve", [])
    merge(third, other)
    with Dataset.open(third) as dataset:
        assert dataset.fetches.get_state("urls", "0") == "done"
        assert dataset.fetches.get_state("urls", "1") is None
