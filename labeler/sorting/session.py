"""A sorting session: every gesture is one named step, saved at once.

It does not depend on Qt. All methods are meant for the thread that opened the dataset.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import Change, Changes, normalize_class_name
from gleanset.db.journal import (
    PERSON,
    REVIEW,
    TOGETHER,
    Choice,
    classify_provenance,
    find_blocking_step,
    get_label_provenances,
    has_effect,
)
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import (
    ClassCount,
    LabelCounts,
    SampleTiles,
    SortingQueue,
    StepRow,
)
from gleanset.decisions import UNLISTED_MARK, apply_decisions
from gleanset.errors import UsageError
from gleanset.operations import AUTOMATIC, NAMED, Operation, make_operation
from labeler.classes import ClassEditor
from labeler.sorting.keys import ClassKeys
from labeler.sorting.name_matching import KnownName, match_exact_name


class HistoryStep(NamedTuple):
    """A step with its operation. Even `depth`: in force; odd: undone.

    `root` is the first step of a chain of undo and redo.
    """

    id: int
    operation: Operation
    depth: int
    root: int


class History:
    """Undo and redo stacks over the journal's steps.

    A window can undo every step from before it was opened, and its own since. Steps of other
    windows are never undone blindly, and steps of automatic stages are on no stack.
    """

    def __init__(self) -> None:
        self.last = 0
        self.steps: dict[int, HistoryStep] = {}
        self.undoable: list[HistoryStep] = []
        """Steps that undo reverts, from the last one on; `redoable` has undone steps."""
        self.redoable: list[HistoryStep] = []

    def add_steps(
        self, steps: Iterable[StepRow], can_undo: Callable[[StepRow], bool]
    ) -> None:
        """Add newer steps; `can_undo` returns whether this window may undo one."""
        for row in steps:
            # Unless it undoes another one, a step is in force (depth 0) and its own root.
            step = HistoryStep(row.id, row.operation, 0, row.id)
            if (
                row.undoes is not None
                and (before := self.steps.get(row.undoes)) is not None
            ):
                step = before._replace(
                    id=row.id,
                    depth=before.depth + 1,
                )
                # A step of another window is on no stack.
                with suppress(ValueError):
                    self._stack(before).remove(before)

            self.steps[row.id] = step
            self.last = max(self.last, row.id)
            if can_undo(row):
                self._push(step)

    def _stack(self, step: HistoryStep) -> list[HistoryStep]:
        return self.redoable if step.depth % 2 else self.undoable

    def _push(self, step: HistoryStep) -> None:
        if step.operation.first().kind == AUTOMATIC:
            return
        if step.depth == 0:
            self.forget_redo()
        self._stack(step).append(step)

    def adopt(self, step: int) -> None:
        """Make a step of another session undoable here."""
        # Only among the last ones can it be already: it was taken just now.
        stored = self.steps.get(step)
        if stored is not None and stored not in (
            *self.undoable[-50:],
            *self.redoable[-50:],
        ):
            self._push(stored)

    def forget_redo(self) -> None:
        """Leave nothing to redo, because something was changed that is not a step."""
        self.redoable.clear()


BY_HAND = "by hand"
WITH_PAGE = TOGETHER
BY_SWEEP = "by sweep"


class Place(StrEnum):
    """A place for samples without a class; as a target it has a `:` prefix (`:later`)."""

    REJECT = "not a face"
    OTHER = "other"
    LATER = "later"
    QUEUE = "queue"

    @property
    def target(self) -> str:
        """The target that `SortingSession.decide` expects: no class can have this name."""
        return f":{self}"


UNDECIDED = (Place.LATER.target, Place.QUEUE.target)
"""Places that are not decisions: faces may be sent there without having been on screen."""

MIN_LOOK_SECONDS = 0.3
"""A press only labels faces that have been on screen for so long. A person needs .25 to .4 s to
react to an image, so an earlier press was meant for what was there before."""

PLACE_ACTIONS: Mapping[str, tuple[str, str, str | None]] = {
    Place.REJECT: ("reject", "reject", None),
    Place.OTHER: ("other", "reject", UNLISTED_MARK),
    Place.LATER: ("later", "clear", "later"),
    Place.QUEUE: ("queue", "clear", None),
}
"""The journal's operation, decision and mark for each place."""

STATUSES = {
    "label": ("labelled",),
    "reject": ("rejected",),
    "clear": ("queue", "duplicate"),
}
"""The status of a sample, as a tile shows it, after each decision."""


class StepKind(StrEnum):
    """Whether a step is new, or undoes or redoes another one."""

    STEP = "step"
    UNDO = "undo"
    REDO = "redo"


@dataclass(frozen=True)
class StepResult:
    """What a gesture did: its step (0 for none) and operation.

    `root` is the original step, the same for its undo and redo.
    """

    step: int
    operation: Operation
    changed_since: int = 0
    kind: StepKind = StepKind.STEP
    root: int = 0


NO_STEP = StepResult(0, make_operation(NAMED, name=""))
"""The result of a gesture that had nothing to do."""

ALREADY_THERE = StepResult(
    0, make_operation(NAMED, name="Already there: nothing changed")
)
"""The result of a decision that all samples had from a person already."""


class SortingProgress(NamedTuple):
    """The state of the work: an undo would revert the step `undo`."""

    counts: LabelCounts
    keys: dict[str, str]
    undo: HistoryStep | None
    step_count: int


class SortingSession:
    """Drives sorting in one dataset, which stays open as long as the session is used.

    Samples are referred to by their ids (rows of the catalogue); only the journal has their keys.
    A `person` in the browser undoes only steps of this name, from before as well.
    """

    def __init__(self, dataset: Dataset, person: str | None = None):
        self.dataset = dataset
        self.tiles = SampleTiles(dataset.db)
        self.changes = Changes(dataset.db)
        self.classes = dataset.classes
        self.editor = ClassEditor(dataset)
        self.keys = ClassKeys(dataset)
        self.own_steps: set[int] = set()
        self.history = History()
        self._portraits: dict[ClassCount, list[int]] = {}
        self.history.add_steps(
            self.tiles.list_steps(), lambda step: person in (None, step.person)
        )
        self._version = self.dataset.db.get_data_version()
        self._signature = self.tiles.get_signature()

    def label_each(
        self,
        labels: Mapping[int, str],
        operation: Operation | str,
        provenance: str = WITH_PAGE,
        refused: Mapping[int, str] | None = None,
    ) -> StepResult:
        """Give each sample its class, and record the classes that others are not.

        One step for a whole page: `refused` are lifted samples with their predicted classes.
        """
        tiles = self.tiles.get_many(list(labels))
        choices = [
            Choice(tiles[row].key, "label", self.classes.resolve(label), provenance)
            for row, label in labels.items()
            if row in tiles
        ]

        with self.dataset.db.transaction():
            result = self._step(operation, choices)
            self.refuse(result.step, refused or {})
        return result

    def check_classes_exist(self, labels: Iterable[str]) -> None:
        """Raise `UsageError` if one of these classes was deleted by another window."""
        class_names = set(self.classes.list_names())
        for label in labels:
            if self.classes.resolve(label) not in class_names:
                raise UsageError(
                    f"class {label!r} was deleted", "check the faces again"
                )

    def refuse(self, step: int, refused: Mapping[int, str]) -> None:
        """Record, as part of a step, that samples are not of these classes."""
        existing = list(self.tiles.get_many(list(refused)))
        refused_classes = self.changes.get_refused_classes(existing)
        changes = []
        for sample in existing:
            if (label := self.classes.get_id(refused[sample])) is not None:
                classes = refused_classes.get(sample, frozenset()) | {label}
                changes.append(
                    Change("refused", sample, ",".join(map(str, sorted(classes))))
                )

        self.changes.apply(step, changes)

    def decide(
        self, ids: Sequence[int], target: str, provenance: str = BY_HAND
    ) -> StepResult:
        """Give samples a class, which is created if it is new, or send them to a `Place`.

        A place is prefixed with `:` (`:later`). Raises `UsageError` for an unknown one.
        """
        # Choices without a sample: `_decide` makes one of them for each.
        if not target.startswith(":"):
            label = self.classes.resolve(target)
            return self._decide(
                ids, "label", Choice("", "label", label, provenance), label=label
            )

        place = target[1:]
        if place not in PLACE_ACTIONS:
            raise UsageError(
                f"there is no place {place!r}", f"choose one of {', '.join(Place)}"
            )

        kind, action, mark = PLACE_ACTIONS[place]
        return self._decide(
            ids,
            kind,
            Choice("", action, None, provenance),
            mark,
        )

    def _decide(
        self,
        ids: Sequence[int],
        kind: str,
        choice: Choice,
        mark: str | None = None,
        **values: str,
    ) -> StepResult:
        """Take a step with this choice for each sample that no person has decided so before.

        `kind` and `values` are those of the operation.
        """
        with self.dataset.db.transaction():
            if not (tiles := self.tiles.get_many(ids)):
                raise UsageError(
                    "none of these samples exists any more", "check them again"
                )

            # Samples that are in the state of this decision already are decided again only if no
            # person has put them there, but a model or a weak label.
            states = {
                (status, choice.label, mark) for status in STATUSES[choice.action]
            }
            same = [
                n for n, at in tiles.items() if (at.status, at.label, at.mark) in states
            ]
            # A review records also what is so already: it confirms it.
            if choice.provenance == REVIEW:
                same = []

            origins = get_label_provenances(self.dataset.db, same)
            kinds = {
                n: classify_provenance(origins.get(tiles[n].key, "")) for n in same
            }
            changing = [n for n in ids if n in tiles and kinds.get(n) != PERSON]
            if not changing:
                return ALREADY_THERE

            choices = [choice._replace(sample=tiles[n].key) for n in changing]
            return self._step(
                make_operation(kind, count=len(choices), **values), choices, mark
            )

    def _step(
        self, action: Operation | str, choices: list[Choice], mark: str | None = None
    ) -> StepResult:
        with self.dataset.db.transaction():
            step = apply_decisions(self.dataset.db, action, choices, mark)
            self.classes.hide_corrected(step)
        return self._finish(step)

    def _finish(
        self, step: int, since: int = 0, kind: StepKind = StepKind.STEP
    ) -> StepResult:
        self.own_steps.add(step)
        self.follow_history()
        self.keys.save()
        unknown = HistoryStep(
            step,
            make_operation(NAMED, name=""),
            0,
            step,
        )
        recorded = self.history.steps.get(step, unknown)
        return StepResult(step, recorded.operation, since, kind, recorded.root)

    def adopt(self, step: int) -> StepResult:
        """Make a step that another session took on this dataset one of this window's."""
        done = self._finish(step)
        self.history.adopt(step)
        return done

    def undo(self) -> StepResult:
        """Undo the last step of this window. Raises `UsageError` if there is none."""
        return self.take_back(StepKind.UNDO)

    def redo(self) -> StepResult:
        """Redo the last undone step."""
        return self.take_back(StepKind.REDO)

    def take_back(self, kind: StepKind, number: int = 0) -> StepResult:
        """Undo or redo the last step of this window, or the one of anybody with this number.

        Raises `UsageError` if there is none, or later steps changed all that it changed.
        """
        history = self.history
        steps = history.undoable if kind is StepKind.UNDO else history.redoable
        if number:
            steps = [step for step in history.steps.values() if step.id == number]
        if not steps:
            raise UsageError(f"there is nothing to {kind}")

        step = steps[-1]
        with self.dataset.db.transaction():
            undone = self.dataset.journal.undo(step.id)
            undoing_step = self.tiles.find_undoing_step(step.id)
            later_step = None
            if undone.changed_since and not has_effect(self.dataset.db, undoing_step):
                later_step = find_blocking_step(self.dataset.db, step.id, undoing_step)
            if later_step is not None:
                # Leaving the transaction drops the undo, too.
                raise UsageError(
                    f"nothing of “{step.operation.text()}” is left to {kind}: all changed since",
                    "undo this step first, where it was done or by labeler undo: "
                    + later_step.text(),
                )

        return self._finish(undoing_step, undone.changed_since, kind)

    def poll(self) -> bool:
        """Return whether another process has changed the dataset since the last call."""
        version = self.dataset.db.get_data_version()
        if version == self._version:
            return False
        self._version = version
        before = self._signature
        self._signature = self.tiles.get_signature()
        changed = before != self._signature
        if changed:
            self.follow_history()
            self.keys.follow()
        return changed

    def follow_history(self) -> None:
        """Read the steps of other sessions since the last call."""
        self.history.add_steps(
            self.tiles.list_steps(self.history.last),
            lambda step: step.id in self.own_steps,
        )

    def progress(self) -> SortingProgress:
        """Return the current state of the work."""
        counts = self.tiles.get_counts()
        return SortingProgress(
            counts,
            self.keys.assign([row.name for row in counts.classes]),
            next(reversed(self.history.undoable), None),
            len(self.history.undoable),
        )

    def add_class(self, name: str) -> StepResult:
        """Create a class with the next free key. Raises `UsageError` if it exists."""
        return self._finish(self.editor.add(name).step)

    def rename_class(self, old: str, new: str) -> StepResult:
        """Rename a class, or merge it into another one that typing this name would mean."""
        new = normalize_class_name(new)
        if new == old:
            return NO_STEP
        others = [
            KnownName(name, name) for name in self.classes.list_names() if name != old
        ]
        if match := match_exact_name(new, others):
            return self._finish(self.editor.merge(old, match.label).step)
        return self._finish(self.editor.rename(old, new).step)

    def delete_class(self, name: str) -> StepResult:
        """Delete a class; its samples, including duplicates, wait again."""
        return self._finish(self.editor.delete(name).step)

    def portraits(self, classes: Sequence[ClassCount]) -> dict[str, list[SampleRegion]]:
        """Return the most typical and the latest face of each class."""
        queue = SortingQueue(self.dataset.db)
        # Looking up 200 classes takes .15 s. A `ClassCount` includes the number of samples, so only
        # classes whose number has changed are looked up again.
        self._portraits = {
            row: self._portraits.get(row) or queue.get_portraits(row.id)
            for row in classes
        }
        tiles = self.tiles.get_many([*chain.from_iterable(self._portraits.values())])
        return {
            row.name: [
                tiles[n].region
                for n in rows
                if n in tiles and tiles[n].label == row.name
            ]
            for row, rows in self._portraits.items()
        }
