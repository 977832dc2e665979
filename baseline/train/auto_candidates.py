"""Which presets `auto` tries on a dataset, and about how long each will take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from baseline.extras import has_torch
from baseline.settings import Settings, Transfer, Triplet, load_preset, views_of
from gleanset.html.words import duration


@dataclass(frozen=True, slots=True)
class PresetCost:
    """A preset that may be tried from `least` pictures of train on, and `each` a class in the mean.

    `on_features`: it learns on cached features. What it costs on two cores that are not busy:
    seconds for each `look` at (or learning from) a picture of `size`, and for its head, seconds a
    training and seconds a training and picture.
    """

    preset: str
    least: int
    each: int
    on_features: bool
    look: float
    size: int
    head: tuple[float, float]


TRIED = (
    PresetCost("transfer", 0, 0, True, 0.006, 224, (1.8, 0.006)),
    PresetCost("triplet", 0, 0, True, 0.006, 224, (2.1, 0.02)),
    PresetCost("simple", 0, 25, False, 0.004, 120, (0.3, 0.0)),
    PresetCost("mobile", 1000, 0, False, 0.06, 160, (1.0, 0.0)),
    PresetCost("finetune", 1000, 0, False, 0.12, 224, (1.0, 0.0)),
)
"""The simplest first: of presets that are level the first is taken. What they cost and where they
can win was measured: on the drawn faces that suit it best, `simple`
is 14, 8, 4 and 2 points behind `transfer` with 3, 5, 10 and 24 pictures a class."""
BEARABLE = 900.0
"""Seconds, by the table, that trying a preset may take that does not learn on cached features:
how busy a machine is must not decide."""
TASTE = 0.009
"""Seconds that `machine_factor` takes where the costs were measured."""
FASTEST, SLOWEST = 0.5, 4.0
"""Bounds of `machine_factor`: a taste of some milliseconds meets what else a machine does."""


@dataclass(frozen=True, slots=True)
class PresetCandidate:
    """A preset with its settings, and about how many seconds trying it takes.

    `left_out` says why it is not tried; empty for one that is.
    """

    cost: PresetCost
    settings: Settings
    seconds: float
    left_out: str = ""

    @property
    def preset(self) -> str:
        """Its name."""
        return self.cost.preset

    @property
    def words(self) -> str:
        """What is said of it before anything begins."""
        if self.left_out:
            return f"{self.preset} is not tried: {self.left_out}"
        return f"{self.preset}: about {duration(max(1.0, self.seconds))}"


def candidates(
    options: Mapping[str, str], pictures: int, classes: int, trainings: int
) -> Iterator[PresetCandidate]:
    """Yield all presets, the simplest first, with what so many trainings on folds will cost.

    `pictures` and `classes` are those of train.
    """
    seen, slow = 0, machine_factor()  # `seen`: views whose features the presets before have made
    for cost in TRIED:
        settings = load_preset(cost.preset, options)
        if why := _unfit(cost, settings, pictures, classes):
            yield PresetCandidate(cost, settings, 0.0, why)
            continue
        seconds = _seconds(cost, settings, pictures, trainings, seen)
        seen = max(seen, _looks(settings, pictures)) if cost.on_features else seen
        dear = not cost.on_features and seconds > BEARABLE
        why = f"that takes {duration(seconds)} or more" if dear else ""
        yield PresetCandidate(cost, settings, slow * seconds, why)


def _unfit(cost: PresetCost, settings: Settings, pictures: int, classes: int) -> str:
    """Say why a preset cannot learn here, or win with so few pictures; empty where it can."""
    if settings.by_gradients and not has_torch():
        return "it needs PyTorch: pip install 'gleanset[train]'"
    if pictures < cost.least:
        return f"it needs {cost.least} pictures to win, train has {pictures}"
    if pictures < cost.each * classes:
        there = f"{pictures / classes:.1f}".removesuffix(".0")
        return f"it needs {cost.each} pictures a class to win, train has {there}"
    return ""


def seconds_of(settings: Settings, pictures: int, trainings: int, seen: int | None = None) -> float:
    """Return about how long so many trainings on parts of so many pictures take.

    Features are there of so many views (`seen`), or of all.
    """
    cost = next(one for one in TRIED if one.preset == settings.method)
    there = _looks(settings, pictures) if seen is None else seen
    return machine_factor() * _seconds(cost, settings, pictures, trainings, there)


def _seconds(
    cost: PresetCost, settings: Settings, pictures: int, trainings: int, seen: int
) -> float:
    """Return what trainings take by the table; of `seen` views there are features already."""
    if not trainings:
        return 0.0
    if cost.on_features:
        looks = pictures * max(0, _looks(settings, pictures) - seen)
    else:
        looks = pictures * trainings * getattr(settings, "epochs", 1)
    base, each = cost.head
    look = cost.look * (settings.size / cost.size) ** 2
    return looks * look + trainings * (base + each * pictures)


def _looks(settings: Settings, pictures: int) -> int:
    """Return how many views of each of so many pictures features are made of."""
    return 1 + (views_of(settings, pictures) if isinstance(settings, Transfer | Triplet) else 0)


def machine_factor() -> float:
    """Return how much slower (above 1) than the one of the table this machine is, by a taste.

    It is between `FASTEST` and `SLOWEST`.
    """
    numbers, times = np.ones(3_000_000, np.float32), []
    for _ in range(4):
        started = time.perf_counter()
        np.add.accumulate(numbers)
        times.append(time.perf_counter() - started)
    return min(SLOWEST, max(FASTEST, min(times) / TASTE))
