"""Trials: trainings that are judged and not kept, for sweeps, choices, curves, cross-validation.

What each came to is written down as soon as it is known: whoever asks again, or goes on after
Ctrl-C, pays only for what is missing. Trials on folds (`FoldTrials`) lie in `runs/folds-<data>/`;
the choice of a preset and the learning curve ask for the same ones and share them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from baseline.data.grouped_split import held_out_folds, judging_moments, with_val
from baseline.data.runs import forget_checkpoint
from baseline.data.samples import Examples, find_examples, find_foldable
from baseline.judge.metrics import classification_metrics
from baseline.judge.outputs import Outputs, load_outputs, save_outputs
from baseline.settings import Settings, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.inference import split_outputs
from baseline.train.methods.pretrained import pretrained_backbone
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.records import Sample
from gleanset.work.progress import Progress

FILE = "sweep.json"
FORMAT = 2
"""Raised when the same training comes to give other answers."""
HELD = "held"
"""The name of a fold's answers in its file."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A training by `options` and what it came to on what judges it; `failed` says why to nothing.

    Its answers lie in its folder (`trial_outputs`).
    """

    options: dict[str, str]
    accuracy: float | None = None
    log_loss: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    failed: str = ""

    @property
    def name(self) -> str:
        """The options in a line."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())


LearnTrial = Callable[[dict[str, str], Path], tuple[Trial, Outputs]]
"""Trains as the options of a trial say, with checkpoints in a folder; they are filled in later."""


def run_trials(
    folder: Path, cells: Sequence[dict[str, str]], learn: LearnTrial, scratch: Path
) -> Iterator[Trial]:
    """Yield what every cell came to, in order; those that `folder` knows are not trained again."""
    known = {_text(cell.options): cell for cell in read_trials(folder)}
    for options in cells:
        name = _text(options)
        if name not in known:
            known[name] = _learnt(options, learn, trial_place(folder, options), scratch)
            text = json.dumps([asdict(cell) for cell in known.values()], indent=1)
            write_atomic(folder / FILE, text.encode(), scratch=scratch)
        yield known[name]


def _learnt(options: dict[str, str], learn: LearnTrial, place: Path, scratch: Path) -> Trial:
    start = time.monotonic()
    try:
        cell, outputs = learn(options, place)
    except UsageError as error:
        # A rate that makes the loss infinite is a finding, and no reason to stop.
        return Trial(options, failed=error.what)
    save_outputs(place, {HELD: outputs}, scratch=scratch)
    seconds = round(time.monotonic() - start, 2)
    return replace(cell, options=options, seconds=seconds)


def trial_place(folder: Path, options: Mapping[str, str]) -> Path:
    """Return the folder of one training of a sweep in `folder`."""
    return folder / f"cell-{short_digest(_text(options))}"


def trial_outputs(folder: Path, options: Mapping[str, str]) -> Outputs:
    """Return what a training said of what judges it. Raises `InputUnusable` where that is gone."""
    outputs = load_outputs(trial_place(folder, options)).get(HELD)
    if outputs is None:
        raise InputUnusable(
            f"answers are missing in {folder}", "remove that folder and run it again"
        )
    return outputs


def read_trials(folder: Path) -> list[Trial]:
    """Return the cells known so far."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=list[Trial])
    except (OSError, msgspec.MsgspecError):
        return []


def short_digest(text: str) -> str:
    """Return a short name for what a text says."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def judged_trial(
    dataset: Dataset, examples: Examples, settings: Settings, split: str, place: Path
) -> tuple[Trial, Outputs]:
    """Train with settings, with checkpoints in `place`; what it comes to, and says, on a split."""
    material = TrainingData(dataset, examples, settings, Progress(quiet=True), place)
    fitted = fit_method(material, settings, TrainingCallback())
    outputs = split_outputs(fitted.net, material, split)
    judged = classification_metrics(outputs.logits, outputs.y, outputs.keys, examples.classes)
    forget_checkpoint(place)
    return Trial({}, judged.accuracy, judged.log_loss, len(fitted.history)), outputs


def answered_by_all(answers: Iterable[Outputs]) -> list[Outputs]:
    """Return the same answers without samples that one of several trainings could not read."""
    several = list(answers)
    keys = set.intersection(*(set(outputs.keys) for outputs in several))
    return [
        outputs.at(np.array([row for row, key in enumerate(outputs.keys) if key in keys], np.int64))
        for outputs in several
    ]


@dataclass(frozen=True, slots=True)
class FoldTraining:
    """One training with `settings`, on a share of what a fold leaves to learn from.

    Folds are dealt anew in each repetition.
    """

    settings: Settings
    repeat: int
    fold: int

    def key(self) -> dict[str, str]:
        """Return what it is known by."""
        place = {"repeat": str(self.repeat), "fold": str(self.fold)}
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
    most: int
    dealt: Mapping[str, int] | None = None

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

    @classmethod
    def of_everything(cls, dataset: Dataset, scratch: Path, folds: int) -> FoldTrials:
        """Return those of all splits together, test too, where labels themselves are judged: also
        such as nobody has looked at. Raises `InputUnusable` where there are none.
        """
        examples = find_examples(dataset)
        samples = {one.key: one for part in examples.splits.values() for one in part}
        train = tuple(samples[key] for key in sorted(samples))
        splits: dict[str, tuple[Sample, ...]] = {"train": train, "val": (), "test": ()}
        whole = replace(examples, splits=splits, unseen=frozenset(), weights=())
        name = _name(whole, f"{folds} of everything")
        return cls(dataset, whole, dataset.runs_folder / name, scratch, folds)

    def need_folds(self) -> None:
        """Raise `InputUnusable` where there are fewer folds than are wanted."""
        if self.folds < self.most:
            moments = len(set(self.judged.values()))
            raise InputUnusable(
                f"{self.most} folds need {self.most} moments of classes that have several, and "
                f"two classes; there are {moments} and {len(self.examples.classes)}",
                "label more pictures, or take fewer folds: --folds 2",
            )

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
        there = min(self.most, len(set(self.judged.values())))
        return there if there > 1 and len(self.examples.classes) > 1 else 0

    def trainings(self, settings: Settings, repeat: int = 0) -> list[FoldTraining]:
        """Return a training for each fold of a repetition."""
        return [FoldTraining(settings, repeat, n) for n in range(self.folds)]

    def each(
        self, trainings: Sequence[FoldTraining], progress: Progress, name: str = "folds"
    ) -> Iterator[Trial]:
        """Yield what each training came to, in order; what failed by its settings says why.

        Features that those which are missing learn on are made first, in one pass. Raises what
        training raises otherwise.
        """
        self._make_features(trainings, progress)
        meant = {_text(one.key()): one for one in trainings}

        def learn(options: dict[str, str], place: Path) -> tuple[Trial, Outputs]:
            return self._learnt(meant[_text(options)], place)

        cells = run_trials(self.folder, [one.key() for one in trainings], learn, self.scratch)
        yield from progress.over(cells, name, len(trainings), " trainings")

    def answers(
        self, trainings: Sequence[FoldTraining], progress: Progress, name: str = "folds"
    ) -> Outputs:
        """Return what trainings said of what they had not learnt; missing ones are made.

        Raises `InputUnusable` where the settings of one cannot be trained with.
        """
        if failed := [cell.failed for cell in self.each(trainings, progress, name) if cell.failed]:
            raise InputUnusable(
                f"a training on folds failed: {failed[0]}", "try other settings, or another preset"
            )
        return self.outputs(trainings)

    def _make_features(self, trainings: Sequence[FoldTraining], progress: Progress) -> None:
        """Make what missing trainings with the same settings learn on, where that is features.

        One pass makes those of all pictures; left to the folds, each would make a part of them, and
        prepare the backbone for it anew. What is wrong with the settings the trainings tell.
        """
        missing = self.missing(trainings)
        if not missing:
            return
        settings = missing[0].settings
        data = TrainingData(self.dataset, self.examples, settings, progress)
        if data.frozen_backbone and isinstance(settings, Transfer | Triplet):
            with suppress(UsageError):
                data.train_features(pretrained_backbone(settings, TrainingCallback())[0])

    def missing(self, trainings: Sequence[FoldTraining]) -> list[FoldTraining]:
        """Return those that are not known yet."""
        known = {_text(cell.options) for cell in read_trials(self.folder)}
        return [one for one in trainings if _text(one.key()) not in known]

    def outputs(self, trainings: Sequence[FoldTraining]) -> Outputs:
        """Return what trainings that are done said of what they had not learnt, one after another.

        Keys are those of the samples. Raises `InputUnusable` where the answers of one are gone.
        """
        parts = [trial_outputs(self.folder, one.key()) for one in trainings]
        return Outputs(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.y for part in parts]),
            tuple(key for part in parts for key in part.keys),
        )

    def fold(self, training: FoldTraining) -> Examples:
        """Return the examples of a training: its fold as test, of the rest its share as train.

        Val is that of the dataset, or else cut from train as for any training.
        """
        val = self.examples.splits["val"]
        only = replace(self.examples, splits=self.examples.splits | {"val": ()})
        parts = held_out_folds(only, self.folds, training.repeat, self.dealt)
        part = next(part for number, part in enumerate(parts) if number == training.fold)
        if val:
            return replace(part, splits=part.splits | {"val": val})
        return with_val(part, training.settings.seed)[0]

    def _learnt(self, training: FoldTraining, place: Path) -> tuple[Trial, Outputs]:
        part = self.fold(training)
        if part.splits["test"]:
            return judged_trial(self.dataset, part, training.settings, "test", place)
        none = np.zeros((0, len(part.classes)), np.float32)
        return Trial({}), Outputs(none, np.zeros(0, np.int64), ())


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
