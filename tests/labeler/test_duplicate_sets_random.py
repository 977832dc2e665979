"""Duplicate sets of random verdicts, before and after new images."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from duplicate_images import add_picture, encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet
from tools_for_tests import examples

from gleanset import Dataset
from gleanset.db.classes import Placements
from gleanset.db.duplicates import DOUBTFUL, NOT_SAME, SAME, Pairs, PairVerdict, Relation
from labeler.duplicates.duplicate_sets import is_refusal
from labeler.duplicates.finder import DuplicateFinder

NUMBER, OLD = 8, 6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = Dataset.create(tmp_path_factory.mktemp("random") / "dataset")
    for level in range(NUMBER):
        add_picture(dataset, str(level), encoded(Image.new("RGB", (8, 8), (20 * level, 0, 0))))
    return dataset


def random_verdicts(random: Random) -> dict[tuple[int, int], PairVerdict]:
    verdicts = {}
    for a, b in combinations(range(1, NUMBER + 1), 2):
        answer = random.choices((SAME, NOT_SAME, DOUBTFUL), (5, 2, 1))[0]
        changed = 1000.0 if answer == NOT_SAME and random.random() < 0.3 else random.uniform(0, 9)
        relation = Relation(random.choice((0, 0, 0, 1, 2, 16, 32, 64, 128)))
        verdicts[a, b] = PairVerdict(a, b, changed, random.uniform(0.3, 1), answer, relation)
    return verdicts


@settings(
    max_examples=examples(40, 600), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32))
def test_no_set_holds_refused_pair(dataset: Dataset, seed: int) -> None:
    random = Random(seed)
    verdicts = random_verdicts(random)

    with dataset.db.transaction():
        dataset.db.execute("DELETE FROM pair")
        dataset.db.execute("UPDATE sample SET kept=1, duplicate_set=NULL")
        stored = [pair for pair in verdicts if random.random() < 0.6]
        for is_new in (False, True):
            due = [verdicts[pair] for pair in stored if (max(pair) > OLD) == is_new]
            Pairs(dataset.db).save_verdicts(due)
            step = dataset.journal.apply("Judge", [])
            for pair in random.sample(sorted(verdicts), random.randint(0, 3)):
                Placements(dataset.db).record_verdict(step, *pair, random.choice((SAME, NOT_SAME)))
            finder = DuplicateFinder(dataset, workers=1)
            check_sets_after(finder)
            while missing := finder.plan().missing:
                Pairs(dataset.db).save_verdicts([verdicts[pair] for pair in missing])
            check_sets_after(finder)


def check_sets_after(finder: DuplicateFinder) -> None:
    finder.apply()
    assert finder.plan().places == []
    check_sets(finder._dataset)


def check_sets(dataset: Dataset) -> None:
    pairs, by_person = Pairs(dataset.db), DisjointSet(range(NUMBER + 1))
    for pair, equal in pairs.get_human_verdicts().items():
        if equal:
            by_person.merge(*pair)
    refused = [pair for pair, equal in pairs.get_human_verdicts().items() if not equal]
    contradictory = any(by_person.connected(a, b) for a, b in refused)
    sets = dict(map(tuple, dataset.db.fetch_all("SELECT id, duplicate_set FROM sample")))
    for a, b in combinations(sorted(sets), 2):
        together = sets[a] is not None and sets[a] == sets[b]
        connected = by_person.connected(a, b)
        found = pairs.get_comparison(a, b)
        assert not (together and (a, b) in refused)
        assert not (together and not connected and found and is_refusal(found)), (a, b)
        assert together or not connected or contradictory, (a, b)
