"""The learning curve: its range holds what comes, its command goes on, and gains are no luck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn_dataset import fill
from tools_for_tests import run_here

from baseline.judge.curve import FIGURES, PICTURE, load_curve
from baseline.judge.outputs import Outputs
from baseline.settings import load_preset
from baseline.train import learning_curve
from baseline.train import trials as fold_trials
from baseline.train.learning_curve import class_gains, laws_through
from baseline.train.train_run import train_run
from baseline.train.trials import FoldTrials
from gleanset import Dataset
from gleanset.db.runs import SplitEvaluations
from gleanset.errors import InputUnusable

SMALL = {"size": "32", "backbone": "colours", "views": "0", "strength": "1"}
SIZES = (2.0, 4.0, 8.0)


def seen(random: np.random.Generator, errors: list[float], moments: int, size: int) -> Any:
    """Which pictures are right at each size; those of a moment are alike in what they are."""
    hard = np.repeat(random.random(moments), size)
    own = random.random(moments * size)
    mostly = np.where(random.random(moments * size) < 0.7, hard, own)
    return [mostly >= error for error in errors], [str(n) for n in np.arange(len(own)) // size]


@pytest.mark.parametrize(
    ("floor", "more", "power", "moments", "size"),
    [
        (0.0, 0.8, 0.5, 50, 1),
        pytest.param(0.1, 0.8, 0.4, 30, 3, marks=pytest.mark.long),
        # Nearly perfect: most often no mistake is seen, or one.
        (0.0, 0.05, 0.5, 40, 2),
        (0.002, 0.0, 0.5, 40, 5),
        pytest.param(0.0, 0.3, 1.5, 80, 1, marks=pytest.mark.long),
    ],
)
def test_the_range_holds_the_error_of_more_pictures(
    floor: float, more: float, power: float, moments: int, size: int
) -> None:
    random = np.random.default_rng(0)

    def law(pictures: float) -> float:
        return floor + more * pictures**-power

    held = []
    for _ in range(40):
        hits, names = seen(random, [law(n) for n in SIZES], moments, size)
        laws = laws_through(SIZES, hits, names, 5)
        ranges = [laws.at(10 * times).interval for times in (1, 2, 4)]
        held.append(
            [low <= law(10 * t) <= high for t, (low, high) in zip((1, 2, 4), ranges, strict=True)]
        )
    assert (np.mean(held, 0) >= 0.9).all()


def test_a_range_grows_with_the_distance_and_shrinks_with_what_is_known() -> None:
    random = np.random.default_rng(1)
    widths = []
    for moments in (20, 400):
        hits, names = seen(random, [0.5, 0.4, 0.3], moments, 1)
        laws = laws_through(SIZES, hits, names, 5)
        near, far = (np.ptp(laws.at(times * 8).interval) for times in (1, 4))
        assert far > near
        widths.append(near)
    assert widths[1] < widths[0] / 1.5
    flat, names = seen(random, [0.3, 0.3, 0.3], 400, 1)
    still = laws_through(SIZES, flat, names, 5).at(16)
    assert still.interval.low < 0.3 < still.interval.high
    none = [np.ones(30, np.bool_)] * 3  # nothing is wrong: not known of pictures that were not seen
    assert 0 < laws_through(SIZES, none, list(map(str, range(30))), 5).at(16).interval.high < 0.2


def told(y: list[int], right: list[bool]) -> Outputs:
    logits = np.array([[hit == (c == 0), hit != (c == 0)] for c, hit in zip(y, right, strict=True)])
    keys = tuple(map(str, range(len(y))))
    return Outputs(logits.astype(np.float32), np.array(y, np.int64), keys)


def test_only_a_class_that_gained_beyond_luck_is_named() -> None:
    y = [0] * 20 + [1] * 20
    half = told(y, [False] * 12 + [True] * 8 + [False] * 3 + [True] * 17)
    whole = told(y, [True] * 40)
    alone = [str(n) for n in range(40)]
    first, second = class_gains(half, whole, alone, ("cat", "dog"))
    assert (first.name, first.clear, first.gain) == ("cat", True, pytest.approx(0.6))
    assert (second.name, second.clear) == ("dog", False)
    scenes = [str(n // 6) for n in range(40)]
    assert not any(one.clear for one in class_gains(half, whole, scenes, ("cat", "dog")))


def test_the_curve_of_a_run(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_trials, "FOLDS", 2)
    monkeypatch.setattr(learning_curve, "REPEATS", 1)
    fill(dataset, 10, ("train",) * 8 + ("val", "test"), classes=2)
    run = str(train_run(dataset, load_preset("transfer", SMALL))["run"])
    looks = SplitEvaluations(dataset.db).of_run(run, "test")

    def answered(*words: str) -> Any:
        line = ("curve", *words, "--json", "-d", str(dataset.root))
        return run_here("baseline.cli", *line, cwd=dataset.root).json

    assert answered("-s")["trainings"] == 6
    done = answered()
    folder = dataset.root / "runs" / run
    assert [p["pictures"] for p in done["curve"]["points"]] == [1, 2, 4]
    assert [p["times"] for p in done["curve"]["expected"]] == [1, 2, 4]
    assert [p["pictures"] for p in done["curve"]["expected"]] == [8, 16, 32]
    for point in done["curve"]["expected"]:
        assert point["interval"][0] <= point["accuracy"] <= point["interval"][1]
    assert "with twice the pictures" in done["told"]
    assert (folder / PICTURE).read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert "More pictures" in page
    assert done["told"][1:] in page
    assert SplitEvaluations(dataset.db).of_run(run, "test") == looks
    assert answered("-s")["trainings"] == 0
    assert answered()["curve"] == done["curve"]
    (folder / FIGURES).write_text("{")
    with pytest.raises(InputUnusable, match="cannot be read"):
        load_curve(folder)


def test_a_size_that_cannot_be_made_smaller_counts_once(dataset: Dataset) -> None:
    """Of classes of two pictures a fold leaves one: a half and a quarter of it are the same."""
    fill(dataset, 2, ("train",))
    trials = FoldTrials.of(dataset, dataset.cache)
    settings = load_preset("transfer", SMALL)
    sizes = [
        {len(trials.fold(one).splits["train"]) for one in trials.trainings(settings, 0, share)}
        for share in (0.25, 1.0)
    ]
    assert all(min(found) >= 3 for found in sizes)
    hits = [np.array([True, False] * 10)] * 3
    laws = laws_through((1.6, 1.7, 1.8), hits, list(map(str, range(20))), 5)
    low, high = laws.at(3.6).interval
    assert low < 0.5 < high
