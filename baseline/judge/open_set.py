"""Figures of "unknown": how it holds for pictures of known classes, and of classes left out.

Pictures of known classes count by moments. Those of a class that was left out are alike in being
strange, so there the classes are the cases: what an interval says holds for strangers who are like
these classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from baseline.data.runs import read_part, write_part
from baseline.judge.intervals import Flags, auroc_interval, several_interval
from baseline.judge.outputs import Floats
from gleanset.binomial import Interval
from gleanset.errors import InputUnusable
from gleanset.html.words import count

FILE = "open_set.json"


@dataclass(frozen=True, slots=True)
class SeenPictures:
    """What one network says of N pictures.

    How familiar they are, whether the answer is "unknown", and which of them are one case: the
    moment of a known picture, the class of a stranger.
    """

    familiarity: Floats
    unknown: Flags
    cases: Sequence[str]

    def __len__(self) -> int:
        return len(self.cases)


Round = tuple[SeenPictures, SeenPictures]
"""Known pictures and strangers, shown to one network."""


class OpenSetResult(msgspec.Struct, frozen=True):
    """How often the answer is "unknown", with thresholds chosen for `wanted` of the known.

    `networks` were trained. `strangers` pictures are of `classes`, each left out by one network:
    of these `strangers_unknown` (a share) are unknown. Known pictures, of `known_moments` moments,
    are each shown to the networks that learnt its class: of these `known` answers `known_unknown`
    are. `auroc` is the chance that a known picture is more familiar than a stranger. Intervals are
    of 95 %, None for a single case.
    """

    wanted: float
    networks: int
    classes: int
    strangers: int
    strangers_unknown: float
    strangers_interval: Interval | None
    known: int
    known_moments: int
    known_unknown: float
    known_interval: Interval | None
    auroc: float
    auroc_interval: Interval | None

    def describe(self) -> str:
        """Say it in a sentence."""
        ends = self.auroc_interval
        between = "" if ends is None else f" ({ends.low:.3f} to {ends.high:.3f})"
        return (
            f"of {count(self.strangers, 'picture')} of "
            f"{count(self.classes, 'class', 'classes')} that were left out of the training, each "
            f"in turn, {_percent(self.strangers_unknown, self.strangers_interval)} are answered "
            f"unknown; of {count(self.known, 'answer')} to known pictures of test "
            f"({count(self.known_moments, 'moment')}) "
            f"{_percent(self.known_unknown, self.known_interval)}, where at most "
            f"{100 * self.wanted:.3g} % were allowed; a known picture is more familiar than a "
            f"strange one with a probability of {self.auroc:.3f}{between}"
        )


def _percent(share: float, interval: Interval | None) -> str:
    if interval is None:
        return f"{100 * share:.1f} %"
    low, high = (100 * end for end in interval)
    return f"{100 * share:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"


def open_set_result(wanted: float, rounds: Sequence[Round]) -> OpenSetResult:
    """Return the figures of all networks together. Raises `InputUnusable` where one lacks a side.

    The networks of a round without known pictures, or without strangers, tell nothing.
    """
    whole = [(known, away) for known, away in rounds if len(known) and len(away)]
    if not whole:
        raise InputUnusable(
            "no known picture and no stranger can be compared",
            "give test pictures of several classes: labeler split --ratio 8:1:1",
        )
    known_cases = [case for known, _ in whole for case in known.cases]
    away_cases = [case for _, away in whole for case in away.cases]
    known_unknown = np.concatenate([known.unknown for known, _ in whole])
    away_unknown = np.concatenate([away.unknown for _, away in whole])
    ranks = [_ranks(known.familiarity, away.familiarity) for known, away in whole]
    above, below = (np.concatenate(part) for part in zip(*ranks, strict=True))
    several = len(set(known_cases)) > 1 and len(set(away_cases)) > 1
    return OpenSetResult(
        wanted=wanted,
        networks=len(whole),
        classes=len(set(away_cases)),
        strangers=len(away_unknown),
        strangers_unknown=float(away_unknown.mean()),
        strangers_interval=several_interval(away_unknown, away_cases),
        known=len(known_unknown),
        known_moments=len(set(known_cases)),
        known_unknown=float(known_unknown.mean()),
        known_interval=several_interval(known_unknown, known_cases),
        auroc=float(below.mean()),
        auroc_interval=auroc_interval(above, known_cases, below, away_cases) if several else None,
    )


def _ranks(known: Floats, strange: Floats) -> tuple[Floats, Floats]:
    """Return above which share of the strangers each known picture lies; and, for each stranger,
    which share of the known lies above it. Equal ones count half.
    """

    def share_below(values: Floats, others: Floats) -> Floats:
        order = np.sort(others)
        sides = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
        shares: Floats = sides / (2 * len(others))
        return shares

    return share_below(known, strange), 1 - share_below(strange, known)


def save_open_set(folder: Path, result: OpenSetResult) -> None:
    """Write `open_set.json` beside the other figures of a run. Raises NotWritable or DiskFull."""
    write_part(folder, FILE, result)


def load_open_set(folder: Path) -> OpenSetResult | None:
    """Return what was measured; None where nothing was. Raises `InputUnusable`."""
    return read_part(folder, FILE, OpenSetResult, "measure again: baseline evaluate --open-set")
