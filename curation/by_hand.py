"""The commands by which a person gives labels here: by the window, or by stacks without one."""

from __future__ import annotations

from importlib.util import find_spec

from gleanset.dataset import Dataset
from gleanset.db.proposals import Proposals, stacks
from gleanset.db.sorting import SortingQueue
from gleanset.platform import has_display

PRESORT = "baseline presort"
STACKS = "labeler gallery stacks.html --stacks"


def window_here() -> bool:
    """Return whether the window is installed and there is a display for it."""
    return find_spec("PySide6") is not None and has_display()


def by_hand(dataset: Dataset) -> str | None:
    """Return the command that leads to labels, if anything that waits can be shown."""
    if window_here():
        return f"labeler {dataset.option}"
    if stacks(dataset.db):
        return f"{STACKS} {dataset.option}"
    # Stacks lack only what the newest presort could not read: another one would not help.
    newest = Proposals(dataset.db).newest()
    unreadable = newest.facts.get("unreadable") if newest else 0
    unreadable = unreadable if isinstance(unreadable, int) else 0
    if len(SortingQueue(dataset.db).waiting(unreadable + 1)) > unreadable:
        return f"{PRESORT} {dataset.option}"
    return None
