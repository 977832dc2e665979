"""Confidences are corrected by what a person made of the proposals before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filled import fill

from baseline.presort.job import presort
from baseline.presort.served import (
    UNCORRECTED,
    ServedCases,
    ServedCorrection,
    ServedProposal,
    correction_of,
)
from baseline.settings import load_preset
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import MetProposal, Proposals

QUICK = {"backbone": "test_efficientnet", "weights": "none", "size": "32"}


def cases(count: int, true: ServedCorrection, seed: int = 0) -> list[ServedProposal]:
    """Proposals whose confidences are off: right as often as `true` says."""
    dice = np.random.default_rng(seed)
    told = dice.uniform(0.5, 0.995, count)
    right = dice.random(count) < true.at(told)
    return [
        ServedProposal(float(c), bool(y), f"{n}")
        for n, (c, y) in enumerate(zip(told, right, strict=True))
    ]


@pytest.mark.parametrize("true", [ServedCorrection(1, -1.5), ServedCorrection(0.5, 0)])
def test_the_errors_that_are_expected_come_nearer_to_those_that_are(true: ServedCorrection) -> None:
    told = np.array([case.confidence for case in cases(4000, true, 99)])
    wrong, plain = float((1 - true.at(told)).mean()), float((1 - told).mean())
    found = [correction_of(cases(100, true, seed)) for seed in range(30)]
    corrected = float(np.mean([(1 - one.at(told)).mean() for one in found]))
    assert abs(corrected - wrong) < abs(plain - wrong) / 2


def test_few_cases_change_little_and_none_nothing() -> None:
    assert correction_of([]) == UNCORRECTED
    one = correction_of([ServedProposal(0.95, False, "a")])
    assert 0.7 < float(one.at(np.array([0.95]))[0]) < 0.95
    # Many frames of one moment are one case.
    many = correction_of([ServedProposal(0.95, False, "a")] * 50)
    assert many == one


def test_somebody_new_says_nothing_of_how_sure_a_model_may_be_and_is_forgotten_soon() -> None:
    known = cases(60, ServedCorrection())
    new = [ServedProposal(0.9, False, f"new {n}", True) for n in range(12)]
    plain, met = correction_of(known), correction_of([*known, *new])
    assert (met.slope, met.offset, plain.new) == (plain.slope, plain.offset, 0)
    assert met.new > 0.25
    assert float(met.at(np.array([0.9]))[0]) < 0.9 * float(plain.at(np.array([0.9]))[0])
    told = np.array([0.6, 0.9])
    assert met.undone(met.at(told)) == pytest.approx(told)
    later = correction_of([*new, *known])
    assert later.new < 0.1


def test_what_a_class_loses_goes_to_nobody() -> None:
    given = np.array([[0.9, 0.06, 0.04], [0.2, 0.5, 0.1]])
    less = ServedCorrection(1, -1).apply(given)
    assert (less < given).all()
    more = ServedCorrection(1, 1).apply(given)
    assert more[0, 0] > given[0, 0]
    assert more[0, 1] < given[0, 1]
    assert (more.sum(1) <= given.sum(1).clip(1)).all()
    assert ServedCorrection(0.8, -1).undone(ServedCorrection(0.8, -1).at(given)) == pytest.approx(
        given
    )


def test_a_presort_keeps_what_was_met_and_corrects_by_it(tmp_path: Path) -> None:
    settings = load_preset("transfer", QUICK)
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 12, labelled=False)
        keys = sorted(truth)
        names = sorted(set(truth.values()))
        known = [key for key in keys if truth[key] != names[2]][:16]
        dataset.journal.step("Page", [Choice(key, "label", truth[key]) for key in known])
        first = presort(dataset, settings)
        assert first["met"] == 0
        # Somebody of no class yet was taken for others.
        strange = [key for key in keys if truth[key] == names[2]][:8]
        dataset.journal.step("Page", [Choice(key, "label", truth[key]) for key in strange])
        assert {one.held for one in Proposals(dataset.db).met()} == {False}
        second = presort(dataset, settings)
        assert second["met"] == 8
        assert "served" not in second
        correction = second["correction"]
        assert isinstance(correction, dict)
        assert correction["new"] > 0.2
        # They are not met twice.
        third = presort(dataset, settings)
        assert third["met"] == 8


def test_facts_of_others_are_read_with_care() -> None:
    told = [[0.9, 1, "a"], ["x", 1, "b"], [0.5], 3, [0.4, 0, "c"]]
    read = ServedCases.read({"served": told})
    assert [case.moment for case in read.cases] == ["a", "c"]
    assert ServedCases.read({"served": "?"}) == ServedCases.read({}) == ServedCases()
    again = ServedCases.read(read.facts())
    assert again == read
    more = again.with_met([MetProposal("d", 0.8, True)], {"d": "m"})
    assert more.cases[-1].moment == "m"
    assert more.cases[-1].right
