"""A training run as the report shows it: read from `runs/<id>/metrics.json` and judged."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.errors import InputUnusable

ROOM = "baseline"
FILE = "metrics.json"
_Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie between it and its negative."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training pictures; validation figures may be absent."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """One class of an evaluation; `support` pictures truly are of it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """A picture that was taken for another class; `key` is its sample's."""

    key: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Judged:
    """The figures of one split; `confusion` has true classes in rows."""

    count: int
    accuracy: float
    log_loss: float
    macro_f1: float
    classes: list[Score]
    confusion: list[list[int]]
    mistakes: list[Wrong]
    top5_accuracy: float | None = None

    @property
    def right(self) -> int:
        """How many pictures were recognised."""
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def commonest(self) -> float:
        """The accuracy of always answering the class with the most pictures."""
        return max((sum(row) for row in self.confusion), default=0) / max(1, self.count)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The content of `metrics.json`."""

    classes: list[str]
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[Epoch]
    best_epoch: int
    seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    val: Judged | None = None
    test: Judged | None = None
    run: str = field(default="")


class Interval(NamedTuple):
    """A confidence interval of a share."""

    low: float
    high: float


def wilson(right: int, count: int) -> Interval:
    """The 95 % score interval of a share (Wilson, 1927; without continuity correction).

    Unlike the textbook plus-or-minus it stays within 0..1 and is honest for few pictures.
    """
    if count == 0:
        return Interval(0.0, 1.0)
    share, z2 = right / count, _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def read_metrics(dataset: Dataset, run_id: str | None) -> Metrics | None:
    """The run of that name, or the newest finished one; None where nothing was trained yet.

    Raises `InputUnusable` for a run that is not there or whose figures cannot be read.
    """
    newest = None if run_id else dataset.runs.newest(ROOM)
    name = run_id or (newest.id if newest else None)
    if name is None:
        return None
    if Path(name).name != name:
        raise InputUnusable(f"{name!r} is not the name of a run", "see: gleanset list runs")
    path = dataset.root / "runs" / name / FILE
    try:
        values = json.loads(path.read_bytes())
        return msgspec.convert({**values, "run": name}, Metrics, strict=False)
    except FileNotFoundError:
        raise InputUnusable(
            f"run {name} has no figures: {path} is missing",
            "name another run (gleanset list runs), or train again: baseline train",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", "baseline train") from error
