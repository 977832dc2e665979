"""Samples: filters compared with brute force, replaced detections, written splits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, fields

import pytest
from catalogue_rows import add_image, add_sample, cut, sha

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.samples import Hints, SplitEvidence
from gleanset.records import Origin

LABELS = (None, "cat", "dog", "never")
STATUSES = (None, "queue", "labelled", "rejected", "retired")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Fill 120 images: 0-3 faces, 1-3 origins, decisions and splits."""
    rng = random.Random(4)
    dataset = Dataset.create(tmp_path_factory.mktemp("samples"))
    choices: list[Choice] = []
    keys: list[str] = []
    for number in rng.sample(range(120), 120):
        add_image(dataset, number, *(_origin(rng, n) for n in range(rng.randint(1, 3))))
        # Few different scores: a page of results must be able to end between equal ones.
        cuts = [cut(number, x, rng.choice((0.1, 0.5, 0.9))) for x in range(rng.randint(0, 3))]
        dataset.faces.replace(sha(number), "test", "", cuts)
        if rng.random() < 0.1:
            dataset.faces.replace(sha(number), "test", "", cuts[:1])
        keys += [result.key for result in cuts]
    for key in keys:
        action = rng.choice(["label", "label", "reject", ""])
        if action:
            label = rng.choice(["cat", "dog"]) if action == "label" else None
            choices.append(Choice(key, action, label))
    dataset.journal.apply("Some", choices)
    plan = {k: ("m" + k[0], rng.choice(["train", "test"])) for k in keys if rng.random() < 0.5}
    dataset.samples.set_splits(plan, "seed 0")
    yield dataset
    dataset.close()


def _origin(rng: random.Random, number: int) -> Origin:
    source = rng.choice(["bing", "video"])
    return Origin(
        source,
        str(number),
        hint=rng.choice(["cat", "dog", None]),
    )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("label", LABELS)
def test_sample_filters_equal_brute_force(
    filled: Dataset, label: str | None, status: str | None
) -> None:
    expected = [
        sample.key
        for sample in filled.samples.iter_by_key()
        if label in (None, sample.label) and status in (None, sample.status)
    ]
    filtered = filled.samples.iterate(label=label, status=status)
    assert sorted(sample.key for sample in filtered) == expected


def test_sample_round_trip(dataset: Dataset) -> None:
    add_image(dataset, 7, Origin("bing", "1", hint="cat"), Origin("bing", "2"))
    result = cut(7, 30, 0.75, sharpness=3.5)
    result = type(result)(
        **{**{f.name: getattr(result, f.name) for f in fields(result)}, "phash": (1 << 64) - 5}
    )
    dataset.faces.replace(sha(7), "test", "", [result])
    sample = dataset.samples.get(result.key)
    assert sample is not None
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
    key = add_sample(dataset, 1, Origin("a", "1", hint="cat"), Origin("a", "2", hint="dog"))
    sample = dataset.samples.get(key)
    assert sample is not None
    assert sample.hint is None
    [hinted] = Hints(dataset.db).iter_waiting()
    assert (hinted.key, hinted.hints, hinted.faces) == (key, 2, 1)


def test_new_detection_retires_and_revives_samples(dataset: Dataset) -> None:
    add_image(dataset, 1)
    cuts = [cut(1, x) for x in (0, 20, 40, 60)]
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    dataset.journal.apply("x", [Choice(cuts[0].key, "label", "cat"), Choice(cuts[1].key, "reject")])
    dataset.faces.replace(sha(1), "test", "v2", [cut(1, 60, 0.9, sharpness=8.0), cut(1, 80)])
    assert _statuses(dataset) == {
        0: "labelled",
        20: "rejected",
        40: "retired",
        60: "queue",
        80: "queue",
    }
    assert dataset.faces.count() == 2
    updated = dataset.samples.get(cuts[3].key)
    assert updated is not None
    assert (updated.score, updated.sharpness) == (0.9, 8.0)
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    assert _statuses(dataset) == {
        0: "labelled",
        20: "rejected",
        40: "queue",
        60: "queue",
        80: "retired",
    }
    labelled = dataset.samples.get(cuts[0].key)
    assert labelled is not None
    assert labelled.label == "cat"
    dataset.faces.replace(sha(1), "test", "v1", cuts)
    assert dataset.faces.count() == 4
    assert dataset.samples.count() == 5


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
