"""A split as a plain value: which sample goes where, and how close that comes to the wish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gleanset.moments import Moment
from labeler.splits.wish import SPLITS, Wish

_SHOWN = 20


class Closeness(NamedTuple):
    """What a class was asked to have in each part and has, and the largest difference.

    `moments_allow` is the least difference that any split of whole moments could have: where
    both are equal, nothing but the moments is in the way.
    """

    asked: tuple[float, ...]
    got: tuple[int, ...]
    deviation: float
    moments_allow: float


@dataclass
class SplitPlan:
    """Which moment goes where. `splits` has (moment, split) of each labelled sample.

    `left` has the reason for each that has no split, `tied` counts the moments that hang
    together across splits since the last one.
    """

    settings: str
    splits: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    folds: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    table: dict[str, dict[str, int]] = field(default_factory=dict)
    by_fold: dict[str, dict[str, int]] = field(default_factory=dict)
    closeness: dict[str, Closeness] = field(default_factory=dict)
    moments: int = 0
    largest_moment: int = 0
    tied: int = 0
    not_searched: int = 0

    def count(self, moments: Sequence[Moment], wish: Wish) -> None:
        """Fill the tables: how many of each class every split, and every fold, has."""
        members = [member for moment in moments for member in moment.members]
        for label in sorted({str(member.label) for member in members}):
            self.table[label] = dict.fromkeys(SPLITS, 0)
            if wish.folds:
                self.by_fold[label] = dict.fromkeys(wish.parts, 0)
        for member in members:
            if (split := self.splits[member.key][1]) is not None:
                self.table[str(member.label)][split] += 1
            if (fold := self.folds.get(member.key)) is not None:
                self.by_fold[str(member.label)][str(fold)] += 1

    def result(self) -> dict[str, object]:
        """As a command returns it; `short` lists the splits that lack a class."""
        totals: Counter[str] = Counter()
        for row in self.table.values():
            totals.update(row)
        short = [
            f"{label}: nothing in {split}"
            for label, row in self.table.items()
            for split in SPLITS
            if totals[split] and not row[split]
        ]
        more: dict[str, object] = {
            "folds": self.by_fold,
            "left_out": dict(sorted(Counter(self.left.values()).items())),
            "tied": self._tied(),
            "short": short,
            "not_searched_for_duplicates": self.not_searched,
        }
        return {
            **{split: totals[split] for split in SPLITS},
            "moments": self.moments,
            "largest_moment": self.largest_moment,
            "moments_tied_since": self.tied,
            "classes": self.table,
            "closeness": self._closeness(),
        } | {key: value for key, value in more.items() if value}

    def _closeness(self) -> dict[str, dict[str, object]]:
        return {
            label: {
                "asked": ":".join(f"{number:.4g}" for number in row.asked),
                "got": ":".join(map(str, row.got)),
                "largest_deviation": round(row.deviation, 3),
                "moments_allow": round(row.moments_allow, 3),
            }
            for label, row in self.closeness.items()
        }

    def _tied(self) -> list[str]:
        """The samples that are left out because they hang together with test, some of them."""
        found = [f"{key}: {why}" for key, why in sorted(self.left.items()) if "tied to" in why]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return found[:_SHOWN] + more
