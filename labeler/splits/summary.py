"""What a split gave, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gleanset.terminal import room, table
from labeler.splits.split_spec import SPLITS

SHOWN = 12
"""So many classes are in the short table."""

_INDENT = 2


def split_summary(result: Mapping[str, Any], *, closeness: bool = False) -> dict[str, Any]:
    """Return what `SplitPlan.result` has, with tables of a few lines for those of every class.

    With `closeness` there is one of all classes: what each was asked to have, and has.
    """
    told = dict(result)
    classes, close = told.pop("classes"), told.pop("closeness")
    if closeness:
        told["closeness"] = _lines(["asked", "got", "off by", "moments allow"], _close(close), None)
    else:
        numbers = {name: [str(row[split]) for split in SPLITS] for name, row in classes.items()}
        told["classes"] = _lines(SPLITS, numbers, SHOWN)
        far = [row for row in close.values() if row["largest_deviation"] > row["moments_allow"]]
        if far:
            told["farther off than moments force"] = f"{len(far)} of {len(close)} classes"
    if folds := told.pop("folds", {}):
        parts = [*next(iter(folds.values()))]
        numbers = {name: [str(row[part]) for part in parts] for name, row in folds.items()}
        told["folds"] = _lines(parts, numbers, None if closeness else SHOWN)
    if short := told.pop("short", []):
        told["short"] = [*short[:SHOWN], *_more(len(short) - SHOWN, "see --json")]
    return told


def _close(close: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    return {
        name: [
            row["asked"],
            row["got"],
            f"{row['largest_deviation']:g}",
            f"{row['moments_allow']:g}",
        ]
        for name, row in close.items()
    }


def _lines(heads: Sequence[str], rows: Mapping[str, Sequence[str]], most: int | None) -> list[str]:
    shown = [[name, *cells] for name, cells in [*rows.items()][:most]]
    more = 0 if most is None else len(rows) - most
    lines = table([["class", *heads], *shown], room() - _INDENT)
    return [*lines, *_more(more, "labeler split --closeness shows all")]


def _more(number: int, where: str) -> list[str]:
    return [f"and {number} more: {where}"] if number > 0 else []
