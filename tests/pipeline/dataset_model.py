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
    def waits(self) -> bool:
        """Whether the sample is undecided: in the queue, or retired."""
        return self.status in ("queue", "retired")

    @property
    def shown(self) -> str:
        """The status as listed, for a sample that a search finds."""
        return "queue" if self.waits else self.status


NEW = Decision()


@dataclass(frozen=True)
class Sample:
    """A sample with its public fields."""

    said: Decision = NEW
    mark: str | None = None
    split: str | None = None


@dataclass
class Label:
    """A class; `into` is its merge target, or itself if hidden."""

    name: str
    into: int | None = None


class Edit(NamedTuple):
    """A change to a field of a sample or class."""

    what: str
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
        decided = {("said", key) for key, _, _ in self.decisions}
        return decided | {(edit.what, edit.item) for edit in self.edits}

    def samples(self) -> set[str]:
        return {key for key, _, _ in self.decisions} | {
            edit.item for edit in self.edits if isinstance(edit.item, str)
        }


class Undone(NamedTuple):
    """The counts that an undo reports."""

    restored: int
    late: int


@dataclass
class Picture:
    """An image of the dataset: its sample's key and weak labels."""

    key: str
    hints: set[str] = field(default_factory=set)
    searched: bool = False


class DatasetModel:
    """A model of the dataset's state, with a method for each action."""

    def __init__(self) -> None:
        self.pictures: dict[str, Picture] = {}
        self.forgotten: set[str] = set()
        self.samples: dict[str, Sample] = {}
        self.classes: dict[int, Label] = {}
        self.once: dict[str, int] = {}
        self.steps: list[Step] = []
        # Who gave a label, now and before each step, and the reason of the last decision.
        self.before: dict[tuple[str, int], str] = {}
        self.by: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.undo_stack: list[int] = []
        self.redo_stack: list[int] = []

    # -- classes

    def shown(self) -> dict[str, int]:
        """Return the classes in use: their numbers by name."""
        return {one.name: row for row, one in self.classes.items() if one.into is None}

    def named(self, name: str) -> int | None:
        return next((row for row, one in self.classes.items() if one.name == name), None)

    def meant(self, row: int) -> int:
        """Follow merges to the class that this one became."""
        while self.classes[row].into not in (None, row):
            row = self.classes[row].into  # type: ignore[assignment]
        return row

    def resolved(self, name: str) -> str:
        """Return the present name of a class, given any of its names."""
        row = self.named(name)
        row = self.once.get(name) if row is None else row
        return name if row is None else self.classes[self.meant(row)].name

    def find_or_make(self, name: str) -> int:
        row = self.named(name)
        if row is not None:
            return self.meant(row)
        new = len(self.classes) + 1
        self.classes[new] = Label(name, new)
        return new

    def used(self, row: int) -> bool:
        return any(sample.said.label == row for sample in self.samples.values())

    # -- steps

    def begin(self, undoes: Step | None = None, *, automatic: bool = False) -> Step:
        step = Step(len(self.steps) + 1, automatic=automatic)
        if undoes is not None:
            step.undoes, step.depth = undoes.number, undoes.depth + 1
            step.automatic = undoes.automatic
        self.steps.append(step)
        return step

    def take(
        self,
        choices: Iterable[tuple[str, Decision, str]] = (),
        edits: Iterable[Edit] = (),
        *,
        ours: bool = False,
        automatic: bool = False,
    ) -> Step:
        """Take a step of decisions (sample, decision, provenance) and edits."""
        step, choices = self.begin(automatic=automatic), list(choices)
        self.show(step, [message.label for _, message, _ in choices])
        for key, message, why in choices:
            self.decide(step, key, message, why)
        for edit in edits:
            self.change(step, edit)
        self.seen(step, ours)
        return step

    def decide(self, step: Step, key: str, said: Decision, why: str) -> None:
        step.decisions.append((key, self.samples[key].said, said))
        self.samples[key] = replace(self.samples[key], said=said)
        self.reasons[key] = why
        was = self.before[key, step.number] = self.by.get(key, "")
        if why == "undo":
            self.by[key] = self.before.get((key, step.undoes or 0), was)
        elif why != "merge" or not was:
            self.by[key] = why

    def change(self, step: Step, edit: Edit) -> None:
        """Set a field of a sample or class, whatever its value was."""
        step.edits.append(edit._replace(before=self.trait(edit)))
        if isinstance(edit.item, str):
            self.samples[edit.item] = replace(self.samples[edit.item], **{edit.what: edit.after})  # type: ignore[arg-type]
            return
        if edit.what == "name":
            self.once[self.classes[edit.item].name] = edit.item
        setattr(self.classes[edit.item], edit.what, edit.after)

    def trait(self, edit: Edit) -> str | int | None:
        place = self.samples if isinstance(edit.item, str) else self.classes
        result: str | int | None = getattr(place[edit.item], edit.what)  # type: ignore[index]
        return result

    def show(self, step: Step, rows: Iterable[int | None]) -> None:
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
            if self.samples[decision[0]].said == decision[2]
        ]
        for key, before, _ in same:
            self.decide(back, key, before, "undo")
        late: set[str | int] = {key for key, _, _ in step.decisions} - {key for key, _, _ in same}
        named = {edit.item for edit in step.edits if edit.what == "name"}
        late |= {edit.item for edit in reversed(step.edits) if not self.revert(back, edit, named)}
        self.show(back, [before.label for _, before, _ in same])
        self.seen(back, ours)
        return Undone(len(back.samples()), len(late))

    def in_the_way(self, step: Step) -> bool:
        """Return whether later steps must be undone before this one."""
        trial = deepcopy(self)
        done = trial.undo(trial.steps[step.number - 1])
        last, undone = trial.steps[-1], {one.undoes for one in self.steps}
        later = (
            one
            for one in self.steps[step.number :]
            if one.number not in undone and not one.automatic and self._after(one, step)
        )
        return bool(done.late and not last.touched() and any(later))

    def _after(self, one: Step, step: Step) -> bool:
        """Return whether `one` changed what `step` did, or took its name."""
        renamed = any(edit.what == "name" for edit in step.edits)
        named = any(edit.what in ("name", "into") for edit in one.edits)
        return bool(one.touched() & step.touched()) or (renamed and named)

    def revert(self, back: Step, edit: Edit, named: set[str | int]) -> bool:
        """Undo one change; return False if another step changed it since.

        `named` are classes that all get their old names back, perhaps from each other.
        """
        if edit.what == "into" and isinstance(edit.item, int):
            now, own = self.classes[edit.item].into, edit.item in (edit.before, edit.after)
            hides = edit.before == edit.item and self.used(edit.item)
            if own and (now == edit.before or hides):
                return True
        holder = self.named(str(edit.before)) if edit.what == "name" else None
        taken = holder is not None and holder not in named
        if self.trait(edit) != edit.after or taken:
            return False
        self.change(back, Edit(edit.what, edit.item, edit.after, edit.before))
        return True

    # -- who may undo what

    def last(self) -> Step | None:
        """Return the user's latest step in force, which plain undo takes."""
        undone = {step.undoes for step in self.steps}
        fit = [
            step
            for step in self.steps
            if step.depth % 2 == 0 and not step.automatic and step.number not in undone
        ]
        return fit[-1] if fit else None

    def seen(self, step: Step, ours: bool) -> None:
        """Update the window's undo and redo stacks after a step."""
        for stack in (self.undo_stack, self.redo_stack):
            if step.undoes in stack:
                stack.remove(step.undoes)
        if not ours or step.automatic:
            return
        if step.depth == 0:
            self.redo_stack.clear()
        (self.redo_stack if step.depth % 2 else self.undo_stack).append(step.number)

    def reopened(self) -> None:
        """Rebuild the stacks as a new window does: with all steps."""
        self.undo_stack, self.redo_stack = [], []
        for step in self.steps:
            self.seen(step, ours=True)

    # -- images and weak labels

    def hinted(self, sha: str) -> set[str]:
        """Return the classes that an image's weak labels name."""
        return {self.resolved(hint) for hint in self.pictures[sha].hints}

    def disputed(self, shas: Iterable[str] | None = None) -> list[str]:
        """Return samples labelled by a weak label whose weak labels disagree."""
        result = []
        for sha in self.pictures if shas is None else shas:
            key = self.pictures[sha].key
            if key in self.samples and len(self.hinted(sha)) > 1:
                by_hint = self.samples[key].said.label and self.by[key] == "hint"
                result += [key] if by_hint else []
        return result

    def retract(self, shas: Iterable[str] | None = None) -> int:
        """Remove disputed labels in an automatic step; return their number."""
        back = self.disputed(shas)
        if back:
            self.take([(key, Decision(), "hint") for key in back], automatic=True)
        return len(back)

    def search(self) -> int:
        """Make a sample of each new image; return the number of images."""
        new = [picture for picture in self.pictures.values() if not picture.searched]
        for one in new:
            one.searched = True
            self.samples.setdefault(one.key, Sample())
        return len(new)

    def picture(self, sha: str, key: str) -> Picture:
        return self.pictures.setdefault(sha, Picture(key))

    def new_sample(self, key: str) -> Sample:
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
        wanted = {key: self._taken(*message) for key, message in theirs.items()}
        for key, message in wanted.items():
            self.by[key] = self.reasons[key] = "person"
            if self.samples[key].said != message and key in mine:
                conflicts += 1
                choices.append((key, Decision(), "conflict"))
            elif self.samples[key].said != message:
                choices.append((key, message, "person"))
        if choices:
            self.take(choices)
        return choices, conflicts

    def _taken(self, said: Decision, name: str | None) -> Decision:
        """Map an imported decision to a class here, made if new."""
        if name is None:
            return said
        name = self.resolved(name)
        if self.named(name) is None:
            self.classes[len(self.classes) + 1] = Label(name)
        return said._replace(label=self.find_or_make(name))

    def forget(self, sha: str) -> None:
        key = self.pictures.pop(sha).key
        self.forgotten.add(sha)
        self.samples.pop(key, None)
        for step in self.steps:
            step.decisions = [decision for decision in step.decisions if decision[0] != key]
            step.edits = [edit for edit in step.edits if edit.item != key]

    # -- what is to be seen

    def told(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Return status, label and split of each sample."""
        return {
            key: (one.said.shown, self.label_of(one.said), one.split)
            for key, one in self.samples.items()
        }

    def label_of(self, said: Decision) -> str | None:
        return None if said.label is None else self.classes[said.label].name

    def counts(self) -> Counter[str]:
        """Count the samples of each class."""
        return Counter(
            name for sample in self.samples.values() if (name := self.label_of(sample.said))
        )
