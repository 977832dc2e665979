"""Which vectors samples are compared by: a presort's where it saw them, else descriptors."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import draw_set
from labeler_makers import add_faces, add_image, label
from labelled_pictures import encoded, picture, put

from curation.likeness.descriptor import WIDTH
from curation.likeness.identity import WIDTH as IDENTITY
from curation.likeness.vectors import FACT, Rows, sample_name, write_space
from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.db.regions import QualityMeasures
from gleanset.db.sorting import SampleFeatures, SortingQueue
from gleanset.records import Region
from labeler.likeness import Likeness
from labeler.quality.assessment import QualityAssessment
from labeler.quality.due import VERSION
from labeler.sorting import measuring
from labeler.sorting.measuring import count_unmeasured, measured_by_parts
from labeler.sorting.page_layout import stacks_of
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession


def waiting(dataset: Dataset) -> list[SampleFeatures]:
    queue = SortingQueue(dataset.db)
    return queue.of(queue.waiting(1000))


def faces(dataset: Dataset, number: int) -> list[SampleFeatures]:
    for name in range(number):
        add_faces(dataset, add_image(dataset, f"{name}"))
    return waiting(dataset)


def presorted(dataset: Dataset, samples: list[SampleFeatures], rows: Rows) -> None:
    """What a presort leaves of these samples."""
    names = [sample_name(sample.key, sample.region) for sample in samples]
    space = write_space(dataset, names, rows)
    Proposals(dataset.db).replace([], {FACT: space, "known": []})


def unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_kinds(number: int, seed: int = 0) -> Rows:
    """Vectors of two kinds, even numbers and odd ones."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(2, 8))
    return unit(centres[np.arange(number) % 2] + 0.05 * dice.normal(size=(number, 8)))


def test_a_presort_is_used_as_long_as_it_saw_nearly_all(empty: Dataset) -> None:
    samples = faces(empty, 20)
    likeness = Likeness(empty)
    vectors, there = likeness.space(samples)(samples)
    assert vectors.shape == (20, WIDTH)
    assert not there.any()  # nothing is measured, and nothing presorted
    rows = two_kinds(20)
    presorted(empty, samples, rows)
    vectors, there = likeness.space(samples)(samples)
    assert there.all()
    assert np.array_equal(vectors, rows)
    # One that is new counts as unmeasured.
    add_faces(empty, add_image(empty, "new"))
    vectors, there = likeness.space(waiting(empty))(waiting(empty))
    assert there.tolist() == [True] * 20 + [False]
    assert not vectors[-1].any()
    # One that was cut anew as well: the presort saw other pixels.
    recut = [replace_region(samples[0]), *samples[1:]]
    assert likeness.space(recut)(recut)[1].tolist() == [False] + [True] * 19
    for name in range(5):
        add_faces(empty, add_image(empty, f"more {name}"))
    found, _ = likeness.space(waiting(empty))(waiting(empty))
    assert found.shape == (26, WIDTH)


def replace_region(sample: SampleFeatures) -> SampleFeatures:
    return sample._replace(region=Region(sample.region.box, 9.0))


def test_a_newer_presort_is_noticed_and_one_whose_vectors_are_gone_is_not_missed(
    empty: Dataset,
) -> None:
    samples = faces(empty, 12)
    likeness = Likeness(empty)
    for seed in (1, 2):
        presorted(empty, samples, two_kinds(12, seed))
        vectors, _ = likeness.space(samples)(samples)
        assert np.array_equal(vectors, two_kinds(12, seed))
    Proposals(empty.db).replace([], {FACT: "gone"})
    assert likeness.space(samples)(samples)[0].shape == (12, WIDTH)


def test_pages_propose_and_find_the_nearest_in_the_space_of_the_presort(empty: Dataset) -> None:
    samples = faces(empty, 30)
    presorted(empty, samples, two_kinds(30))
    for number in range(12):
        label(empty, samples[number].key, ("Miku", "Mio")[number % 2])
    pages = Pages(SortingSession(empty))
    page = pages.next()
    assert page is not None
    kinds = {sample.id: ("Miku", "Mio")[number % 2] for number, sample in enumerate(samples)}
    assert len(page.rows) == 18
    assert all(tile.proposal.label == kinds[tile.rows[0]] for tile in page.tiles)
    near = pages.nearest(samples[20].id)
    assert near
    assert {row % 2 for row in near} == {samples[20].id % 2}
    assert samples[4].id not in pages.nearest(samples[4].id)


def test_outliers_are_found_in_the_space_of_the_presort(empty: Dataset) -> None:
    keys = [put(empty, encoded(picture(n, (60, 60))), f"{n}", label="Miku")[0] for n in range(12)]
    rows = two_kinds(12)
    rows[:11] = rows[0] + 0.02 * np.random.default_rng(1).normal(size=(11, 8))
    queue = SortingQueue(empty.db)
    samples = sorted(queue.of(list(range(1, 13))), key=lambda one: keys.index(one.key))
    presorted(empty, samples, unit(rows.astype(np.float64)))
    QualityAssessment(empty, workers=1).run()
    scores = {key: quality.outlier for key, quality in QualityMeasures(empty.db).of(keys).items()}
    assert max(scores, key=lambda key: scores[key] or 0) == keys[11]


def test_samples_measured_by_an_earlier_version_are_measured_anew(empty: Dataset) -> None:
    keys = [put(empty, encoded(picture(n, (60, 60))), f"{n}")[0] for n in range(3)]
    sum(measured_by_parts(empty))
    assert count_unmeasured(empty) == 0
    queue = SortingQueue(empty.db)
    samples = queue.of([1, 2, 3])
    assert len(samples) == len(keys)
    assert Likeness(empty).by_descriptor(samples)[1].all()
    empty.db.run("UPDATE quality SET version=?, traits=? WHERE sample=1", (VERSION - 1, b"x" * 320))
    assert count_unmeasured(empty) == 1
    assert Likeness(empty).by_descriptor(queue.of([1, 2, 3]))[1].tolist() == [False, True, True]
    sum(measured_by_parts(empty))
    assert queue.of([1, 2, 3]) == samples


@pytest.mark.parametrize("photo", [0.9, 0.1])
def test_photographs_are_compared_as_they_are_and_drawings_by_whom_they_show(
    empty: Dataset, photo: float
) -> None:
    for number in range(3):
        put(empty, encoded(picture(number, (60, 60))), f"{number}")
    sum(measured_by_parts(empty))
    empty.db.run("UPDATE quality SET photo=?", (photo,))
    vectors, there = Likeness(empty).by_descriptor(SortingQueue(empty.db).of([1, 2, 3]))
    assert there.all()
    assert vectors[:, -IDENTITY:].any() == (photo < 0.5)


def test_very_many_are_measured_in_a_process_that_ends_with_who_asks(
    empty: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "ON_THIS_THREAD", 3)
    for number in range(20):
        put(empty, encoded(picture(number, (60, 60))), f"{number}")
    assert count_unmeasured(empty) == 20
    others = set(multiprocessing.active_children())  # of servers that other tests share
    parts = measured_by_parts(empty)
    assert next(parts) == 16
    assert len(set(multiprocessing.active_children()) - others) == 1
    parts.close()
    assert set(multiprocessing.active_children()) <= others
    shutil.rmtree(empty.root / "images")  # what cannot be read is passed over
    assert list(measured_by_parts(empty)) == [4]
    assert count_unmeasured(empty) == 4


def test_frames_of_one_moment_are_a_stack_and_nobody_else_is_in_it(tmp_path: Path) -> None:
    drawn = draw_set(tmp_path / "d", 24, frames=3)
    with Dataset.open(drawn.root) as dataset:
        samples = waiting(dataset)
        stacks = stacks_of(samples)
        assert sorted(map(len, stacks)) == [3] * 8
        for stack in stacks:
            assert len({drawn.truth[samples[number].key] for number in stack}) == 1
        # Two characters at one time of one film: near in time is not enough.
        at_once = [sample._replace(time=1.0 + n / 100) for n, sample in enumerate(samples)]
        for stack in stacks_of(at_once):
            assert len({drawn.truth[samples[number].key] for number in stack}) == 1
        # A track is one, whatever it looks like, but for what was taken out of it.
        followed = [sample._replace(track=f"t{n % 2}") for n, sample in enumerate(samples)]
        assert sorted(map(len, stacks_of(followed))) == [12, 12]
        assert sorted(map(len, stacks_of(followed, split={samples[0].id}))) == [1, 11, 12]
