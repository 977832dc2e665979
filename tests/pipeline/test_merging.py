"""`gleanset merge`: idempotent, symmetric, as simulated, and undone as one step."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tools_for_tests import examples, read_files, run_here, write_pictures

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.decisions import UNLISTED_MARK, apply_decisions, set_mark
from gleanset.errors import UsageError
from gleanset.files.store import hash_bytes
from gleanset.html.words import count
from gleanset.images.cropping import make_sample_key
from gleanset.records import HAND, Box, Face, FaceCrop, Measured, Origin
from gleanset.work.progress import Progress
from labeler.classes import ClassEditor
from pipeline.listing import list_records
from pipeline.maintenance.merge import MergeResult, merge_dataset
from pipeline.maintenance.removals import plan_removal, remove_images

BOXES = (Box(0, 0, 10, 10), Box(20, 0, 10, 10))
LABELS = ("cat", "owl")
Actions = list[tuple[str, int, int, str]]


def image_bytes(image: int) -> bytes:
    return b"image %d" % image


def sha(image: int) -> str:
    return hash_bytes(image_bytes(image))


def key(image: int, box: int) -> str:
    return make_sample_key(sha(image), BOXES[box])


def make_crop(image: int, box: int, detector: str) -> FaceCrop:
    face = Face(detector, BOXES[box], 0.5)
    return FaceCrop(face, key(image, box), face.box, 1, 1.0)


def add(dataset: Dataset, image: int, source: str = "folder") -> None:
    """Add an image whose bytes are not an image: merging decodes nothing."""
    path = dataset.image_path(sha(image), "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(image))
    size = len(image_bytes(image))
    measured = Measured(sha(image), "JPEG", size, 40, 10, 1, 1, image, 1.0)
    dataset.images.add(measured, Origin(source, str(image), hint="cat"))


class Action:
    """Apply an action to one image; an impossible one does nothing."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, name: str, image: int, box: int, label: str) -> None:
        if name == "add":
            add(self.dataset, image, label)
        elif self.dataset.images.get(sha(image)) is not None:
            getattr(self, name)(image, box, label)

    def search(self, image: int, box: int, label: str) -> None:
        """Record one face, or two of another detector; a small one has no sample."""
        boxes = [box] if label == "cat" else [0, 1]
        crops = [make_crop(image, number, label) for number in boxes]
        small = [Face(label, Box(30, 5, 2, 2), 0.1)] if box else []
        self.dataset.faces.replace(
            sha(image), label, "", crops, cut="margin=0", small=small
        )

    def lose(self, image: int, box: int, label: str) -> None:
        self.dataset.faces.replace(sha(image), label, "again", [])

    def import_label(self, image: int, box: int, label: str) -> None:
        """Add a face without a search and its label, as `labeler import` does."""
        with self.dataset.db.transaction():
            self.dataset.faces.add_manual(sha(image), make_crop(image, box, "whole"))
        self.label(image, box, label)

    def draw(self, image: int, box: int, label: str) -> None:
        with self.dataset.db.transaction():
            if self.dataset.faces.add_manual(sha(image), make_crop(image, box, HAND)):
                self._decide(image, box, "add")

    def label(self, image: int, box: int, label: str) -> None:
        self._decide(image, box, "label", label)

    def reject(self, image: int, box: int, label: str) -> None:
        """Reject a face: it is not one, or shows an unlisted person."""
        mark = UNLISTED_MARK if label == "owl" else None
        self._decide(image, box, "reject", mark=mark)

    def clear(self, image: int, box: int, label: str) -> None:
        self._decide(image, box, "clear")

    def undo(self, image: int, box: int, label: str) -> None:
        with suppress(UsageError):
            self.dataset.journal.undo()

    def _decide(
        self,
        image: int,
        box: int,
        action: str,
        label: str | None = None,
        mark: str | None = None,
    ) -> None:
        if self.dataset.samples.get(key(image, box)) is not None:
            choice = Choice(key(image, box), action, label)
            step = self.dataset.journal.apply(action, [choice])
            with self.dataset.db.transaction():
                set_mark(self.dataset.db, step, [choice.sample], mark)


ACTION_NAMES = (
    "add",
    "search",
    "search",
    "lose",
    "import_label",
    "draw",
    "label",
    "label",
    "reject",
    "clear",
    "undo",
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(ACTION_NAMES),
        st.integers(0, 2),
        st.integers(0, 1),
        st.sampled_from(LABELS),
    ),
    max_size=8,
)


def make_dataset(root: Path, who: str, actions: Actions) -> Path:
    with Dataset.create(root) as dataset:
        dataset.journal.user = who
        for action in actions:
            Action(dataset)(*action)
    return root


def merge(into: Path, other: Path, *, simulate: bool = False) -> MergeResult:
    with Dataset.open(into) as dataset:
        return merge_dataset(dataset, other, simulate=simulate, progress=Progress())


def all_rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    with Dataset.open(root) as dataset:
        names = [
            row[0]
            for row in dataset.db.fetch_all(
                "SELECT name FROM sqlite_master WHERE type='table' AND name<>'sqlite_sequence'"
            )
        ]
        return {
            name: list(map(tuple, dataset.db.fetch_all(f"SELECT * FROM {name}")))
            for name in names
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


def list_rejections(root: Path) -> list[str]:
    with Dataset.open(root) as dataset:
        return [rejection.reason for rejection in dataset.rejections.iterate()]


def list_decisions(root: Path) -> list[tuple[str, ...]]:
    """Return all decisions except those of merges."""
    return sorted(
        tuple(
            str(line[name])
            for name in ("at", "user", "name", "sample", "action", "value")
        )
        for line in list_lines(root, "decisions")
        if not line["name"].startswith("Merge ")
    )


@pytest.fixture(autouse=True)
def _steps_at_distinct_times(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(
        "gleanset.db.journal.now", lambda: f"2026-01-01T{next(ticks):08d}Z"
    )


CONFLICTS: Actions = [
    ("label", 0, 0, "cat"),
    ("add", 1, 0, "owl"),
    ("import_label", 1, 1, "owl"),
    ("reject", 1, 1, ""),
    ("undo", 0, 0, ""),
    ("draw", 0, 1, "cat"),
]
LOSSES: Actions = [
    ("label", 0, 0, "owl"),
    ("search", 0, 1, "cat"),
    ("add", 2, 0, "cat"),
    ("import_label", 2, 0, "cat"),
    ("clear", 2, 0, ""),
    ("lose", 0, 0, "owl"),
]


@settings(max_examples=examples(1, 25), suppress_health_check=list(HealthCheck))
@given(before=ACTIONS, mine=ACTIONS, theirs=ACTIONS)
@example(before=[("label", 0, 0, "cat")], mine=CONFLICTS, theirs=LOSSES)
def test_merge_is_idempotent_and_symmetric(
    before: Actions, mine: Actions, theirs: Actions
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder, "ours")
        other = Path(folder, "other")
        make_dataset(
            ours, "ana", [("add", 0, 0, "cat"), ("search", 0, 0, "owl"), *before]
        )
        shutil.copytree(ours, other)
        make_dataset(ours, "ana", mine)
        make_dataset(other, "ben", theirs)
        _check_merges(ours, other)


@settings(max_examples=examples(1, 12), suppress_health_check=list(HealthCheck))
@given(mine=ACTIONS, theirs=ACTIONS)
@example(mine=LOSSES, theirs=CONFLICTS)
def test_mutual_merges_converge(mine: Actions, theirs: Actions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start: Actions = [("add", 0, 0, "cat"), ("import_label", 0, 0, "cat")]
        ours = make_dataset(Path(folder, "ours"), "ana", start)
        other = Path(folder, "other")
        shutil.copytree(ours, other)
        make_dataset(ours, "ana", mine)
        make_dataset(other, "ben", theirs)
        for _ in range(2):
            merge(ours, other)
            merge(other, ours)
        assert not any(merge(ours, other).result.to_json().values())
        assert not any(merge(other, ours).result.to_json().values())
        assert list_labels(ours) == list_labels(other)
        assert list_decisions(ours) == list_decisions(other)


def _check_merges(ours: Path, other: Path) -> None:
    back = ours.with_name("back")
    shutil.copytree(other, back)
    mine = ours.with_name("mine")
    shutil.copytree(ours, mine)
    rows_before = all_rows(ours)
    theirs = read_files(other)
    labels_before = list_labels(ours)

    simulated = merge(ours, other, simulate=True)
    assert (all_rows(ours), merge(ours, other)) == (rows_before, simulated)
    assert read_files(other) == theirs

    rows_after = all_rows(ours)
    assert not any(merge(ours, other).result.to_json().values())
    assert all_rows(ours) == rows_after

    # The other way round gives the same images, decisions and labels.
    merge(back, mine)
    assert list_labels(back) == list_labels(ours)
    assert list_decisions(back) == list_decisions(ours)
    for root in (ours, back):
        assert len({line["sha256"] for line in list_lines(root, "images")}) == len(
            all_rows(root)["image"]
        )
    assert list_lines(back, "images") == list_lines(ours, "images")

    if simulated.result.decided:
        with Dataset.open(ours) as dataset:
            undone = dataset.journal.undo()
            assert (
                undone.name
                == f"Merge other: {count(simulated.result.decided, 'decision')}"
            )
            assert undone.changed_since == 0
            assert {
                sample.key for sample in dataset.samples.iterate()
            } >= labels_before.keys()
        assert list_labels(ours) == labels_before


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Return two datasets of the same two imported images with separate labels."""
    actions = [
        ("add", 0, 0, "cat"),
        ("add", 1, 0, "cat"),
        ("import_label", 0, 0, "cat"),
    ]
    ours = make_dataset(
        tmp_path / "ours", "ana", [*actions, ("import_label", 1, 0, "cat")]
    )
    return ours, make_dataset(
        tmp_path / "other", "ben", [*actions, ("import_label", 1, 0, "owl")]
    )


def test_undo_of_merge_keeps_merged_steps(pair: tuple[Path, Path]) -> None:
    ours, other = pair
    merge(ours, other)
    with Dataset.open(ours) as dataset:
        assert dataset.journal.undo().name == "Merge other: 1 decision"
        assert dataset.samples.get(key(1, 0)).label == "cat"  # type: ignore[union-attr]
        # The next undo takes our own last step, not a merged one.
        assert dataset.journal.undo().restored == 1
        assert dataset.samples.get(key(1, 0)).label is None  # type: ignore[union-attr]


def test_later_decision_replaces_common_one(tmp_path: Path) -> None:
    ours = make_dataset(
        tmp_path / "ours",
        "ana",
        [
            ("add", 0, 0, "cat"),
            ("import_label", 0, 0, "cat"),
            ("import_label", 0, 1, "cat"),
        ],
    )
    other = tmp_path / "other"
    shutil.copytree(ours, other)
    make_dataset(other, "ben", [("label", 0, 0, "owl"), ("clear", 0, 1, "")])
    assert merge(ours, other).conflicts == {}
    assert list_labels(ours) == {key(0, 0): ("labelled", "owl")}


def test_late_image_completes_its_step(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        choices = [Choice(key(n, 0), "label", "owl") for n in range(2)]
        dataset.journal.apply("both", choices)
        lost = dataset.image_path(sha(1), "JPEG")
    lost.rename(tmp_path / "lost")
    third = make_dataset(tmp_path / "third", "eve", [])
    assert merge(third, other).result.rejected == 1
    assert list_rejections(third) == ["file is gone"]
    lost.touch()
    merge(third, other)
    assert list_rejections(third) == ["damaged"]
    lost.unlink()
    lost.mkdir()
    merge(third, other)
    assert list_rejections(third) == ["cannot be read"]
    lost.rmdir()
    (tmp_path / "lost").rename(lost)
    assert merge(third, other).result.decisions == 2
    assert list_rejections(third) == []
    assert list_decisions(third) == list_decisions(other)
    assert list_labels(third) == list_labels(other)


@pytest.mark.damages("the file of an image that is still to be fetched is missing")
def test_unmerged_image_is_still_fetched(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = pair
    with Dataset.open(other) as dataset:
        for image in range(2):
            dataset.fetches.record(Origin("urls", f"{image}"), "done", image=sha(image))
        dataset.image_path(sha(1), "JPEG").unlink()
    third = make_dataset(tmp_path / "third", "eve", [])
    merge(third, other)
    with Dataset.open(third) as dataset:
        assert dataset.fetches.get_state("urls", "0") == "done"
        assert dataset.fetches.get_state("urls", "1") is None


@pytest.mark.damages("the file of a frame that is still to be sampled is missing")
def test_video_with_an_unmerged_frame_is_sampled_again(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = pair
    frames = [
        Origin("video", f"{video}@{image}", video=video, title=video)
        for video, image in (("whole", 0), ("partly", 0), ("partly", 1))
    ]
    with Dataset.open(other) as dataset, dataset.db.transaction():
        for image, origin in zip((0, 0, 1), frames, strict=True):
            dataset.images.add_origin(sha(image), origin)
            dataset.videos.record(origin, "every=1", 2.0, 1)
        dataset.image_path(sha(1), "JPEG").unlink()
    third = make_dataset(tmp_path / "third", "eve", [])
    merge(third, other)
    with Dataset.open(third) as dataset:
        assert dataset.videos.get_frame_count("whole", "every=1") == 1
        assert dataset.videos.get_frame_count("partly", "every=1") is None


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[tuple[Dataset, Dataset]]:
    """Yield two copies of a dataset of six images imported in one step."""
    write_pictures(tmp_path / "tree" / "hana", 6)
    run_here("labeler.cli", "import", tmp_path / "tree", "-q", "-d", tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "theirs")
    with (
        Dataset.open(tmp_path / "ours") as ours,
        Dataset.open(tmp_path / "theirs") as theirs,
    ):
        yield ours, theirs


def merge_counts(into: Dataset, other: Dataset) -> tuple[object, object]:
    result = merge_dataset(into, other.root, simulate=False, progress=Progress()).result
    return result.decisions, result.conflicts


def test_conflict_stays_queued_after_removals(copies: tuple[Dataset, Dataset]) -> None:
    ours, theirs = copies
    first, second, third, *_ = sorted(sample.key for sample in ours.samples.iterate())
    image = {sample.key: sample.image for sample in ours.samples.iterate()}
    ours.journal.apply("mine", [Choice(first, "label", "cat")])
    theirs.journal.apply("theirs", [Choice(first, "label", "owl")])
    remove_images(ours, plan_removal(ours, [image[second]], [], []), "asked to")
    remove_images(theirs, plan_removal(theirs, [image[third]], [], []), "asked to")
    assert merge_counts(ours, theirs) == (1, 1)
    # The step that imported all six has five decisions in each copy, and is still the same one.
    assert merge_counts(ours, theirs) == (0, 0)
    disputed = ours.samples.get(first)
    assert (disputed.status, disputed.label) == ("queue", None)
    assert ours.images.get(image[second]) is None
    merge_counts(theirs, ours)
    assert merge_counts(theirs, ours) == merge_counts(ours, theirs) == (0, 0)


def test_unlisted_person_stays_one(copies: tuple[Dataset, Dataset]) -> None:
    ours, theirs = copies
    first, second, *_ = sorted(sample.key for sample in ours.samples.iterate())

    def reject(dataset: Dataset, key: str, mark: str | None) -> None:
        apply_decisions(dataset.db, "reject", [Choice(key, "reject")], mark)

    def states() -> list[tuple[object, object]]:
        lines = {line["id"]: line for line in list_records(ours, "samples", ())}
        return [(lines[key]["status"], lines[key]["mark"]) for key in (first, second)]

    unlisted = ("rejected", "unlisted person")
    reject(theirs, first, UNLISTED_MARK)
    reject(theirs, second, UNLISTED_MARK)
    assert merge_counts(ours, theirs) == (2, 0)
    assert states() == [unlisted, unlisted]
    assert merge_counts(theirs, ours) == (0, 0)

    # Of two later decisions the marks alone may differ, too.
    reject(theirs, first, None)
    assert merge_counts(ours, theirs) == (1, 0)
    assert states() == [("rejected", None), unlisted]
    reject(ours, second, UNLISTED_MARK)
    reject(theirs, second, None)
    result = merge_dataset(ours, theirs.root, simulate=False, progress=Progress())
    assert result.conflicts == {second: "unlisted person or rejected"}
    assert states() == [("rejected", None), ("queue", None)]
    ours.journal.undo()
    assert states()[1] == unlisted


def test_class_in_other_case_or_of_former_name_is_the_class_here(
    tmp_path: Path,
) -> None:
    actions = [("add", n, 0, "x") for n in range(3)]
    actions += [("search", n, 0, "cat") for n in range(3)]
    ours = make_dataset(tmp_path / "ours", "me", actions)
    theirs = make_dataset(tmp_path / "theirs", "you", actions)
    with Dataset.open(ours) as dataset:
        dataset.journal.apply("l", [Choice(key(0, 0), "label", "cat")])
        dataset.journal.apply("l", [Choice(key(1, 0), "label", "owl")])
        ClassEditor(dataset).rename("owl", "Bubo")
    with Dataset.open(theirs) as dataset:
        dataset.journal.apply("l", [Choice(key(0, 0), "label", "CAT")])
        dataset.journal.apply("l", [Choice(key(1, 0), "label", "bubo")])
        dataset.journal.apply("l", [Choice(key(2, 0), "label", "owl")])

    simulated = merge(ours, theirs, simulate=True).result
    result = merge(ours, theirs).result
    assert simulated == result
    assert result.same_classes == {"CAT": "cat", "bubo": "Bubo", "owl": "Bubo"}
    # Both gave the same labels.
    assert (result.conflicts, result.decided) == (0, 1)
    with Dataset.open(ours) as dataset:
        assert list(dataset.classes) == ["Bubo", "cat"]
        labels = [dataset.samples.get(key(n, 0)).label for n in range(3)]
        assert labels == ["cat", "Bubo", "Bubo"]
        # Later labels of that name mean the class, too.
        dataset.journal.apply("l", [Choice(key(2, 0), "label", "CAT")])
        assert dataset.samples.get(key(2, 0)).label == "cat"
        dataset.journal.undo()

    assert merge(ours, theirs).result.same_classes == {}
    back = merge(theirs, ours).result
    assert back.same_classes == {"cat": "CAT", "Bubo": "bubo"}
    assert back.conflicts == 0


def test_merged_weak_label_retracts_label(copies: tuple[Dataset, Dataset]) -> None:
    ours, theirs = copies
    image = next(iter(ours.images.iterate())).sha256
    (key,) = [sample.key for sample in ours.samples.iterate() if sample.image == image]
    for dataset, hint in ((ours, "hana"), (theirs, "rei")):
        dataset.images.add_origin(image, Origin("folder", hint, hint=hint))
        dataset.journal.apply("Clear", [Choice(key, "clear")])
    ours.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    result = merge_dataset(ours, theirs.root, simulate=True, progress=Progress())
    assert ours.samples.get(key).label == "hana"
    assert result == merge_dataset(
        ours, theirs.root, simulate=False, progress=Progress()
    )
    assert result.result.taken_back == 1
    disputed = ours.samples.get(key)
    assert (disputed.status, disputed.label, disputed.hint) == ("queue", None, None)
    merge_counts(theirs, ours)
    assert merge_counts(ours, theirs) == merge_counts(theirs, ours) == (0, 0)
