"""Proposals: a presort is in force as a whole, and goes along with its samples and classes."""

from __future__ import annotations

from catalogue_rows import add_sample

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import PresortedSample, Proposal, Proposals


def keys_of(dataset: Dataset, count: int) -> list[str]:
    keys = [add_sample(dataset, number) for number in range(count)]
    dataset.journal.step("two", [Choice(keys[0], "label", "miku"), Choice(keys[1], "label", "rin")])
    return keys


def test_a_presort_is_read_back_in_the_order_of_its_places(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    told = [
        PresortedSample(keys[2], 1, (Proposal("rin", 0.7), Proposal("miku", 0.2)), 4, 0.25),
        PresortedSample(keys[0], 0),
    ]
    assert proposals.newest() is None
    number = proposals.replace(told, {"labelled": 2})
    assert list(proposals.each()) == [told[1], told[0]]
    assert proposals.of([keys[2], keys[1]]) == {keys[2]: told[0]}
    presort = proposals.newest()
    assert presort is not None
    assert (presort.id, presort.facts) == (number, {"labelled": 2})


def test_a_new_presort_leaves_nothing_of_the_old_one(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    first = proposals.replace([PresortedSample(keys[2], 0, (Proposal("rin", 0.9),))], {})
    assert proposals.replace([PresortedSample(keys[1], 0)], {}) > first
    assert [standing.sample for standing in proposals.each()] == [keys[1]]
    assert not proposals.of(keys)[keys[1]].proposals


def test_what_is_gone_is_left_out(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    told = [PresortedSample(keys[2], 0, (Proposal("nobody", 0.9),)), PresortedSample("gone", 1)]
    proposals.replace(told, {})
    assert list(proposals.each()) == [PresortedSample(keys[2], 0)]
