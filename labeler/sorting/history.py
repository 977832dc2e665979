"""What can be undone and redone next, and what it is called.

The history of a window is every step from before it was opened, and its own since. Another
window's step is never undone blindly: it is left to that window. What a stage did by itself is on
no stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gleanset.db.sorting import StepRow
from gleanset.operations import AUTOMATIC, Operation, named


class HistoryStep(NamedTuple):
    """A step with what it does or undoes. Even `depth`: in force; odd: undone.

    `root` is the step at the bottom of a chain of undoing and redoing.
    """

    id: int
    operation: Operation
    depth: int
    root: int

    @property
    def name(self) -> str:
        """What it did, in English."""
        return self.operation.text()


class History:
    """Two stacks over the journal's steps; asking costs nothing."""

    def __init__(self, steps: Iterable[StepRow] = ()) -> None:
        self.last = 0
        self._steps: dict[int, HistoryStep] = {}
        self._undo: list[HistoryStep] = []
        self._redo: list[HistoryStep] = []
        self.see(steps, ours=lambda step: True)

    def see(self, steps: Iterable[StepRow], ours: Callable[[int], bool]) -> None:
        """Take notice of newer steps; `ours` says whether this window may undo one."""
        for row in steps:
            before = self._steps.get(row.undoes) if row.undoes is not None else None
            step = HistoryStep(row.id, row.operation, 0, row.id)
            if before is not None:
                step = before._replace(id=row.id, depth=before.depth + 1)
            self._steps[row.id] = step
            self.last = max(self.last, row.id)
            if before is not None:
                _drop(self._undo if before.depth % 2 == 0 else self._redo, before)
            if ours(row.id):
                self._push(step)

    def _push(self, step: HistoryStep) -> None:
        if step.operation.first().kind == AUTOMATIC:
            return
        if step.depth == 0:
            # After something new there is nothing to be done again.
            self._redo.clear()
        (self._redo if step.depth % 2 else self._undo).append(step)

    def depths(self) -> tuple[int, int]:
        """Return how many steps can be undone, and how many redone."""
        return len(self._undo), len(self._redo)

    def adopt(self, step: int) -> None:
        """Make a step ours that was seen as another program's."""
        known = self._steps.get(step)
        if known is not None and known not in (*self._undo[-50:], *self._redo[-50:]):
            self._push(known)

    def undoable(self) -> HistoryStep | None:
        """Return the step that an undo would take back."""
        return self._undo[-1] if self._undo else None

    def redoable(self) -> HistoryStep | None:
        """Return the undo that a redo would take back."""
        return self._redo[-1] if self._redo else None

    def seen(self, step: int) -> HistoryStep:
        """Return a step that was taken notice of; one without a name where it was not."""
        return self._steps.get(step) or HistoryStep(step, named(""), 0, step)


def _drop(stack: list[HistoryStep], step: HistoryStep) -> None:
    """Take a step off its stack, where it is nearly always the top."""
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] == step:
            del stack[place]
            return
