"""A session of sorting: every gesture is one named step, saved at once.

It knows nothing of a window: a window, a command and a test drive it alike. All methods are
meant for one thread, the one that opened the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import Change, Changes
from gleanset.db.journal import Choice, find_blocking_step, has_effect
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import (
    ClassCount,
    LabelCounts,
    SampleTiles,
    SortingQueue,
    StepRow,
)
from gleanset.errors import UsageError
from gleanset.operations import AUTOMATIC, Operation, named, operation
from labeler.classes import ClassEdit, ClassEditor
from labeler.sorting.keys import ClassKeys


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
    """Two stacks over the journal's steps: what can be undone and redone; asking costs nothing.

    A window has every step from before it was opened, and its own since. Another window's step is
    never undone blindly, and what a stage did by itself is on no stack.
    """

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
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] == step:
            del stack[place]
            return


BY_HAND, WITH_PAGE, BY_SWEEP = "by hand", "with page", "by sweep"


class Place(StrEnum):
    """Where samples go besides classes; as a target it has a `:` before it (`:later`)."""

    REJECT = "not a face"
    OTHER = "other"
    LATER = "later"
    QUEUE = "queue"

    @property
    def target(self) -> str:
        """What `SortingSession.to` takes for it: no class can be called so."""
        return f":{self}"


REJECT, OTHER, LATER, QUEUE = Place

SENDING: Mapping[str, tuple[str, str, str | None]] = {
    Place.REJECT: ("reject", "reject", None),
    Place.OTHER: ("other", "reject", "other"),
    Place.LATER: ("later", "clear", "later"),
    Place.QUEUE: ("queue", "clear", None),
}
"""What sending to a place is in the journal: the operation, the decision, the mark."""


class StepKind(StrEnum):
    """Whether a step is taken anew, or takes another one back, or does it again."""

    STEP = "step"
    UNDO = "undo"
    REDO = "redo"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a gesture did: its step, how many samples it decided, and what that was.

    `root` is the step that was first taken, the same for it, its undo and its redo.
    """

    step: int
    count: int
    operation: Operation
    changed_since: int = 0
    kind: StepKind = StepKind.STEP
    root: int = 0

    @property
    def name(self) -> str:
        """What was done, undone or done again, in English."""
        return self.operation.text()


NO_STEP = StepResult(0, 0, named(""))
"""What a gesture did that had nothing to do."""


class SortingProgress(NamedTuple):
    """Where the work stands. `saved` is the last step in the catalogue."""

    counts: LabelCounts
    keys: dict[str, str]
    undo: HistoryStep | None
    redo: HistoryStep | None
    saved: int


class SortingSession:
    """Drives sorting in one dataset, which stays open as long as the session is used.

    Samples are named by their ids (rows of the catalogue) from a key press to here; only the
    journal has their keys.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.tiles = SampleTiles(dataset.db)
        self.changes = Changes(dataset.db)
        self.classes, self.editor = dataset.classes, ClassEditor(dataset)
        self.keys = ClassKeys(dataset)
        self._own: set[int] = set()
        self.history = History(self.tiles.list_steps())
        self._version = self.dataset.db.get_data_version()
        self._signature = self.tiles.get_signature()

    def file(self, ids: Sequence[int], label: str, how: str = BY_HAND) -> StepResult:
        """Give samples a class, which is made when it is new."""
        label = self.classes.resolve(label)
        keys = self._keys(ids)
        did = operation("label", count=len(keys), label=label)
        return self._step(did, [Choice(key, "label", label, how) for key in keys])

    def file_each(
        self,
        labels: Mapping[int, str],
        what: Operation | str,
        how: str = WITH_PAGE,
        refused: Mapping[int, str] | None = None,
    ) -> StepResult:
        """Give each sample a class of its own, and note the classes that others are not.

        One step for a whole page: `refused` are lifted samples and what was proposed for them.
        """
        tiles = self.tiles.get_many(list(labels))
        choices = [
            Choice(tiles[row].key, "label", self.classes.resolve(label), how)
            for row, label in labels.items()
            if row in tiles
        ]
        with self.dataset.db.transaction():
            done = self._step(what, choices)
            self.refuse(done.step, refused or {})
        return done

    def refuse_gone(self, labels: Iterable[str]) -> None:
        """Raise `UsageError` where one of these classes is gone: another window has deleted it."""
        there = set(self.classes.list_names())
        for label in labels:
            if self.classes.resolve(label) not in there:
                raise UsageError(f"{label} is no class any more", "look at the faces again")

    def refuse(self, step: int, refused: Mapping[int, str]) -> None:
        """Note, as a part of a step, that samples are not of these classes."""
        there = list(self.tiles.get_many(list(refused)))
        known = self.changes.get_refused_classes(there)
        changes = []
        for sample in there:
            if (label := self.classes.get_id(refused[sample])) is not None:
                classes = known.get(sample, frozenset()) | {label}
                changes.append(Change("refused", sample, ",".join(map(str, sorted(classes)))))
        self.changes.apply(step, changes)

    def send(self, ids: Sequence[int], place: str, how: str = BY_HAND) -> StepResult:
        """Send samples to a `Place`. Raises `UsageError` for what is none."""
        if place not in SENDING:
            raise UsageError(f"there is no place {place!r}", f"choose one of {', '.join(Place)}")
        kind, action, mark = SENDING[place]
        keys = self._keys(ids)
        did = operation(kind, count=len(keys))
        return self._step(did, [Choice(key, action, None, how) for key in keys], mark)

    def to(self, ids: Sequence[int], target: str, how: str = BY_HAND) -> StepResult:
        """File or send: `target` is a class, or a place with a `:` before it (`:later`)."""
        if target.startswith(":"):
            return self.send(ids, target[1:], how)
        return self.file(ids, target, how)

    def _keys(self, ids: Sequence[int]) -> list[str]:
        if not (keys := self.tiles.get_keys(ids)):
            raise UsageError("there is no sample left of these", "look at them again")
        return keys

    def _step(
        self, what: Operation | str, choices: list[Choice], mark: str | None = None
    ) -> StepResult:
        keys = [choice.sample for choice in choices]
        with self.dataset.db.transaction():
            step = self.dataset.journal.apply(what, choices)
            marked = self.tiles.get_marks(keys)
            changes = [Change("mark", row, mark) for row, now in marked.items() if now != mark]
            self.changes.apply(step, changes)
        return self._done(step, len(set(keys)))

    def _done(
        self, step: int, count: int, since: int = 0, kind: StepKind = StepKind.STEP
    ) -> StepResult:
        self._own.add(step)
        self.history.see(self.tiles.list_steps(self.history.last), self._own.__contains__)
        self.keys.save()
        seen = self.history.seen(step)
        return StepResult(step, count, seen.operation, since, kind, seen.root)

    def adopt(self, step: int, count: int = 0) -> StepResult:
        """Make a step that another session took on this dataset one of this window's."""
        done = self._done(step, count)
        self.history.adopt(step)
        return done

    def undo(self) -> StepResult:
        """Take the last step back that this window may undo. `UsageError` when there is none."""
        return self._take_back(self.history.undoable(), StepKind.UNDO)

    def redo(self) -> StepResult:
        """Do again what was undone last."""
        return self._take_back(self.history.redoable(), StepKind.REDO)

    def _take_back(self, step: HistoryStep | None, what: StepKind) -> StepResult:
        if step is None:
            raise UsageError(f"there is nothing to {what}")
        with self.dataset.db.transaction():
            undone = self.dataset.journal.undo(step.id)
            new = self.tiles.find_undoing_step(step.id)
            idle = undone.changed_since and not has_effect(self.dataset.db, new)
            if idle and (after := find_blocking_step(self.dataset.db, step.id, new)) is not None:
                raise UsageError(
                    f"nothing of “{step.name}” is left to {what}: all was changed since",
                    "take back first, where it was done or by labeler undo: " + after.text(),
                )
        return self._done(new, undone.restored, undone.changed_since, what)

    def poll(self) -> bool:
        """Return whether another program has changed the dataset since the last call."""
        version = self.dataset.db.get_data_version()
        if version == self._version:
            return False
        self._version, before = version, self._signature
        self._signature = self.tiles.get_signature()
        changed = before != self._signature
        if changed:
            self.history.see(self.tiles.list_steps(self.history.last), self._own.__contains__)
            self.keys.follow()
        return changed

    def progress(self) -> SortingProgress:
        """Return where the work stands now."""
        counts = self.tiles.get_counts()
        return SortingProgress(
            counts,
            self.keys.of([row.name for row in counts.classes]),
            self.history.undoable(),
            self.history.redoable(),
            self.history.last,
        )

    def add_class(self, name: str) -> StepResult:
        """Make a class; its key is the next free one. `UsageError` where it is there already."""
        return self._edited(self.editor.add(name))

    def rename_class(self, old: str, new: str) -> StepResult:
        """Give a class another name, which no other class may have."""
        return self._edited(self.editor.rename(old, new))

    def set_show(self, name: str, show: str) -> StepResult:
        """Say which show a class is of; an empty one for none. `UsageError` where it is no name."""
        return self._edited(self.editor.set_show(name, show))

    def merge_class(self, old: str, into: str) -> StepResult:
        """Put all samples of a class into another one; the class is hidden."""
        return self._edited(self.editor.merge(old, into))

    def delete_class(self, name: str) -> StepResult:
        """Delete a class: its samples wait again, also those set aside."""
        return self._edited(self.editor.delete(name))

    def _edited(self, edit: ClassEdit) -> StepResult:
        return self._done(edit.step, edit.changed)

    def last_used(self) -> dict[str, int]:
        """Return the last decision that named each class: the greater, the later it was used."""
        found = self.tiles.get_last_uses()
        return {self.classes.get_name(row): last for row, last in found.items()}

    def portraits(self, classes: Sequence[ClassCount]) -> dict[str, list[SampleRegion]]:
        """Return for each of some classes its most typical and its latest face."""
        likeness = SortingQueue(self.dataset.db)
        found = {row.name: likeness.get_portraits(row.id) for row in classes}
        tiles = self.tiles.get_many([one for rows in found.values() for one in rows])
        return {
            name: [tiles[one].region for one in rows if one in tiles]
            for name, rows in found.items()
        }
