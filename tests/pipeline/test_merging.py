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


def cut(picture: int, box: int, detector: str) -> FaceCrop:
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


class Act:
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
        cuts = [cut(picture, one, label) for one in result]
        small = [Face(label, Box(30, 5, 2, 2), 0.1)] if box else []
        self.dataset.faces.replace(sha(picture), label, "", cuts, cut="margin=0", small=small)

    def lose(self, picture: int, box: int, label: str) -> None:
        self.dataset.faces.replace(sha(picture), label, "again", [])

    def take(self, picture: int, box: int, label: str) -> None:
        """As `labeler import` does: a face without a search, and its label."""
        with self.dataset.db.transaction():
            self.dataset.faces.add_manual(sha(picture), cut(picture, box, "whole"))
        self.label(picture, box, label)

    def draw(self, picture: int, box: int, label: str) -> None:
        with self.dataset.db.transaction():
            if self.dataset.faces.add_manual(sha(picture), cut(picture, box, HAND)):
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


WHAT = (
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
ACTS = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 2), st.integers(0, 1), st.sampled_from(LABELS)),
    max_size=8,
)


def made(root: Path, who: str, acts: list[tuple[str, int, int, str]]) -> Path:
    with Dataset.create(root) as dataset:
        dataset.journal.who = who
        for act in acts:
            Act(dataset)(*act)
    return root


def merged(into: Path, other: Path, *, simulate: bool = False) -> MergeResult:
    with Dataset.open(into) as dataset:
        return merge_dataset(dataset, other, simulate=simulate, progress=Progress())


def rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
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


def listed(root: Path, kind: str) -> list[dict[str, Any]]:
    with Dataset.open(root) as dataset:
        return list(list_records(dataset, kind, ()))


def decided(root: Path) -> dict[str, tuple[str, str | None]]:
    return {
        line["id"]: (line["status"], line["label"])
        for line in listed(root, "samples")
        if line["status"] in ("labelled", "rejected")
    }


def decisions(root: Path) -> list[tuple[str, ...]]:
    """Who decided what and when, but for what the merges made of it."""
    return sorted(
        tuple(str(line[name]) for name in ("at", "who", "name", "sample", "action", "value"))
        for line in listed(root, "decisions")
        if not line["name"].startswith("Merge ")
    )


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(autouse=True)
def _every_step_has_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("gleanset.db.journal.now", lambda: f"2026-01-01T{next(ticks):08d}Z")


@settings(max_examples=examples(8, 25), suppress_health_check=list(HealthCheck))
@given(before=ACTS, mine=ACTS, theirs=ACTS)
def test_merging_is_the_same_once_and_twice_there_and_back(
    before: list[tuple[str, int, int, str]],
    mine: list[tuple[str, int, int, str]],
    theirs: list[tuple[str, int, int, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, other = Path(folder, "ours"), Path(folder, "other")
        start = [("add", 0, 0, "cat"), ("search", 0, 0, "owl"), *before]
        made(ours, "ana", start)
        shutil.copytree(ours, other)
        made(ours, "ana", mine)
        made(other, "ben", theirs)
        _check_merges(ours, other)


@settings(max_examples=examples(5, 12), suppress_health_check=list(HealthCheck))
@given(mine=ACTS, theirs=ACTS)
def test_two_that_take_each_other_in_come_to_rest_and_say_the_same(
    mine: list[tuple[str, int, int, str]], theirs: list[tuple[str, int, int, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = [("add", 0, 0, "cat"), ("take", 0, 0, "cat")]
        ours = made(Path(folder, "ours"), "ana", start)
        other = Path(folder, "other")
        shutil.copytree(ours, other)
        made(ours, "ana", mine)
        made(other, "ben", theirs)
        for _ in range(2):
            merged(ours, other)
            merged(other, ours)
        assert not any(merged(ours, other).result.values())
        assert not any(merged(other, ours).result.values())
        assert decided(ours) == decided(other)
        assert decisions(ours) == decisions(other)


def _check_merges(ours: Path, other: Path) -> None:
    back = ours.with_name("back")
    shutil.copytree(other, back)
    mine = ours.with_name("mine")
    shutil.copytree(ours, mine)
    had, theirs, was = rows(ours), files(other), decided(ours)

    promised = merged(ours, other, simulate=True)
    assert rows(ours) == had
    assert merged(ours, other) == promised
    assert files(other) == theirs

    # Again: nothing at all.
    once = rows(ours)
    again = merged(ours, other).result
    assert [name for name, number in again.items() if number] == []
    assert rows(ours) == once

    # The other way round: the same pictures, decisions and labels.
    merged(back, mine)
    assert decided(back) == decided(ours)
    assert decisions(back) == decisions(ours)
    for root in (ours, back):
        assert len({line["sha256"] for line in listed(root, "images")}) == len(rows(root)["image"])
    assert listed(back, "images") == listed(ours, "images")

    # Undo takes back what it decided, and nothing else.
    if promised.result["decided"]:
        with Dataset.open(ours) as dataset:
            undone = dataset.journal.undo()
            assert undone.name == f"Merge other: {promised.result['decided']} decisions"
            assert undone.changed_since == 0
            assert {sample.key for sample in dataset.samples.iterate()} >= was.keys()
        assert decided(ours) == was


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two datasets of the same two imported pictures, labelled on their own."""
    acts = [("add", 0, 0, "cat"), ("add", 1, 0, "cat"), ("take", 0, 0, "cat")]
    ours = made(tmp_path / "ours", "ana", [*acts, ("take", 1, 0, "cat")])
    return ours, made(tmp_path / "other", "ben", [*acts, ("take", 1, 0, "owl")])


def test_undoing_a_merge_leaves_the_steps_of_the_other_alone(pair: tuple[Path, Path]) -> None:
    ours, other = pair
    merged(ours, other)
    with Dataset.open(ours) as dataset:
        assert dataset.journal.undo().name == "Merge other: 1 decisions"
        assert dataset.samples.get(key(1, 0)).label == "cat"  # type: ignore[union-attr]
        # What comes next is the last step of our own, not one of theirs.
        assert dataset.journal.undo().restored == 1
        assert dataset.samples.get(key(1, 0)).label is None  # type: ignore[union-attr]


def test_a_word_that_was_said_since_both_were_the_same_counts_both_ways(tmp_path: Path) -> None:
    ours = made(
        tmp_path / "ours",
        "ana",
        [("add", 0, 0, "cat"), ("take", 0, 0, "cat"), ("take", 0, 1, "cat")],
    )
    other = tmp_path / "other"
    shutil.copytree(ours, other)
    made(other, "ben", [("label", 0, 0, "owl"), ("clear", 0, 1, "")])
    assert merged(ours, other).conflicts == {}
    assert decided(ours) == {key(0, 0): ("labelled", "owl")}


def test_a_picture_that_comes_later_completes_the_step_that_labelled_it(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        both = [Choice(key(n, 0), "label", "owl") for n in range(2)]
        dataset.journal.apply("both", both)
        lost = dataset.image_path(sha(1), "JPEG")
    lost.rename(tmp_path / "lost")
    third = made(tmp_path / "third", "eve", [])
    assert merged(third, other).result["rejected"] == 1
    (tmp_path / "lost").rename(lost)
    assert merged(third, other).result["decisions"] == 2
    assert decisions(third) == decisions(other)
    assert decided(third) == decided(other)


@pytest.mark.damages("loses the file of a picture that is still to be fetched")
def test_what_was_fetched_there_and_is_not_here_is_still_fetched(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        for picture in range(2):
            dataset.fetches.record(FetchOutcome("urls", f"{picture}", "done", image=sha(picture)))
        dataset.image_path(sha(1), "JPEG").unlink()
    third = made(tmp_path / "third", "eve", [])
    merged(third, other)
    with Dataset.open(third) as dataset:
        assert dataset.fetches.get_state("urls", "0") == "done"
        assert dataset.fetches.get_state("urls", "1") is None
