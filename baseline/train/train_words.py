"""What `baseline train` tells a person at its end: how good it is, what it confuses, what is next.

The figures themselves are in the result of the run (`--json`), its `metrics.json` and its report.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from baseline.data.copy_search import unlearnt_words
from baseline.judge.report.charts import confused_pairs
from baseline.judge.report.run_files import SplitFigures, read_metrics
from gleanset.errors import InputUnusable
from gleanset.html.words import count

PAIRS = 3
"""So many kinds of mistakes are told; the report has all of them."""
KNOWN = {
    "train": "which it has learnt from: no test at all",
    "val": "which it was tuned by: no true test",
}
"""What a share of right answers on a split is worth, but for test."""
NOT_JUDGED = "unknown: there is no picture in test or val to judge it by"


def training_words(done: Mapping[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """Return the result of a run, whose files are in `folder`, as lines for a person."""
    judged = next((split for split in ("test", "val") if done.get(split)), None)
    lines: dict[str, Any] = {"run": str(done["run"])}
    lines |= {"chosen": str(done["chosen"])} if "chosen" in done else {}
    lines["learnt from"] = _learnt(done)
    told = judged and _judged(judged, done[judged], folder, done.get("copies"))
    lines |= told or {"right": NOT_JUDGED}
    lines |= {name: str(done[name]) for name in ("more_pictures", "report") if done.get(name)}
    commands = ["baseline predict PICTURE", "webapp serve"]
    if judged != "test":
        commands.insert(0, "labeler split --ratio 8:1:1")
    return lines | {"next": [f"{one} -d {shlex.quote(str(root))}" for one in commands]}


def _learnt(done: Mapping[str, Any]) -> str:
    """Say how much was learnt from, of what, and how long it went on."""
    data = done["data"]
    words = f"{count(data['train'], 'picture')} of {count(done['classes'], 'class', 'classes')}"
    if "epochs" in done:
        passes = count(done["epochs"], "pass", "passes")
        words += f" in {passes}; number {done['best_epoch']} is kept"
    if unseen := done.get("unseen_labels"):
        words += f"; nobody has looked at {count(unseen, 'label')} of these"
    if unread := done.get("unreadable"):
        words += f"; {count(unread, 'picture')} could not be read"
    return words


def _judged(
    split: str, figures: Mapping[str, Any], folder: Path, copies: Mapping[str, Any] | None
) -> dict[str, str]:
    """Say how many are right on a split, within which bounds, and what was taken for what."""
    found = _figures(split, folder)
    lines = right_words(split, figures, copies)
    if figures.get("at_least") is not None:
        moments = found.moments if found else None
        lines["interval"] = interval_words(figures["at_least"], figures["at_most"], moments)
    lines["to compare"] = commonest_words(figures)
    return lines | ({"confused": _confused(found)} if found else {})


def right_words(
    split: str, figures: Mapping[str, Any], copies: Mapping[str, Any] | None
) -> dict[str, str]:
    """Say how many are right, and whether these pictures are a test, by the `copy_search` of it."""
    of = f"{100 * figures['accuracy']:.1f} % of {count(figures['count'], 'picture')} of {split}"
    return {"right": f"{of}, {KNOWN.get(split) or unlearnt_words(copies)}"}


def interval_words(low: float, high: float, moments: int | None) -> str:
    """Say within which bounds the share right lies."""
    by = f", by {count(moments, 'moment')}" if moments else ""
    return f"{100 * low:.1f} to {100 * high:.1f} % (95 %){by}"


def commonest_words(figures: Mapping[str, Any]) -> str:
    """Say what a guess would come to."""
    share = 100 * figures["commonest_class"]
    return f"{share:.1f} % are right who always name the commonest class"


def _figures(split: str, folder: Path) -> SplitFigures | None:
    """Return all figures of a split; None where the files of the run are gone."""
    with suppress(InputUnusable):
        return read_metrics(folder).splits.get(split)
    return None


def _confused(found: SplitFigures) -> str:
    """Say which classes are taken for which, the commonest mistake first."""
    names = [score.name for score in found.classes]
    if found.right == found.count:
        return "nothing"
    pairs = confused_pairs(found.confusion, names, PAIRS)
    if not pairs:
        return f"no two classes more than once ({count(found.count - found.right, 'mistake')})"
    return "; ".join(
        f"{one.true} taken for {one.answered}: {one.count} of {one.total}" for one in pairs
    )
