"""Lists come in an order that their query asks for, and a person's word stands above others.

`PRAGMA reverse_unordered_selects` turns every order round that no outermost ORDER BY gives.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from catalogue_rows import add_image, cut, sha

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.proposals import PresortedSample, PresortSamples, Proposal, Proposals
from gleanset.db.regions import BoxedSamples
from gleanset.db.runs import Doubt, Doubts
from gleanset.db.samples import SplitGroups
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.db.statistics import Statistics
from gleanset.db.views import (
    ANYTHING,
    EVERYWHERE,
    ORDERS,
    PLACES,
    OrderedSamples,
    Reviews,
    SampleFilter,
)
from gleanset.records import Origin, Rejection


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """60 images in random order with few scores, decisions, proposals, doubts and rejections."""
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
            dataset.faces.record(sha(number), "test", "", cuts, cut="margin=0")
            keys += [found.key for found in cuts]
        for key in keys:
            action = rng.choice(["label", "label", "reject", ""])
            if action:
                label = rng.choice(["cat", "dog"]) if action == "label" else None
                choices.append(Choice(key, action, label, rng.choice(["person", "with page"])))
        dataset.journal.step("Some", choices)
        for number in rng.sample(range(20), 20):
            why = rng.choice(["broken", "small"])
            dataset.rejections.add(Rejection("test", f"{number}", why, f"detail {number}"))
        Proposals(dataset.db).replace(
            [
                PresortedSample(
                    k, n // 4, (Proposal(rng.choice(["cat", "dog"]), rng.choice((0.5, 0.9))),)
                )
                for n, k in enumerate(keys)
            ],
            {},
        )
        Doubts(dataset.db).replace([Doubt(k, "cat", "dog", 0.9, 0.5, "run") for k in keys])
        yield dataset


def every_list(dataset: Dataset) -> dict[str, Callable[[], object]]:
    """What reads a list of the catalogue, by name."""
    db = dataset.db
    ordered = OrderedSamples(db)
    tiles, likes, reviews, upkeep = SampleTiles(db), SortingQueue(db), Reviews(db), Maintenance(db)
    lists: dict[str, Callable[[], object]] = {
        f"{place} {order}": lambda p=place, o=order: ordered.rows(p, order=o)  # type: ignore[misc]
        for order in ORDERS
        for place in (EVERYWHERE, *PLACES)
    }
    lists |= {
        f"wall {w}": lambda w=w: reviews.wall(w, ANYTHING)  # type: ignore[misc]
        for w in ("outliers", "model", "doubts", "page", "all")
    }
    some = upkeep.found_at("a:0 0")
    return lists | {
        "samples": lambda: [s.key for s in dataset.samples.each(hint="x", status="labelled")],
        "titles": lambda: [tile.title for _, tile in sorted(tiles.of(range(1, 50)).items())],
        "labelled": lambda: tiles.labelled("cat"),
        "waiting": lambda: (likes.waiting(9), likes.waiting_for(1, 9)),
        "decided": lambda: likes.decided([1, 2], 5),
        "portraits": lambda: likes.portraits(1),
        "text": lambda: reviews.wall("all", SampleFilter(text="t1")),
        "failures": lambda: Statistics(db).failures(),
        "yields": lambda: Statistics(db).yields(),
        "images": lambda: (upkeep.made_by("ana"), upkeep.local_paths(sha(3)), some),
        "samples of an image": lambda: upkeep.sample_keys(sha(3)),
        "ties": lambda: (list(SplitGroups(db).each()), list(PresortSamples(db).each())),
        "faces": lambda: (dataset.faces.of(sha(3)), list(dataset.faces.each())),
        "given": lambda: dataset.fetches.yields(),
        "drawn on": lambda: (BoxedSamples(db).images("t1"), BoxedSamples(db).placed(sha(3))),
        "proposals": lambda: (list(Proposals(db).each()), list(Doubts(db).each())),
        "origins": lambda: dataset.images.get(sha(3)),
    }


def test_no_list_has_its_order_by_chance(filled: Dataset) -> None:
    for name, read in every_list(filled).items():
        told = read()
        filled.db.run("PRAGMA reverse_unordered_selects=ON")
        try:
            assert read() == told, name
        finally:
            filled.db.run("PRAGMA reverse_unordered_selects=OFF")


@pytest.mark.parametrize("kind", ["a model", "pixels", "zoom"])
def test_a_persons_verdict_on_a_pair_counts_more_than_any_other(
    dataset: Dataset, kind: str
) -> None:
    for number in range(2):
        add_image(dataset, number)
        dataset.faces.record(sha(number), "test", "", [cut(number)])
    with dataset.db.write():
        for said, verdict in (("person", "not"), (kind, "same")):
            dataset.db.run("INSERT INTO pair(a,b,kind,verdict) VALUES(1,2,?,?)", (said, verdict))
    pairs = Pairs(dataset.db)
    assert pairs.known() == pairs.tied() == {(1, 2): False}
    assert pairs.verdict(1, 2) == "not"
