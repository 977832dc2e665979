"""What a split gave, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gleanset.terminal import room, table
from labeler.splits.split_spec import SPLITS

SHOWN = 12
"""So many classes are in a table."""

_INDENT = 2


def split_summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `SplitPlan.result` has, with tables of a few lines for those of every class."""
    summary = {name: value for name, value in result.items() if name != "closeness"}
    summary["classes"] = _lines(SPLITS, summary.pop("classes"))
    if folds := summary.pop("folds", {}):
        summary["folds"] = _lines([*next(iter(folds.values()))], folds)
    if short := summary.pop("short", []):
        summary["short"] = [*short[:SHOWN], *_more(len(short))]
    return summary


def _lines(heads: Sequence[str], rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    shown = [[name, *(str(row[head]) for head in heads)] for name, row in [*rows.items()][:SHOWN]]
    lines = table([["class", *heads], *shown], room() - _INDENT)
    return [*lines, *_more(len(rows))]


def _more(number: int) -> list[str]:
    return [f"and {number - SHOWN} more: see --json"] if number > SHOWN else []
