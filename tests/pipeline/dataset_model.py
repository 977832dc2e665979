"""A reference model of a dataset in plain Python: labels, classes and steps after any commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Decision(NamedTuple):
    """The decision about a sample: `label` is the number of a class."""

    status: str = "queue"
    label: int | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the sample is undecided: in the queue, or retired."""
        return self.status in ("queue", "retired")

    @property
    def listed_status(self) -> str:
        """The status as listed, for a sample that a search finds."""
        return "queue" if self.is_pending else self.status


NEW = Decision()


@dataclass(frozen=True)
class Sample:
    """A sample with its public fields."""

    decision: Decision = NEW
    mark: str | None = None
    split: str | None = None


@dataclass
class Label:
    """A class; `into` is its merge target, or itself if hidden."""

    name: str
    into: int | None = None


class Edit(NamedTuple):
    """A change to a field of a sample or class."""

    attribute: str
    item: str | int
    before: str | int | None
    after: str | int | None


@dataclass
class Step:
    """A step: its decisions (sample, before, after) and other changes."""

    number: int
    undoes: int | None = None
    automatic: bool = False
    depth: int = 0
    decisions: list[tuple[str, Decision, Decision]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)

    def touched(self) -> set[tuple[str, str | int]]:
        decided = {("decision", key) for key, _, _ in self.decisions}
        return decided | {(edit.attribute, edit.item) for edit in self.edits}

    def samples(self) -> set[str]:
        return {key for key, _, _ in self.decisions} | {
            edit.item for edit in self.edits if isinstance(edit.item, str)
        }


class Undone(NamedTuple):
    """The counts that an undo reports."""

    restored: int
    late: int


@dataclass
class ModelImage:
    """An image of the dataset: its sample's key and weak labels."""

    key: str
    weak_labels: set[str] = field(default_factory=set)
    searched: bool = False


class DatasetModel:
    """A model of the dataset's state, with a method for each action."""

    def __init__(self) -> None:
        self.images: dict[str, ModelImage] = {}
        self.forgotten: set[str] = set()
        self.samples: dict[str, Sample] = {}
        self.classes: dict[int, Label] = {}
        self.former_names: dict[str, int] = {}
        self.steps: list[Step] = []
        # Provenance of labels, now and before each step, and reasons of the last decisions.
        self.provenance_before: dict[tuple[str, int], str] = {}
        self.provenance: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.undo_stack: list[int] = []
        self.redo_stack: list[int] = []

    # -- classes

    def visible_classes(self) -> dict[str, int]:
        """Return the classes in use: their numbers by name."""
        return {label.name: row for row, label in self.classes.items() if label.into is None}

    def find_class(self, name: str) -> int | None:
        return next((row for row, label in self.classes.items() if label.name == name), None)

    def resolve(self, row: int) -> int:
        """Follow merges to the class that this one became."""
        while self.classes[row].into not in (None, row):
            row = self.classes[row].into  # type: ignore[assignment]
        return row

    def resolve_name(self, name: str) -> str:
        """Return the present name of a class, given any of its names."""
        row = self.find_class(name)
        row = self.former_names.get(name) if row is None else row
        return name if row is None else self.classes[self.resolve(row)].name

    def get_or_create(self, name: str) -> int:
        row = self.find_class(name)
        if row is not None:
            return self.resolve(row)
        new = len(self.classes) + 1
        self.classes[new] = Label(name, new)
        return new

    def is_used(self, row: int) -> bool:
        return any(sample.decision.label == row for sample in self.samples.values())

    # -- steps

    def begin(self, undoes: Step | None = None, *, automatic: bool = False) -> Step:
        step = Step(len(self.steps) + 1, automatic=automatic)
        if undoes is not None:
            step.undoes, step.depth = undoes.number, undoes.depth + 1
            step.automatic = undoes.automatic
        self.steps.append(step)
        return step

    def apply(
        self,
        choices: Iterable[tuple[str, Decision, str]] = (),
        edits: Iterable[Edit] = (),
        *,
        ours: bool = False,
        automatic: bool = False,
    ) -> Step:
        """Take a step of decisions (sample, decision, provenance) and edits."""
        step, choices = self.begin(automatic=automatic), list(choices)
        self.make_visible(step, [message.label for _, message, _ in choices])
        for key, message, why in choices:
            self.decide(step, key, message, why)
        for edit in edits:
            self.change(step, edit)
        self.update_stacks(step, ours)
        return step

    def decide(self, step: Step, key: str, decision: Decision, why: str) -> None:
        step.decisions.append((key, self.samples[key].decision, decision))
        self.samples[key] = replace(self.samples[key], decision=decision)
        self.reasons[key] = why
        previous = self.provenance_before[key, step.number] = self.provenance.get(key, "")
        if why == "undo":
            self.provenance[key] = self.provenance_before.get((key, step.undoes or 0), previous)
        elif why != "merge" or not previous:
            self.provenance[key] = why

    def change(self, step: Step, edit: Edit) -> None:
        """Set a field of a sample or class, whatever its value was."""
        step.edits.append(edit._replace(before=self.value_of(edit)))
        if isinstance(edit.item, str):
            self.samples[edit.item] = replace(
                self.samples[edit.item], **{edit.attribute: edit.after}
            )  # type: ignore[arg-type]
            return
        if edit.attribute == "name":
            self.former_names[self.classes[edit.item].name] = edit.item
        setattr(self.classes[edit.item], edit.attribute, edit.after)

    def value_of(self, edit: Edit) -> str | int | None:
        place = self.samples if isinstance(edit.item, str) else self.classes
        result: str | int | None = getattr(place[edit.item], edit.attribute)  # type: ignore[index]
        return result

    def make_visible(self, step: Step, rows: Iterable[int | None]) -> None:
        """Make hidden classes that get samples visible."""
        for row in sorted({row for row in rows if row is not None}):
            if self.classes[row].into == row:
                self.change(step, Edit("into", row, row, None))

    def undo(self, step: Step, *, ours: bool = False) -> Undone:
        """Undo what was not changed since, and count both."""
        back = self.begin(step)
        same = [
            decision
            for decision in reversed(step.decisions)
            if self.samples[decision[0]].decision == decision[2]
        ]
        for key, before, _ in same:
            self.decide(back, key, before, "undo")
        late: set[str | int] = {key for key, _, _ in step.decisions} - {key for key, _, _ in same}
        named = {edit.item for edit in step.edits if edit.attribute == "name"}
        late |= {edit.item for edit in reversed(step.edits) if not self.revert(back, edit, named)}
        self.make_visible(back, [before.label for _, before, _ in same])
        self.update_stacks(back, ours)
        return Undone(len(back.samples()), len(late))

    def is_blocked(self, step: Step) -> bool:
        """Return whether later steps must be undone before this one."""
        trial = deepcopy(self)
        done = trial.undo(trial.steps[step.number - 1])
        last, undone = trial.steps[-1], {other.undoes for other in self.steps}
        later = (
            other
            for other in self.steps[step.number :]
            if other.number not in undone and not other.automatic and self._depends_on(other, step)
        )
        return bool(done.late and not last.touched() and any(later))

    def _depends_on(self, later: Step, step: Step) -> bool:
        """Return whether `later` changed what `step` did, or took its name."""
        renamed = any(edit.attribute == "name" for edit in step.edits)
        named = any(edit.attribute in ("name", "into") for edit in later.edits)
        return bool(later.touched() & step.touched()) or (renamed and named)

    def revert(self, back: Step, edit: Edit, named: set[str | int]) -> bool:
        """Undo one change; return False if another step changed it since.

        `named` are classes that all get their old names back, perhaps from each other.
        """
        if edit.attribute == "into" and isinstance(edit.item, int):
            now, own = self.classes[edit.item].into, edit.item in (edit.before, edit.after)
            hides = edit.before == edit.item and self.is_used(edit.item)
            if own and (now == edit.before or hides):
                return True
        holder = self.find_class(str(edit.before)) if edit.attribute == "name" else None
        name_taken = holder is not None and holder not in named
        if self.value_of(edit) != edit.after or name_taken:
            return False
        self.change(back, Edit(edit.attribute, edit.item, edit.after, edit.before))
        return True

    # -- undo and redo

    def last_step(self) -> Step | None:
        """Return the user's latest step in force, which plain undo takes."""
        undone = {step.undoes for step in self.steps}
        fit = [
            step
            for step in self.steps
            if step.depth % 2 == 0 and not step.automatic and step.number not in undone
        ]
        return fit[-1] if fit else None

    def update_stacks(self, step: Step, ours: bool) -> None:
        """Update the window's undo and redo stacks after a step."""
        for stack in (self.undo_stack, self.redo_stack):
            if step.undoes in stack:
                stack.remove(step.undoes)
        if not ours or step.automatic:
            return
        if step.depth == 0:
            self.redo_stack.clear()
        (self.redo_stack if step.depth % 2 else self.undo_stack).append(step.number)

    def reset_stacks(self) -> None:
        """Rebuild the stacks as a new window does: with all steps."""
        self.undo_stack, self.redo_stack = [], []
        for step in self.steps:
            self.update_stacks(step, ours=True)

    # -- images and weak labels

    def weak_labels_of(self, sha: str) -> set[str]:
        """Return the classes that an image's weak labels name."""
        return {self.resolve_name(hint) for hint in self.images[sha].weak_labels}

    def disputed(self, shas: Iterable[str] | None = None) -> list[str]:
        """Return samples labelled by a weak label whose weak labels disagree."""
        result = []
        for sha in self.images if shas is None else shas:
            key = self.images[sha].key
            if key in self.samples and len(self.weak_labels_of(sha)) > 1:
                by_hint = self.samples[key].decision.label and self.provenance[key] == "hint"
                result += [key] if by_hint else []
        return result

    def retract(self, shas: Iterable[str] | None = None) -> int:
        """Remove disputed labels in an automatic step; return their number."""
        back = self.disputed(shas)
        if back:
            self.apply([(key, Decision(), "hint") for key in back], automatic=True)
        return len(back)

    def search(self) -> int:
        """Make a sample of each new image; return the number of images."""
        new = [image for image in self.images.values() if not image.searched]
        for image in new:
            image.searched = True
            self.samples.setdefault(image.key, Sample())
        return len(new)

    def add_image(self, sha: str, key: str) -> ModelImage:
        return self.images.setdefault(sha, ModelImage(key))

    def add_retired_sample(self, key: str) -> Sample:
        """Return the sample that an import creates, which no search found yet."""
        return self.samples.setdefault(key, Sample(Decision("retired")))

    def split(self, splits: dict[str, str | None]) -> None:
        """Set splits, which is not a step."""
        for key, split in splits.items():
            self.samples[key] = replace(self.samples[key], split=split)

    def merge(
        self, theirs: dict[str, tuple[Decision, str | None]], mine: Iterable[str]
    ) -> tuple[list[tuple[str, Decision, str]], int]:
        """Merge labels from elsewhere; return the choices and conflict count."""
        choices, conflicts = list[tuple[str, Decision, str]](), 0
        decisions = {key: self._map_decision(*message) for key, message in theirs.items()}
        for key, message in decisions.items():
            self.provenance[key] = self.reasons[key] = "person"
            if self.samples[key].decision != message and key in mine:
                conflicts += 1
                choices.append((key, Decision(), "conflict"))
            elif self.samples[key].decision != message:
                choices.append((key, message, "person"))
        if choices:
            self.apply(choices)
        return choices, conflicts

    def _map_decision(self, decision: Decision, name: str | None) -> Decision:
        """Map an imported decision to a class here, made if new."""
        if name is None:
            return decision
        name = self.resolve_name(name)
        if self.find_class(name) is None:
            self.classes[len(self.classes) + 1] = Label(name)
        return decision._replace(label=self.get_or_create(name))

    def forget(self, sha: str) -> None:
        key = self.images.pop(sha).key
        self.forgotten.add(sha)
        self.samples.pop(key, None)
        for step in self.steps:
            step.decisions = [decision for decision in step.decisions if decision[0] != key]
            step.edits = [edit for edit in step.edits if edit.item != key]

    # -- listing

    def listed(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Return status, label and split of each sample."""
        return {
            key: (sample.decision.listed_status, self.label_of(sample.decision), sample.split)
            for key, sample in self.samples.items()
        }

    def label_of(self, decision: Decision) -> str | None:
        return None if decision.label is None else self.classes[decision.label].name

    def counts(self) -> Counter[str]:
        """Count the samples of each class."""
        return Counter(
            name for sample in self.samples.values() if (name := self.label_of(sample.decision))
        )
