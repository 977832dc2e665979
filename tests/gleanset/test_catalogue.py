"""Rows of the catalogue: images and origins, samples and splits, labels, predictions, runs."""

import random
from dataclasses import asdict
from pathlib import Path

import pytest
from catalogue_rows import add_image, add_sample, cut, measured, sha, store
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.db.journal import (
    MODEL,
    PAGE_USER,
    TOGETHER,
    Choice,
    get_label_provenances,
    get_unseen_labels,
)
from gleanset.db.proposals import (
    PrelabelledSample,
    PrelabelSamples,
    Proposal,
    Proposals,
)
from gleanset.db.regions import VideoFrames
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.db.samples import Hints, SplitEvidence
from gleanset.db.sorting import SampleTiles
from gleanset.operations import make_operation
from gleanset.records import Origin, Rejection
from labeler.classes import ClassEditor


def test_image_found_twice_has_two_origins(dataset: Dataset) -> None:
    first = Origin("bing", "u1", hint="cat")
    second = Origin("flickr", "9", hint="dog")
    assert dataset.images.add(measured(1), first)
    assert not dataset.images.add(measured(1), second)
    assert not dataset.images.add(measured(1), second)
    assert dataset.images.get(sha(1)).origins == (first, second)
    assert dataset.images.count() == 1


def test_iterate_visits_each_image_once(dataset: Dataset) -> None:
    numbers = random.Random(0).sample(range(10_000), 450)
    with dataset.db.transaction():
        for number in numbers:
            add_image(dataset, number)
    expected = sorted(sha(number) for number in numbers)
    assert [image.sha256 for image in dataset.images.iterate()] == expected


def test_unscanned_images_by_detector_and_settings(dataset: Dataset) -> None:
    for number in range(12):
        add_image(dataset, number)
    dataset.faces.replace(sha(3), "a", "v1", [])
    dataset.faces.record_failure(
        sha(4), "a", "v1", Rejection("facecrop", sha(4), "damaged")
    )
    assert dataset.images.count_unscanned(("a", "v1")) == 10
    assert dataset.images.count_unscanned(("a", "v2")) == 12
    assert dataset.images.count_unscanned(("b", "v1")) == 12
    scanned = []
    for sha256, kind in dataset.images.iter_unscanned(("a", "v1")):
        dataset.faces.replace(sha256, "a", "v1", [])
        scanned.append(sha256)
        assert kind == "JPEG"
    assert scanned == [sha(number) for number in range(12) if number not in (3, 4)]
    assert dataset.images.count_unscanned(("a", "v1")) == 0


def test_rejection_keeps_latest_reason(dataset: Dataset) -> None:
    dataset.rejections.add(Rejection("a", "x", "truncated", "1"))
    dataset.rejections.add(Rejection("a", "x", "empty", "2"))
    dataset.rejections.add(Rejection("b", "x", "empty"))
    assert list(dataset.rejections.iterate()) == [
        Rejection("a", "x", "empty", "2"),
        Rejection("b", "x", "empty"),
    ]
    assert dataset.rejections.count_by_reason() == {
        "a": {"empty": 1},
        "b": {"empty": 1},
    }
    dataset.rejections.remove("a", "x")
    assert list(dataset.rejections.iterate()) == [Rejection("b", "x", "empty")]


def test_text_invalid_in_sqlite_is_escaped(dataset: Dataset) -> None:
    odd = "a\udcffb\0c"
    dataset.images.add(measured(1), Origin("test", odd, title=odd, tags=(odd,)))
    dataset.rejections.add(Rejection("s", odd, "bad", odd))
    dataset.fetches.record(Origin("test", odd), "done", image=sha(1))
    assert [rejection.stage for rejection in dataset.rejections.iterate()] == ["s"]
    assert dataset.fetches.get_image("test", odd) == sha(1)
    assert dataset.images.get(sha(1)).origins[0].title == "a\\xffb\ufffdc"
    dataset.images.update_credit(sha(1), Origin("test", odd, author=odd))
    assert dataset.images.resolve(sha(1)).origins[0].author == "a\\xffb\ufffdc"


def test_operation_escapes_non_utf8_text(dataset: Dataset) -> None:
    dataset.journal.apply(
        make_operation("import", count=0, folder='a\udcff\ud83db"\\'), []
    )
    assert dataset.journal.undo().name == 'Import 0 from a\\xff\\ud83db"\\'


def test_unfinished_run_is_resumed(dataset: Dataset) -> None:
    first = dataset.runs.start("r1", "baseline", {"b": 2, "a": [1, "ü"]})
    assert dataset.runs.start("r2", "baseline", {"a": [1, "ü"], "b": 2}) == first
    assert dataset.runs.find_finished("baseline", first.settings) is None
    dataset.runs.finish("r1", "done", {"accuracy": 0.5})
    done = dataset.runs.find_finished("baseline", first.settings)
    assert (done.id, done.result, done.status) == ("r1", {"accuracy": 0.5}, "done")
    assert dataset.runs.start("r2", "baseline", first.settings).id == "r2"
    assert [run.id for run in dataset.runs.iterate()] == ["r1", "r2"]
    assert dataset.runs.get_latest("baseline") == done
    assert dataset.runs.get_latest("webapp") is None


def test_latest_run_is_the_last_one_also_after_the_clock_was_set_back(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run, time in (
        ("first", "2026-05-02T10:00:00Z"),
        ("last", "2026-05-01T10:00:00Z"),
    ):
        monkeypatch.setattr("gleanset.db.runs.now", lambda time=time: time)
        dataset.runs.start(run, "baseline", {"seed": 0})
        dataset.runs.finish(run, "done", {})
    assert [run.id for run in dataset.runs.iterate()] == ["first", "last"]
    found = dataset.runs.find_finished("baseline", {"seed": 0})
    assert found == dataset.runs.get_latest("baseline") == dataset.runs.get("last")


@pytest.fixture
def video_dataset(tmp_path: Path) -> Dataset:
    """Make nine unordered frames, one of another video, and an image."""
    dataset = Dataset.create(tmp_path / "d")
    for number in (4, 0, 8, 2, 6, 1, 3, 5, 7):
        add_image(
            dataset, number, Origin("v", f"{number}", video="film", time=number / 3)
        )
    add_image(dataset, 20, Origin("v", "20", video="other", time=1.0))
    add_image(dataset, 21, Origin("folder", "21"))
    for number in (0, 1, 4, 8, 20, 21):
        cuts = [cut(number, x, 0.9) for x in range(2)]
        dataset.faces.replace(sha(number), "test", "", cuts, cut="margin=0")
    return dataset


def row(dataset: Dataset, number: int) -> int:
    keys = [cut(number, 0, 0.9).key]
    return next(iter(SampleTiles(dataset.db).get_ids(keys).values()))


def test_context_has_frames_by_time_with_faces(video_dataset: Dataset) -> None:
    video_dataset.journal.apply("x", [Choice(cut(1, 0, 0.9).key, "label", "Miku")])
    frames, at = VideoFrames(video_dataset.db).get_context(row(video_dataset, 4))
    assert [frame.sha256 for frame in frames] == [sha(number) for number in range(9)]
    assert at == 4
    assert [frame.time for frame in frames] == [
        pytest.approx(number / 3) for number in range(9)
    ]
    assert [len(frame.faces) for frame in frames] == [2, 2, 0, 0, 2, 0, 0, 0, 2]
    assert {face.label for face in frames[1].faces} == {"Miku", None}
    assert frames[4].faces[0].id == row(video_dataset, 4)


@pytest.mark.parametrize(
    ("number", "expected", "at"), [(4, [3, 4, 5], 1), (0, [0, 1], 0), (8, [7, 8], 1)]
)
def test_max_frames_limits_context(
    video_dataset: Dataset, number: int, expected: list[int], at: int
) -> None:
    frames, place = VideoFrames(video_dataset.db).get_context(
        row(video_dataset, number), max_frames=1
    )
    assert [frame.sha256 for frame in frames] == [
        sha(frame_number) for frame_number in expected
    ]
    assert place == at


def test_context_excludes_other_videos(video_dataset: Dataset) -> None:
    result = VideoFrames(video_dataset.db)
    for number in (20, 21):
        frames, at = result.get_context(row(video_dataset, number))
        assert [frame.sha256 for frame in frames] == [sha(number)]
        assert at == 0
    assert result.get_context(10**6) == ([], 0)


def test_sample_round_trip(dataset: Dataset) -> None:
    add_image(dataset, 7, Origin("bing", "1", hint="cat"), Origin("bing", "2"))
    result = cut(7, 30, 0.75, sharpness=3.5)._replace(phash=(1 << 64) - 5)
    dataset.faces.replace(sha(7), "test", "", [result])
    sample = dataset.samples.get(result.key)
    assert asdict(sample) == {
        "key": result.key,
        "image": sha(7),
        "box": (30, 0, 10, 10),
        "detector": "test",
        "score": 0.75,
        "phash": (1 << 64) - 5,
        "sharpness": 3.5,
        "status": "queue",
        "label": None,
        "hint": "cat",
        "split": None,
        "group": None,
        "split_group": None,
        "angle": 0.0,
        "kept": True,
        "track": None,
    }
    assert dataset.samples.get("none") is None


def test_conflicting_hints_give_no_hint(dataset: Dataset) -> None:
    key = add_sample(
        dataset, 1, Origin("a", "1", hint="cat"), Origin("a", "2", hint="dog")
    )
    assert dataset.samples.get(key).hint is None
    [hinted] = Hints(dataset.db).iter_waiting()
    assert (hinted.key, hinted.hints, hinted.faces) == (key, 2, 1)


def test_new_detection_retires_and_revives_samples(dataset: Dataset) -> None:
    add_image(dataset, 1)
    cuts = [cut(1, x) for x in (0, 20, 40, 60)]
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    dataset.journal.apply(
        "x", [Choice(cuts[0].key, "label", "cat"), Choice(cuts[1].key, "reject")]
    )
    dataset.faces.replace(
        sha(1), "test", "v2", [cut(1, 60, 0.9, sharpness=8.0), cut(1, 80)]
    )
    decided = {0: "labelled", 20: "rejected"}
    assert _statuses(dataset) == decided | {40: "retired", 60: "queue", 80: "queue"}
    assert dataset.faces.count() == 2
    updated = dataset.samples.get(cuts[3].key)
    assert (updated.score, updated.sharpness) == (0.9, 8.0)
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    assert _statuses(dataset) == decided | {40: "queue", 60: "queue", 80: "retired"}
    assert dataset.samples.get(cuts[0].key).label == "cat"
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    assert (dataset.faces.count(), dataset.samples.count()) == (4, 5)


def test_new_detector_replaces_previous_one(dataset: Dataset) -> None:
    add_image(dataset, 1)
    cuts = [cut(1, 0, detector="one"), cut(1, 20, detector="one")]
    dataset.faces.replace(sha(1), "one", "", cuts)
    dataset.journal.apply("x", [Choice(cuts[0].key, "label", "cat")])
    dataset.faces.replace(sha(1), "two", "", [cut(1, 50, detector="two")])
    assert _statuses(dataset) == {0: "labelled", 20: "retired", 50: "queue"}
    assert [face.face.detector for face in dataset.faces.iterate()] == ["two"]
    assert dataset.db.fetch_int("SELECT count(DISTINCT image) FROM scan") == 1
    assert dataset.images.count_unscanned(("one", "")) == 1
    assert dataset.images.count_unscanned(("two", "")) == 0


def _statuses(dataset: Dataset) -> dict[int, str]:
    return {sample.box.x: sample.status for sample in dataset.samples.iterate()}


def test_split_groups_list_every_origin(dataset: Dataset) -> None:
    video = Origin("video", "v@1.5", video="ff", scene=2, time=1.5)
    post = Origin("pixiv", "9:0", post="9")
    key = add_sample(dataset, 1, video, post)
    add_sample(dataset, 2)
    dataset.journal.apply("x", [Choice(key, "label", "cat")])
    ties = list(SplitEvidence(dataset.db).iterate())
    assert [(t.key, t.label, t.video, t.scene, t.time, t.post) for t in ties] == [
        (key, "cat", None, None, None, "pixiv:9"),
        (key, "cat", "ff", 2, 1.5, None),
    ]


def test_prelabeling_round_trip_in_order(dataset: Dataset) -> None:
    keys = [add_sample(dataset, number) for number in range(3)]
    labels = [Choice(keys[0], "label", "miku"), Choice(keys[1], "label", "rin")]
    dataset.journal.apply("two", labels)
    proposals = Proposals(dataset.db)
    result = [
        PrelabelledSample(
            keys[2], 1, (Proposal("rin", 0.7), Proposal("miku", 0.2)), 4, 0.25
        ),
        PrelabelledSample(keys[0], 0),
    ]
    assert proposals.get_latest() is None
    number = proposals.replace(result, {"labelled": 2})
    assert list(proposals.iterate()) == [result[1], result[0]]
    prelabel = proposals.get_latest()
    assert (prelabel.id, prelabel.facts) == (number, {"labelled": 2})
    # A new one replaces all; unknown samples and classes are skipped.
    unknown_class = PrelabelledSample(keys[2], 0, (Proposal("nobody", 0.9),))
    assert proposals.replace([unknown_class, PrelabelledSample("gone", 1)], {}) > number
    assert list(proposals.iterate()) == [PrelabelledSample(keys[2], 0)]


@pytest.fixture
def keys(dataset: Dataset) -> list[str]:
    """Return four samples, all labelled 'cat' from weak labels."""
    stored = [store(dataset, picture(n), Origin("folder", str(n))) for n in range(4)]
    dataset.journal.apply(
        "Accept", [Choice(key, "label", "cat", "hint") for key in stored]
    )
    dataset.journal.apply("Other", [Choice(stored[3], "label", "owl")])
    return sorted(stored[:3])


def label_issue(key: str, margin: float = 0.5) -> LabelIssue:
    return LabelIssue(key, "cat", "owl", 0.9, margin, "run")


def test_label_issues_are_sorted_and_replaced(
    dataset: Dataset, keys: list[str]
) -> None:
    issues = LabelIssues(dataset.db)
    issues.replace(
        [label_issue(keys[0], 0.2), label_issue(keys[1], 0.7), label_issue("gone")]
    )
    assert [issue.sample for issue in issues.iterate()] == [keys[1], keys[0]]
    assert issues.get_many([keys[0], keys[2]]) == {keys[0]: label_issue(keys[0], 0.2)}
    issues.replace([label_issue(keys[2])])
    assert [row.sample for row in issues.iterate()] == [keys[2]]


def test_label_issue_ends_with_any_decision(dataset: Dataset, keys: list[str]) -> None:
    issues = LabelIssues(dataset.db)
    issues.replace([label_issue(key) for key in keys])
    dataset.journal.apply("Right", [Choice(keys[0], "label", "cat")])
    dataset.journal.apply("Wrong", [Choice(keys[1], "label", "owl")])
    assert [issue.sample for issue in issues.iterate()] == [keys[2]]
    dataset.journal.undo()
    # As in the window: an undone decision settles nothing.
    assert {issue.sample for issue in issues.iterate()} == {keys[1], keys[2]}


def test_evaluations_are_counted_by_samples(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    assert peeks.add("a", "test", ["x", "y"], "train") == (0, 0, ())
    assert peeks.add("b", "test", ["y", "x"], "train") == (1, 0, ("a",))
    assert peeks.add("c", "test", ["x", "y"], "evaluate") == (2, 0, ("a", "b"))
    assert peeks.add("b", "test", ["x"], "evaluate") == (0, 2, ())
    assert peeks.get_for_run("a", "test") == (3, 1, ("a", "b", "c"))
    assert peeks.get_for_run("d", "test") is None


def test_own_evaluations_of_a_run_are_excluded(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    for purpose in ("train", "evaluate", "evaluate"):
        assert peeks.add("a", "test", ["x"], purpose) == (0, 0, ())
    assert peeks.add("b", "test", ["x"], "train") == (3, 0, ("a",))
    assert peeks.add("a", "test", ["x"], "evaluate") == (1, 0, ("b",))
    # Label issues change labels of test, so later evaluations must report it.
    peeks.add("a", "test", ["x"], "label-issues")
    assert peeks.add("a", "test", ["x"], "evaluate") == (2, 0, ("b", "a"))


def test_repeated_training_counts_as_one_evaluation(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    peeks.add("a", "test", ["x"], "train")
    first = peeks.add("b", "test", ["x"], "train")
    peeks.add("c", "test", ["x"], "evaluate")
    assert peeks.add("b", "test", ["x"], "train") == first == (1, 0, ("a",))
    assert peeks.get_for_run("a", "test") == (3, 0, ("a", "b", "c"))


def test_label_provenance_follows_last_decision(
    dataset: Dataset, keys: list[str]
) -> None:
    assert {get_label_provenances(dataset.db)[key] for key in keys} == {"hint"}
    dataset.journal.apply("By hand", [Choice(keys[0], "label", "owl")])
    assert get_label_provenances(dataset.db)[keys[0]] == "person"
    dataset.journal.undo()
    assert get_label_provenances(dataset.db)[keys[0]] == "hint"
    dataset.journal.apply("Reject", [Choice(keys[0], "reject")])
    assert keys[0] not in get_label_provenances(dataset.db)
    dataset.journal.undo()
    assert get_label_provenances(dataset.db)[keys[0]] == "hint"


def test_unseen_labels_until_a_person_decides(dataset: Dataset) -> None:
    ClassEditor(dataset).add("rei")
    model, page_user, person = (add_sample(dataset, n) for n in range(3))
    dataset.journal.apply("Label", [Choice(model, "label", "hana", MODEL)])
    dataset.journal.apply("Label", [Choice(page_user, "label", "hana", PAGE_USER)])
    dataset.journal.apply("Label", [Choice(person, "label", "hana")])
    unseen = {model: MODEL, page_user: PAGE_USER}
    assert get_unseen_labels(dataset.db) == unseen
    ClassEditor(dataset).merge("hana", "rei")
    assert get_unseen_labels(dataset.db) == unseen, (
        "merging classes is not an evaluation"
    )
    dataset.journal.undo()
    assert get_unseen_labels(dataset.db) == unseen
    confirmed = dataset.journal.apply(
        "Confirm", [Choice(model, "label", "hana", "review")]
    )
    assert get_unseen_labels(dataset.db) == {page_user: PAGE_USER}
    dataset.journal.undo(confirmed)
    assert get_unseen_labels(dataset.db) == unseen, "what is taken back was no look"
    dataset.journal.undo()
    dataset.journal.undo()
    assert get_unseen_labels(dataset.db) == {model: MODEL}


def labelled(dataset: Dataset, numbers: range) -> list[str]:
    """Add samples with two weak labels; three in four are labelled."""
    keys = [
        add_sample(
            dataset, n, Origin("a", f"{n}", hint="cat"), Origin("b", f"{n}", hint="dog")
        )
        for n in numbers
    ]
    provenances = [
        (k, ("hint", "person", "duplicate", "")[n % 4]) for n, k in enumerate(keys)
    ]
    dataset.journal.apply(
        "x",
        [
            Choice(k, "label", "cat", provenance)
            for k, provenance in provenances
            if provenance
        ],
    )
    return keys


@pytest.mark.damages("labels by hints that are disputed are what it is about")
def test_label_queries_of_subset_equal_full(dataset: Dataset) -> None:
    keys = labelled(dataset, range(12))
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET duplicate_set='g' WHERE key IN (?,?)", (keys[0], keys[2])
        )
    dataset.journal.apply(
        "y", [Choice(keys[1], "clear"), Choice(keys[4], "label", "dog", "hint")]
    )
    dataset.journal.undo()
    provenances = get_label_provenances(dataset.db)
    hints = Hints(dataset.db)
    assert provenances[keys[1]] == "person", (
        "what an undo brought back has the provenance of before"
    )
    for number, key in enumerate(keys, 1):
        assert get_label_provenances(dataset.db, [number]) == {
            k: provenances[k] for k in provenances if k == key
        }
    disputed = hints.list_disputed()
    assert [sample.key for sample in disputed] == sorted(
        keys[n] for n in (0, 2, 4, 6, 8, 10)
    )
    assert [sample.key for sample in hints.list_disputed([sha(0)])] == sorted(
        [keys[0], keys[2]]
    )
    assert hints.list_disputed([sha(1)]) == []
    several = hints.list_disputed([sha(n) for n in range(12)])
    assert several == disputed


def test_prelabel_knows_who_gave_labels(dataset: Dataset, keys: list[str]) -> None:
    dataset.journal.apply("Cluster", [Choice(keys[0], "label", "owl", TOGETHER)])
    dataset.journal.apply("Slip", [Choice(keys[1], "label", "owl")])
    dataset.journal.undo()
    givers = {
        sample.key: sample.label_by for sample in PrelabelSamples(dataset.db).iterate()
    }
    assert [givers[key] for key in keys] == [TOGETHER, "hint", "hint"]
