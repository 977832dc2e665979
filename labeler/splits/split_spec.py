"""The specification of a split, checked: shares or counts, folds, what is held out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from gleanset.errors import UsageError
from gleanset.records import SPLITS
from gleanset.settings import SplitSettings
from gleanset.terminal import room, table

SHOWN = 12
"""So many classes are in a table."""

_INDENT = 2


def split_summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `SplitPlan.result` has, with tables of a few lines for those of every class."""
    summary = {name: value for name, value in result.items() if name != "closeness"}
    summary["classes"] = class_table(SPLITS, summary.pop("classes"))
    if folds := summary.pop("folds", {}):
        summary["folds"] = class_table([*next(iter(folds.values()))], folds)
    if short := summary.pop("short", []):
        summary["short"] = [*short[:SHOWN], *_more(len(short))]
    return summary


def class_table(heads: Sequence[str], rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the lines of a table with a row for each class, the first of them."""
    shown = [[name, *(str(row[head]) for head in heads)] for name, row in [*rows.items()][:SHOWN]]
    lines = table([["class", *heads], *shown], room() - _INDENT)
    return [*lines, *_more(len(rows))]


def _more(number: int) -> list[str]:
    return [f"and {number - SHOWN} more: see --json"] if number > SHOWN else []


REST = "rest"
# The part of a sample that a split by counts has no room for.
SPARE = "spare"


@dataclass(frozen=True)
class SplitSpec:
    """A checked specification. `parts` are train, val, test (and spare), or the folds "1", "2", ...

    `shares` (a class's fractions) or `counts` (its numbers; None is the rest) say how much of
    each class goes where. `test` and `val` are the folds in force. `hold_out` are pairs
    ("source" or "video", name) that are test and nothing else is.
    """

    parts: tuple[str, ...]
    shares: tuple[Fraction, ...]
    counts: tuple[int | None, ...] = ()
    folds: int = 0
    fold: int = 1
    hold_out: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    placed_by: str = ""

    @classmethod
    def of(cls, settings: SplitSettings) -> SplitSpec:
        """Check settings. Raises `UsageError` for those that make no sense."""
        if settings.folds:
            return _folds(settings)
        if settings.fold != 1:
            raise UsageError(
                f"fold {settings.fold} was named without folds", "say how many: --folds 5"
            )
        hold_out = tuple(sorted({_hold_out(text) for text in settings.hold_out}))
        shares = _without_test(parse_ratio(settings.ratio), bool(hold_out))
        word = f"ratio={lowest_terms(settings.ratio)}"
        parts: tuple[str, ...] = SPLITS
        counts: tuple[int | None, ...] = ()
        if settings.counts:
            counts = parse_counts(settings.counts)
            counts = (*counts[:2], 0) if hold_out else counts
            word, parts = f"counts={settings.counts}", (*SPLITS, SPARE)
        words = [word, f"seed={settings.seed}"]
        words += [shlex.quote(f"hold-out={kind}={name}") for kind, name in hold_out]
        return cls(
            parts,
            shares,
            counts,
            hold_out=hold_out,
            seed=settings.seed,
            placed_by=" ".join(words),
        )

    @property
    def settings(self) -> str:
        """Everything in one line: words as of options, `key=value`."""
        return f"{self.placed_by} fold={self.fold}" if self.folds else self.placed_by

    def places_as(self, settings: str) -> bool:
        """Tell whether an earlier split placed by the same specification: then it is kept."""
        try:
            words = shlex.split(settings)
        except ValueError:
            return False
        # An earlier version also capped the share of a source (`most=`).
        return [w for w in words if not w.startswith(("most=", "fold="))] == shlex.split(
            self.placed_by
        )

    def want(self, size: int) -> tuple[float, ...]:
        """Return how many of a class of that size each part should get."""
        if not self.counts:
            return tuple(float(size * share) for share in self.shares)
        asked = [count or 0 for count in self.counts]
        if self.counts[0] is None:
            # Train keeps at least half of a class that is too small.
            scale = min(1.0, size / 2 / max(1, sum(asked)))
            val, test = (number * scale for number in asked[1:])
            return size - val - test, val, test, 0.0
        scale = min(1.0, size / max(1, sum(asked)))
        given = [number * scale for number in asked]
        return (*given, size - sum(given))

    def split_of(self, part: str) -> str | None:
        """Return the split that a part is in force as."""
        if not self.folds:
            return None if part == SPARE else part
        # Of two folds one is test and the other train.
        after = self.fold % self.folds + 1 if self.folds > 2 else 0
        return {str(self.fold): "test", str(after): "val"}.get(part, "train")


def parse_ratio(text: str) -> tuple[Fraction, ...]:
    """Read '8:1:1' as fractions of train, val and test. Raises `UsageError`."""
    parts = [Fraction(part) for part in text.split(":") if re.fullmatch(r"\d+(\.\d+)?", part)]
    if len(parts) != 3 or text.count(":") != 2 or parts[0] <= 0:
        hint = "write for instance 8:1:1"
        if len(parts) == 2 and text.count(":") == 1:
            train, test = text.split(":")
            hint = f"for train and test without val: {train}:0:{test}"
        raise UsageError(f"{text!r} is not a ratio of train, val and test", hint)
    return tuple(part / sum(parts) for part in parts)


def lowest_terms(ratio: str) -> str:
    """Return the one spelling of a ratio: '80:10:10' and '0.8:0.1:0.1' are both '8:1:1'."""
    parts = parse_ratio(ratio)
    whole = [int(part * lcm(*(p.denominator for p in parts))) for part in parts]
    return ":".join(str(part // gcd(*whole)) for part in whole)


def parse_counts(text: str) -> tuple[int | None, ...]:
    """Read '100:20:20' as numbers of each class; 'rest:20:20' gives train all others (None)."""
    train, *others = text.split(":")
    if (
        len(others) != 2
        or not re.fullmatch(r"[1-9]\d{0,8}|rest", train)
        or not all(re.fullmatch(r"\d{1,9}", other) for other in others)
    ):
        raise UsageError(
            f"{text!r} are no counts of train, val and test",
            "write for instance 100:20:20, or rest:20:20, for each class",
        )
    return (None if train == REST else int(train), *map(int, others))


def _folds(settings: SplitSettings) -> SplitSpec:
    if settings.hold_out or settings.counts:
        other = "hold-out" if settings.hold_out else "counts"
        raise UsageError(
            f"folds and {other} do not go together",
            f"in folds every sample is test once: leave {other} out",
        )
    if not 2 <= settings.folds <= 100:
        raise UsageError(f"{settings.folds} folds make no sense", "ask for 2 to 100")
    if not 1 <= settings.fold <= settings.folds:
        raise UsageError(
            f"there is no fold {settings.fold} of {settings.folds}",
            f"name one from 1 to {settings.folds}",
        )
    parts = tuple(str(number + 1) for number in range(settings.folds))
    shares = (Fraction(1, settings.folds),) * settings.folds
    words = f"folds={settings.folds} seed={settings.seed}"
    return SplitSpec(
        parts,
        shares,
        folds=settings.folds,
        fold=settings.fold,
        seed=settings.seed,
        placed_by=words,
    )


def _without_test(shares: tuple[Fraction, ...], hold_out: bool) -> tuple[Fraction, ...]:
    if not hold_out:
        return shares
    train, val, _ = shares
    return train / (train + val), val / (train + val), Fraction(0)


def _hold_out(text: str) -> tuple[str, str]:
    kind, sign, name = text.partition("=")
    if kind not in ("source", "video") or not sign or not name:
        raise UsageError(
            f"{text!r} is nothing that can be held out",
            "write source=pixiv or video=episode-06.mkv",
        )
    return kind, name
