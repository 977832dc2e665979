"""Samples of a place in every order and under every filter; every list has a defined order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from catalogue_rows import add_image, cut, sha

from gleanset import Dataset
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.sorting import SampleTiles
from gleanset.db.views import (
    DUPLICATES,
    EVERYWHERE,
    ORDERS,
    PLACES,
    OrderedSamples,
    SampleFilter,
)
from gleanset.records import Origin

FILMS = {"f1": "b.mkv", "f2": "a.mkv"}


@dataclass(frozen=True)
class Face:
    """The expected fields of a sample."""

    id: int
    image: int
    source: str
    film: str | None
    time: float | None
    scene: int | None
    post: str | None
    proposed: tuple[str, float] | None


class RandomFaces:
    """40 images with two faces each, from films, posts and files."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, dice = dataset, random.Random(5)
        self.faces: dict[int, Face] = {}
        raw: dict[str, tuple[int, Origin, tuple[str, float] | None]] = {}
        for number in range(40):
            film = dice.choice(["f1", "f2", None])
            scene = dice.randrange(6) if film else None
            seconds = dice.random() * 600 if film else None
            post = f"p{dice.randrange(5)}" if not film and dice.random() < 0.7 else None
            source = "video" if film else dice.choice(["bing", "pixiv"])
            origin = Origin(
                source, f"{number}", video=film, time=seconds, scene=scene, post=post, title="t"
            )
            add_image(dataset, number, origin)
            cuts = [cut(number, x, dice.choice((0.1, 0.5, 0.9))) for x in range(2)]
            dataset.faces.replace(sha(number), "test", "", cuts, cut="margin=0")
            for crop in cuts:
                says = (dice.choice(["cat", "dog"]), dice.random()) if dice.random() < 0.8 else None
                raw[crop.key] = (number, origin, says)
        named = zip(list(raw)[:2], ("cat", "dog"), strict=True)
        dataset.journal.apply("Classes", [Choice(key, "label", name) for key, name in named])
        standings = [
            PrelabelledSample(key, position, (Proposal(*says),) if says else ())
            for position, (key, (_, _, says)) in enumerate(raw.items())
        ]
        Proposals(dataset.db).replace(standings, {})
        rows = SampleTiles(dataset.db).get_ids(raw)
        for key, (image, o, says) in raw.items():
            self.faces[rows[key]] = Face(
                rows[key], image, o.source, o.video, o.time, o.scene, o.post, says
            )
        for sha256, name in FILMS.items():
            dataset.db.execute(
                "INSERT INTO video(sha256, name, settings, frames) VALUES(?,?,'',1)", (sha256, name)
            )


@pytest.fixture(scope="module")
def random_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomFaces]:
    with Dataset.create(tmp_path_factory.mktemp("ordering") / "d") as dataset:
        yield RandomFaces(dataset)


def key_of(face: Face, order: str) -> tuple[object, ...]:
    """Return the sort key of a face, independent of the SQL."""
    last = (face.image, face.id)
    if order == "proposal":
        name, confidence = face.proposed or ("~", 0.0)
        return (name, -confidence, *last)
    if order == "time":
        film = FILMS[face.film] if face.film else "~"
        return (film, face.time or 0, *last)
    if order == "source":
        return (face.source, *last)
    return last  # all faces have the same size


@pytest.mark.parametrize("order", ORDERS)
def test_orders_equal_python_sort(random_faces: RandomFaces, order: str) -> None:
    result = OrderedSamples(random_faces.dataset.db).list_rows(EVERYWHERE, order=order)
    expected = sorted(random_faces.faces.values(), key=lambda face: key_of(face, order))  # type: ignore[arg-type,return-value]
    assert list(result.ids) == [face.id for face in expected]
    assert sum(count for _, count in result.sections) == len(random_faces.faces)
    titles = [title for title, _ in result.sections]
    assert len(titles) == len(set(titles))
    if order == "time":
        assert titles == ["a.mkv", "b.mkv", None]
    if order == "proposal":
        assert titles == ["cat", "dog", None]


def test_filters_equal_brute_force(random_faces: RandomFaces) -> None:
    result, faces = OrderedSamples(random_faces.dataset.db), random_faces.faces.values()
    posted = next(face for face in faces if face.post)
    frame = next(face for face in faces if face.film)
    cases: list[tuple[SampleFilter, set[int]]] = [
        (SampleFilter(source="bing"), {f.id for f in faces if f.source == "bing"}),
        (SampleFilter(video="f2"), {f.id for f in faces if f.film == "f2"}),
        (SampleFilter(row_ids=(posted.id, frame.id)), {posted.id, frame.id}),
        (SampleFilter(row_ids=()), set()),
        (
            SampleFilter(source="bing", row_ids=tuple(f.id for f in faces if f.post)),
            {f.id for f in faces if f.source == "bing" and f.post},
        ),
    ]
    for sample_filter, ids in cases:
        assert set(result.list_rows(EVERYWHERE, sample_filter=sample_filter).ids) == ids, (
            sample_filter
        )
        assert result.count(EVERYWHERE, sample_filter=sample_filter) == len(ids), sample_filter


def test_places_and_classes_are_disjoint(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Dataset.create(tmp_path_factory.mktemp("places") / "d") as dataset:
        random_faces = RandomFaces(dataset)
        result, db = OrderedSamples(dataset.db), dataset.db
        parts = {place: list(result.list_rows(place).ids) for place in PLACES}
        classes = {
            name: list(result.list_rows(EVERYWHERE, label=name).ids) for name in ("cat", "dog")
        }
        assert [len(ids) for ids in classes.values()] == [1, 1]
        everything = sorted(
            row_id for ids in (*parts.values(), *classes.values()) for row_id in ids
        )
        assert everything == sorted(random_faces.faces)
        with db.transaction():
            step = dataset.journal.apply("Mark duplicate", [])
            duplicate = parts["queue"][0]
            Placements(db).apply(step, [Placement(duplicate, False, "g", "a copy")])
        assert list(result.list_rows(DUPLICATES).ids) == [duplicate]
        assert (result.count(DUPLICATES), result.count("queue")) == (1, len(parts["queue"]) - 1)


@pytest.mark.parametrize("kind", ["a model", "pixels", "zoom"])
def test_verdict_of_person_overrides_others(dataset: Dataset, kind: str) -> None:
    for number in range(2):
        add_image(dataset, number)
        dataset.faces.replace(sha(number), "test", "", [cut(number)])
    with dataset.db.transaction():
        for message, verdict in (("person", "not"), (kind, "same")):
            dataset.db.execute(
                "INSERT INTO pair(a,b,kind,verdict) VALUES(1,2,?,?)", (message, verdict)
            )
    pairs = Pairs(dataset.db)
    assert pairs.get_verdicts() == pairs.get_possible_duplicates() == {(1, 2): False}
    assert pairs.get_verdict(1, 2) == "not"
