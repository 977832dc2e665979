"""Samples of a place in every order and under every filter; every list has a defined order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from catalogue_rows import add_image, cut, sha

from gleanset import Dataset
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.proposals import PrelabelledSample, PrelabelSamples, Proposal, Proposals
from gleanset.db.regions import BoxedSamples, QualityFlag
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.samples import SplitGroups
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.db.statistics import Statistics
from gleanset.db.views import (
    DUPLICATES,
    EVERYWHERE,
    NO_FILTER,
    ORDERS,
    PLACES,
    OrderedSamples,
    Reviews,
    SampleFilter,
)
from gleanset.records import Origin, Rejection

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
    score: float
    proposed: tuple[str, float] | None
    place: int


class RandomFaces:
    """40 images with two faces each, from films, posts and files."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, dice = dataset, random.Random(5)
        self.faces: dict[int, Face] = {}
        raw: dict[str, tuple[int, Origin, float, tuple[str, float] | None, int]] = {}
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
                raw[crop.key] = (number, origin, crop.face.score, says, dice.randrange(9999))
        named = zip(list(raw)[:2], ("cat", "dog"), strict=True)
        dataset.journal.apply("Classes", [Choice(key, "label", name) for key, name in named])
        standings = [
            PrelabelledSample(key, place, (Proposal(*says),) if says else ())
            for key, (_, _, _, says, place) in raw.items()
        ]
        Proposals(dataset.db).replace(standings, {})
        rows = SampleTiles(dataset.db).get_ids(raw)
        for key, (image, o, score, says, place) in raw.items():
            self.faces[rows[key]] = Face(
                rows[key], image, o.source, o.video, o.time, o.scene, o.post, score, says, place
            )
        for sha256, name in FILMS.items():
            dataset.db.execute(
                "INSERT INTO video(sha256, name, settings, frames) VALUES(?,?,'',1)", (sha256, name)
            )


@pytest.fixture(scope="module")
def random_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomFaces]:
    with Dataset.create(tmp_path_factory.mktemp("ordering") / "d") as dataset:
        yield RandomFaces(dataset)


def key_of(face: Face, order: str, sign: int) -> tuple[object, ...]:
    """Return the sort key of a face, independent of the SQL."""
    last = (face.image, face.id)
    if order == "arrival":
        return (sign * face.image, sign * face.id)
    if order == "proposal":
        name, sure = face.proposed or ("~", 0.0)
        return (name, -sign * sure, *last)
    if order == "time":
        film = FILMS[face.film] if face.film else "~"
        return (film, sign * (face.time or 0), sign * face.image, face.id)
    if order == "source":
        names = sorted({"bing", "pixiv", "video"}, reverse=sign < 0)
        return (names.index(face.source), *last)
    value = {"likeness": face.place, "score": -face.score, "size": 0}[order]
    return (sign * value, *last)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_orders_equal_python_sort(random_faces: RandomFaces, order: str, backwards: bool) -> None:
    result = OrderedSamples(random_faces.dataset.db).list_rows(
        EVERYWHERE, order=order, backwards=backwards
    )
    sign = -1 if backwards else 1
    expected = sorted(random_faces.faces.values(), key=lambda face: key_of(face, order, sign))  # type: ignore[arg-type,return-value]
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
        (SampleFilter(min_score=0.5), {f.id for f in faces if f.score >= 0.5}),
        (
            SampleFilter(proposal="dog"),
            {f.id for f in faces if f.proposed and f.proposed[0] == "dog"},
        ),
        (SampleFilter(proposal=""), {f.id for f in faces if not f.proposed}),
        (SampleFilter(row_ids=(posted.id, frame.id)), {posted.id, frame.id}),
        (SampleFilter(row_ids=()), set()),
        (SampleFilter(flag=QualityFlag("tiny", "size", 1, is_minimum=False)), set()),
        (
            SampleFilter(source="bing", min_score=0.5, proposal=""),
            {f.id for f in faces if f.source == "bing" and f.score >= 0.5 and not f.proposed},
        ),
    ]
    for sample_filter, ids in cases:
        assert set(result.list_rows(EVERYWHERE, sample_filter=sample_filter).ids) == ids, (
            sample_filter
        )
        assert result.count(EVERYWHERE, sample_filter=sample_filter) == len(ids), sample_filter
    assert result.get_prelabelled_share(EVERYWHERE) == 1.0


def test_show_filter_uses_label_or_prediction(random_faces: RandomFaces) -> None:
    dataset, faces = random_faces.dataset, random_faces.faces.values()
    with dataset.db.transaction():
        step = dataset.journal.apply("Shows", [])
        dataset.classes.set_show(step, "dog", "Kennel")
    result = OrderedSamples(dataset.db)
    show_filter = SampleFilter(show="Kennel")
    cat, dog = list(random_faces.faces)[:2]  # the others have no label yet
    offered = {f.id for f in faces if f.proposed and f.proposed[0] == "dog"}
    expected = offered - {cat} | {dog}
    assert set(result.list_rows(EVERYWHERE, sample_filter=show_filter).ids) == expected
    assert result.count(EVERYWHERE, sample_filter=show_filter) == len(expected)
    assert Reviews(dataset.db).get_filter_choices().shows == ("Kennel",)
    dataset.journal.undo(step)
    assert result.count(EVERYWHERE, sample_filter=show_filter) == 0


def test_quality_flag_filter(random_faces: RandomFaces) -> None:
    ids = list(random_faces.faces)[:3]
    with random_faces.dataset.db.transaction():
        for row_id in ids:
            random_faces.dataset.db.execute(
                "INSERT INTO quality(sample, version, x, y, w, h, angle, blur, darkest, lightest, "
                "photo, traits) VALUES(?,1,0,0,1,1,0,?,0,255,0,x'00')",
                (row_id, 0.9 if row_id != ids[0] else 0.1),
            )
    flag_filter = SampleFilter(flag=QualityFlag("blurred", "blur", 0.6))
    assert set(
        OrderedSamples(random_faces.dataset.db).list_rows(EVERYWHERE, sample_filter=flag_filter).ids
    ) == set(ids[1:])


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
            step = dataset.journal.apply("Set aside", [])
            duplicate = parts["queue"][0]
            Placements(db).apply(step, [Placement(duplicate, False, "g", "a copy")])
        assert list(result.list_rows(DUPLICATES).ids) == [duplicate]
        assert (result.count(DUPLICATES), result.count("queue")) == (1, len(parts["queue"]) - 1)


def test_predictions_follow_merged_classes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Dataset.create(tmp_path_factory.mktemp("merged") / "d") as dataset:
        random_faces = RandomFaces(dataset)
        with dataset.db.transaction():
            step = dataset.journal.apply("Merge", [])
            dataset.classes.merge(step, "dog", "cat")
        result = OrderedSamples(dataset.db)
        predicted = {face.id for face in random_faces.faces.values() if face.proposed}
        assert (
            set(result.list_rows(EVERYWHERE, sample_filter=SampleFilter(proposal="cat")).ids)
            == predicted
        )
        assert result.count(EVERYWHERE, sample_filter=SampleFilter(proposal="dog")) == 0
        titles = [title for title, _ in result.list_rows(EVERYWHERE, order="proposal").sections]
        assert titles == ["cat", None]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Fill 60 images, randomly ordered, with decisions, predictions, issues, rejections."""
    rng, choices, keys = random.Random(3), [], []
    with Dataset.create(tmp_path_factory.mktemp("orders")) as dataset:
        for number in rng.sample(range(60), 60):
            origins = [
                Origin(
                    rng.choice("ab"),
                    f"{number} {n}",
                    hint=rng.choice("xy"),
                    title=f"t{n}",
                    path=f"/{n}",
                    author="ana",
                )
                for n in range(3)
            ]
            rng.shuffle(origins)
            add_image(dataset, number, *origins)
            cuts = [cut(number, x, rng.choice((0.1, 0.5, 0.9))) for x in range(2)]
            dataset.faces.replace(sha(number), "test", "", cuts, cut="margin=0")
            keys += [result.key for result in cuts]
        for key in keys:
            action = rng.choice(["label", "label", "reject", ""])
            if action:
                label = rng.choice(["cat", "dog"]) if action == "label" else None
                choices.append(Choice(key, action, label, rng.choice(["person", "with page"])))
        dataset.journal.apply("Some", choices)
        for number in rng.sample(range(20), 20):
            reason = rng.choice(["broken", "small"])
            dataset.rejections.add(Rejection("test", f"{number}", reason, f"detail {number}"))
        Proposals(dataset.db).replace(
            [
                PrelabelledSample(
                    k, n // 4, (Proposal(rng.choice(["cat", "dog"]), rng.choice((0.5, 0.9))),)
                )
                for n, k in enumerate(keys)
            ],
            {},
        )
        LabelIssues(dataset.db).replace(
            [LabelIssue(k, "cat", "dog", 0.9, 0.5, "run") for k in keys]
        )
        yield dataset


def every_list(dataset: Dataset) -> dict[str, Callable[[], object]]:
    """Return the functions that read a list of the catalogue."""
    db = dataset.db
    ordered = OrderedSamples(db)
    tiles, likes, reviews, upkeep = SampleTiles(db), SortingQueue(db), Reviews(db), Maintenance(db)
    lists: dict[str, Callable[[], object]] = {
        f"{place} {order}": lambda p=place, o=order: ordered.list_rows(p, order=o)  # type: ignore[misc]
        for order in ORDERS
        for place in (EVERYWHERE, *PLACES)
    }
    lists |= {
        f"wall {w}": lambda w=w: reviews.list_items(w, NO_FILTER)  # type: ignore[misc]
        for w in ("outliers", "model", "label-issues", "page", "all")
    }
    image_key = upkeep.find_by_origin("a:0 0")
    return lists | {
        "samples": lambda: [s.key for s in dataset.samples.iterate(label="cat", status="labelled")],
        "titles": lambda: [tile.title for _, tile in sorted(tiles.get_many(range(1, 50)).items())],
        "labelled": lambda: tiles.list_labelled("cat"),
        "waiting": lambda: (likes.list_waiting(9), likes.list_proposed(1, 9)),
        "decided": lambda: likes.list_decided([1, 2], 5),
        "portraits": lambda: likes.get_portraits(1),
        "text": lambda: reviews.list_items("all", SampleFilter(text="t1")),
        "failures": lambda: Statistics(db).list_failures(),
        "yields": lambda: Statistics(db).list_yields(),
        "images": lambda: (
            upkeep.find_by_author("ana"),
            upkeep.list_local_paths(sha(3)),
            image_key,
        ),
        "samples of an image": lambda: upkeep.list_sample_keys(sha(3)),
        "ties": lambda: (list(SplitGroups(db).iterate()), list(PrelabelSamples(db).iterate())),
        "faces": lambda: (dataset.faces.list_in_image(sha(3)), list(dataset.faces.iterate())),
        "given": lambda: dataset.fetches.list_yields(),
        "drawn on": lambda: (
            BoxedSamples(db).find_images("t1"),
            BoxedSamples(db).list_in_image(sha(3)),
        ),
        "proposals": lambda: (list(Proposals(db).iterate()), list(LabelIssues(db).iterate())),
        "origins": lambda: dataset.images.get(sha(3)),
    }


def test_every_list_has_defined_order(filled: Dataset) -> None:
    for name, read in every_list(filled).items():
        result = read()
        filled.db.execute("PRAGMA reverse_unordered_selects=ON")
        try:
            assert read() == result, name
        finally:
            filled.db.execute("PRAGMA reverse_unordered_selects=OFF")


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
