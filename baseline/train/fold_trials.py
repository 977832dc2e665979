"""What settings come to on pictures of train that they had not learnt: by folds, test unseen.

Each training is kept as soon as it is done, in `runs/folds-<data>/`: whoever asks again, or goes
on after Ctrl-C, pays only for what is missing. The choice of a preset and the learning curve ask
for the same trainings and share them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from baseline.data.grouped_split import held_out_folds, judging_moments, with_val
from baseline.data.samples import Examples, find_examples, find_foldable
from baseline.judge.intervals import Flags
from baseline.judge.outputs import Outputs, load_outputs, save_outputs
from baseline.settings import Settings, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.methods.pretrained import pretrained
from baseline.train.methods.training_data import TrainingData
from baseline.train.sweep import (
    SweepCell,
    cell_place,
    forget_cells,
    judged_cell,
    read_cells,
    run_cells,
)
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.progress import Progress

FORMAT = 1
"""Raised when the same training comes to give other answers."""
FOLDS = 5
WHOLE = 1.0
HELD = "held"
"""The name of a fold's answers in its file."""


@dataclass(frozen=True, slots=True)
class FoldTraining:
    """One training with `settings`, on a share of what a fold leaves to learn from.

    Folds are dealt anew in each repetition.
    """

    settings: Settings
    repeat: int
    fold: int
    share: float = WHOLE

    def key(self) -> dict[str, str]:
        """Return what it is known by."""
        place = {"repeat": str(self.repeat), "fold": str(self.fold), "share": f"{self.share:g}"}
        return {"settings": json.dumps(self.settings.to_json()), **place}


@dataclass(frozen=True)
class FoldTrials:
    """Trainings on folds of the train split of `dataset`, kept in `folder`.

    `examples` has train and the val of the dataset, if it has one, and nothing else: of test not
    even the labels are known here. There are at most so many folds (`most`), which may have been
    `dealt` before: by key, from 1 on.
    """

    dataset: Dataset
    examples: Examples
    folder: Path
    scratch: Path
    most: int = 0
    dealt: Mapping[str, int] | None = None

    @classmethod
    def of(cls, dataset: Dataset, scratch: Path) -> FoldTrials:
        """Return those of a dataset as it is now. Raises `InputUnusable` for none."""
        found = find_examples(dataset)
        examples = replace(found, splits=found.splits | {"test": ()})
        return cls(dataset, examples, dataset.runs_folder / _name(examples), scratch)

    @classmethod
    def of_all(cls, dataset: Dataset, scratch: Path, folds: int) -> FoldTrials:
        """Return those of train and val together, where so many folds cross-validate a preset.

        Where the split is one into folds, its folds are taken. Raises `InputUnusable` where there
        is nothing to deal, `UsageError` where the split has another number of folds.
        """
        examples = find_foldable(dataset)
        train = examples.splits["train"]
        dealt = {one.key: one.fold for one in train if one.fold} or None
        if dealt and (there := max(dealt.values())) != folds:
            raise UsageError(
                f"the split is one into {there} folds, not {folds}",
                f"take those: --folds {there}; or split again: labeler split",
            )
        name = _name(examples, f"{folds} {sorted(dealt.items()) if dealt else ''}")
        return cls(dataset, examples, dataset.runs_folder / name, scratch, folds, dealt)

    @cached_property
    def labelled(self) -> dict[str, Sample]:
        """The samples of train by key, each once."""
        return {sample.key: sample for sample in self.examples.splits["train"]}

    @cached_property
    def judged(self) -> dict[str, str]:
        """The moments of the samples that folds can hold out, by key."""
        only = replace(self.examples, splits={"train": self.examples.splits["train"]})
        moments = judging_moments(only, self.dealt)
        return {one.key: name for name, samples in moments.items() for one in samples}

    @property
    def folds(self) -> int:
        """How many folds there are: as wanted, or as many as there are moments; 0 for one."""
        there = min(self.most or FOLDS, len(set(self.judged.values())))
        return there if there > 1 and len(self.examples.classes) > 1 else 0

    def trainings(
        self, settings: Settings, repeat: int = 0, share: float = WHOLE
    ) -> list[FoldTraining]:
        """Return a training for each fold of a repetition."""
        return [FoldTraining(settings, repeat, n, share) for n in range(self.folds)]

    def each(self, trainings: Sequence[FoldTraining]) -> Iterator[SweepCell]:
        """Yield what each training came to, in order; what failed by its settings says why.

        Raises what training raises otherwise.
        """
        meant = {_text(one.key()): one for one in trainings}

        def learn(options: dict[str, str], place: Path) -> SweepCell:
            return self._learnt(meant[_text(options)], place)

        return run_cells(self.folder, [one.key() for one in trainings], learn, self.scratch)

    def make_features(self, trainings: Sequence[FoldTraining], progress: Progress) -> None:
        """Make what missing trainings with the same settings learn on, where that is features.

        One pass makes those of all pictures; left to the folds, each would make a part of them, and
        prepare the backbone for it anew. What is wrong with the settings the trainings tell. Raises
        what making features raises.
        """
        missing = self.missing(trainings)
        if not missing:
            return
        settings = missing[0].settings
        data = TrainingData(self.dataset, self.examples, settings, progress)
        if data.frozen_backbone and isinstance(settings, Transfer | Triplet):
            with suppress(UsageError):
                net, _ = pretrained(settings, len(data.classes), TrainingCallback())
                data.train_features(net.backbone)

    def missing(self, trainings: Sequence[FoldTraining]) -> list[FoldTraining]:
        """Return those that are not known yet."""
        known = {_text(cell.options) for cell in read_cells(self.folder)}
        return [one for one in trainings if _text(one.key()) not in known]

    def forget(self, trainings: Sequence[FoldTraining]) -> None:
        """Let these be trained anew."""
        forget_cells(self.folder, [one.key() for one in trainings], self.scratch)

    def outputs(self, trainings: Sequence[FoldTraining]) -> Outputs:
        """Return what trainings that are done said of what they had not learnt, one after another.

        Keys are those of the samples. Raises `InputUnusable` where the answers of one are gone.
        """
        parts = [self._outputs(one) for one in trainings]
        return Outputs(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.y for part in parts]),
            tuple(key for part in parts for key in part.keys),
        )

    def _outputs(self, one: FoldTraining) -> Outputs:
        found = load_outputs(cell_place(self.folder, one.key())).get(HELD)
        if found is None:
            raise InputUnusable(
                f"answers are missing in {self.folder}", "remove that folder and run it again"
            )
        return found

    def fold(self, one: FoldTraining) -> Examples:
        """Return the examples of a training: its fold as test, of the rest its share as train.

        Val is that of the dataset, or else cut from train as for any training.
        """
        val = self.examples.splits["val"]
        only = replace(self.examples, splits=self.examples.splits | {"val": ()})
        parts = held_out_folds(only, self.folds, one.repeat, self.dealt)
        part = next(part for number, part in enumerate(parts) if number == one.fold)
        part = thinned(part, one.share, one.repeat)
        if val:
            return replace(part, splits=part.splits | {"val": val})
        return with_val(part, one.settings.seed)[0]

    def _learnt(self, one: FoldTraining, place: Path) -> SweepCell:
        part = self.fold(one)
        if part.splits["test"]:
            cell, told = judged_cell(self.dataset, part, one.settings, "test", place)
        else:
            cell, told = SweepCell({}, wrong=()), _nothing(len(part.classes))
        save_outputs(place, {HELD: told}, scratch=self.scratch)
        return cell


def right(told: Outputs) -> Flags:
    """Return which answers are right: N."""
    found: Flags = told.logits.argmax(1) == told.y
    return found


def _nothing(classes: int) -> Outputs:
    """Return the answers to no picture."""
    return Outputs(np.zeros((0, classes), np.float32), np.zeros(0, np.int64), ())


def thinned(examples: Examples, share: float, seed: int) -> Examples:
    """Return examples with about this share of each class in train, at least one picture of each.

    Whole moments are kept; those of a smaller share are among those of a larger one.
    """
    moments: dict[str, list[Sample]] = {}
    for sample in examples.splits["train"]:
        moments.setdefault(examples.moments[sample.key], []).append(sample)
    there = Counter(str(sample.label) for sample in examples.splits["train"])
    wanted = {label: max(1, round(share * count)) for label, count in there.items()}
    have: Counter[str] = Counter()
    kept: list[Sample] = []
    for name in np.random.default_rng(seed).permutation(sorted(moments)).tolist():
        labels = Counter(str(sample.label) for sample in moments[name])
        if any(have[label] < wanted[label] for label in labels):
            kept += moments[name]
            have.update(labels)
    train = tuple(sorted(kept, key=lambda sample: sample.key))
    return replace(examples, splits=examples.splits | {"train": train})


def _text(options: Mapping[str, str]) -> str:
    return json.dumps(options)


def _name(examples: Examples, folds: str = "") -> str:
    """Of the folder: the same for the same samples, labels and moments of train and val."""
    moments = sorted(
        (sample.key, examples.moments[sample.key])
        for part in examples.splits.values()
        for sample in part
    )
    told = repr((FORMAT, examples.fingerprint(), moments, *([folds] if folds else [])))
    return f"folds-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
