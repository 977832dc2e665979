"""`baseline train --folds K`: how good a training with these settings is, on every image.

Each of K networks learns all but one fold and predicts that fold (`cross_validation.py`); groups
are never torn. The predictions together give the figures, the report and the labels in doubt. No
network is kept: test stays unseen until a preset is chosen and trained.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from baseline.data.grouped_split import held_out_folds
from baseline.data.runs import FOLDS_ROOM, METRICS, ROOM, ending_told, new_run_id, run_folder
from baseline.data.samples import Examples, find_foldable, prior_shift
from baseline.judge.intervals import effective_moments, share_interval
from baseline.judge.metrics import classification_metrics
from baseline.judge.outputs import Outputs, joined_outputs, save_outputs
from baseline.judge.report.folds_page import (
    FoldFigures,
    FoldMetrics,
    FoldsSummary,
    write_folds_report,
)
from baseline.judge.report.page import REPORT
from baseline.settings import Settings
from baseline.train.cross_validation import (
    HELD_OUT,
    Fold,
    FoldResult,
    cross_validate,
    folds_with_val,
    is_kept,
    training_key,
)
from baseline.train.doubts import doubts_in
from gleanset import Dataset
from gleanset.binomial import UNKNOWN, few
from gleanset.db.runs import Doubts, SplitEvaluations
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count, duration, percent
from gleanset.records import Run
from gleanset.work.progress import Progress

SWOLLEN = 1.5
"""By so much the variance of the share right is taken to be larger than that of one network on
these pictures: folds share what they learnt from (benchmarks/cross_validation.py)."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What a cross-validation came to: the run, and what the catalogue keeps of it."""

    run: str
    report: Path
    result: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {"run": self.run, **self.result, "report": str(self.report)}

    def words(self) -> dict[str, Any]:
        """Return it as lines for a person."""
        result = self.result
        accuracies = [one["accuracy"] for one in result["folds"] if one["accuracy"] is not None]
        shares = " ".join(f"{100 * one:.1f}" for one in accuracies)
        left = [
            *([f"{result['not_judged']:,} could not be held out"] if result["not_judged"] else []),
            *([f"{result['test']:,} of test were not looked at"] if result["test"] else []),
        ]
        return {
            "run": self.run,
            "right": f"{100 * result['accuracy']:.1f} % of {count(result['judged'], 'picture')}, "
            "none of them learnt by who answered",
            "interval": f"{100 * result['at_least']:.1f} to {100 * result['at_most']:.1f} % "
            f"(95 %), by {count(result['moments'], 'moment')}",
            "folds": f"{shares} %, standard deviation {100 * result['spread']:.1f} points",
            **({"left out": "; ".join(left)} if left else {}),
            "doubts": f"{count(result['doubts'], 'label')} in doubt, kept for review",
            "report": str(self.report),
            "next": "the same command without --folds trains the network to use",
        }


@dataclass(frozen=True, slots=True)
class DealtFolds:
    """Folds of the labelled samples of train and val, or of the split where that is in folds.

    `examples` has all samples as train; `by_split` says whether the folds are those of the split.
    """

    dataset: Dataset
    examples: Examples
    folds: tuple[Fold, ...]
    by_split: bool

    @classmethod
    def of(cls, dataset: Dataset, settings: Settings, folds: int) -> DealtFolds:
        """Deal the folds. Raises `InputUnusable` where there are fewer groups than folds,
        `UsageError` where the split has another number of folds.
        """
        examples = find_foldable(dataset)
        dealt = {sample.key: sample.fold for sample in examples.splits["train"] if sample.fold}
        if dealt and (split_folds := max(dealt.values())) != folds:
            raise UsageError(
                f"the split is one into {split_folds} folds, not {folds}",
                f"take those: --folds {split_folds}; or split again: labeler split",
            )
        parts = held_out_folds(examples, folds, 0, dealt or None)
        dealt_folds = tuple(folds_with_val(parts, settings.seed))
        return cls(dataset, examples, dealt_folds, bool(dealt))

    @property
    def keys(self) -> set[str]:
        """The samples, each once."""
        return {sample.key for sample in self.examples.splits["train"]}

    def missing(self, settings: Settings) -> list[Fold]:
        """Return the folds whose predictions are not known yet."""
        return [fold for fold in self.folds if not is_kept(self.dataset, settings, fold)]

    def digest(self, settings: Settings) -> str:
        """Return a hash of the trainings."""
        keys = [training_key(settings, fold) for fold in self.folds]
        return hashlib.sha256(repr(keys).encode()).hexdigest()[:16]


def plan_folds(dataset: Dataset, settings: Settings, folds: int) -> dict[str, Any]:
    """Return what would be trained. Raises as `run_cross_validation`."""
    dealt = DealtFolds.of(dataset, settings, folds)
    judged = [sample.key for fold in dealt.folds for sample in fold.examples.splits["test"]]
    return {
        "settings": settings.to_json(),
        "folds": folds,
        "pictures": len(dealt.keys),
        "judged": len(judged),
        "moments": len({dealt.examples.moments[key] for key in judged}),
        "trainings": len(dealt.missing(settings)),
    }


def run_cross_validation(
    dataset: Dataset,
    settings: Settings,
    folds: int,
    *,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> CrossValidation:
    """Train for each fold, judge all predictions together, keep the doubts, and write the report.

    Trainings that are known are not made again. Raises `InputUnusable` where there
    are fewer groups than folds or nothing to learn from, `UsageError` where the split has
    another number of folds, and what training raises.
    """
    with dataset.stage(ROOM) as scratch:
        dealt = DealtFolds.of(dataset, settings, folds)
        facts = {**settings.to_json(), "folds": folds, "data": dealt.digest(settings)}
        if (done := dataset.runs.finished(FOLDS_ROOM, facts)) is not None:
            say(f"known already, nothing was trained: {done.id} (-o seed=1 trains others)")
            return _told(dataset, done, done.result)
        fresh = new_run_id(dataset, f"{settings.preset}-folds")
        run = dataset.runs.begin(fresh, FOLDS_ROOM, facts)
        with ending_told(dataset, run.id):
            results = _train(dealt, settings, progress or Progress(), say)
            result = _judge(dealt, settings, results, run.id, scratch)
        dataset.runs.end(run.id, "done", result)
        write_folds_report(dataset, run.id, scratch=scratch)
    if words := few(result["moments"], result["effective_moments"]):
        say(f"there are {words}")
    return _told(dataset, run, result)


def _train(dealt: DealtFolds, settings: Settings, progress: Progress, say: Say) -> list[FoldResult]:
    """Train for each fold whose predictions are missing, and report each."""
    missing = dealt.missing(settings)
    if missing:
        say(
            f"{count(len(missing), 'training')} on {count(len(dealt.keys), 'picture')}; "
            "stopped, the same command goes on"
        )
    began, new = time.monotonic(), [fold in missing for fold in dealt.folds]
    results: list[FoldResult] = []
    for result in cross_validate(dealt.dataset, settings, dealt.folds, progress):
        results.append(result)
        number, images = len(results), count(len(result.outputs), "picture")
        accuracy = result.accuracy
        share = "nothing held out" if accuracy is None else f"{percent(accuracy)} right"
        to_go = _to_go(time.monotonic() - began, sum(new[:number]), sum(new[number:]))
        say(f"fold {number} of {len(new)}: {share}, {images}{to_go}")
    return results


def _to_go(seconds: float, trained: int, left: int) -> str:
    """Say how long the trainings that are left take, by what those so far took; empty for none."""
    if not trained or not left:
        return ""
    return f"; about {duration(max(1.0, seconds / trained * left))} to go"


def _judge(
    dealt: DealtFolds,
    settings: Settings,
    results: Sequence[FoldResult],
    run: str,
    scratch: Path,
) -> dict[str, Any]:
    """Fill the folder of the run and the doubts; return what the catalogue keeps."""
    outputs, examples = joined_outputs([result.outputs for result in results]), dealt.examples
    groups = [examples.moments[key] for key in outputs.keys]
    interval = share_interval(outputs.right, groups, SWOLLEN) if len(set(groups)) > 1 else UNKNOWN
    judged = classification_metrics(outputs.logits, outputs.y, outputs.keys, examples.classes)
    shift = prior_shift(examples, settings)
    doubts = doubts_in(outputs, groups, examples.classes, run, shift)
    _note_look(dealt, run, outputs)
    Doubts(dealt.dataset.db).replace(doubts)
    folds = [_fold_figures(result, examples) for result in results]
    summary = FoldsSummary(
        folds=folds,
        judged=len(outputs),
        moments=len(set(groups)),
        effective_moments=effective_moments(groups),
        not_judged=len(dealt.keys) - len(outputs),
        test=0 if dealt.by_split else _in_test(dealt.dataset),
        accuracy=judged.accuracy,
        at_least=interval.low,
        at_most=interval.high,
        spread=_spread(folds),
        log_loss=judged.log_loss,
        macro_f1=judged.macro_f1,
        doubts=len(doubts),
    )
    folder = run_folder(dealt.dataset, run)
    save_outputs(folder, {HELD_OUT: outputs}, scratch=scratch)
    figures = replace(
        judged,
        moments=summary.moments,
        effective_moments=summary.effective_moments,
        intervals={"accuracy": interval},
    )
    metrics = FoldMetrics(list(examples.classes), settings.to_json(), summary, figures)
    text = json.dumps(msgspec.to_builtins(metrics), ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)
    kept: dict[str, Any] = msgspec.to_builtins(summary)
    return kept


def _fold_figures(result: FoldResult, examples: Examples) -> FoldFigures:
    groups = {examples.moments[key] for key in result.outputs.keys}
    return FoldFigures(len(result.outputs), len(groups), result.accuracy, result.seconds)


def _note_look(dealt: DealtFolds, run: str, outputs: Outputs) -> None:
    """Record the look at test where the split is one into folds: one of them is test now."""
    now = {one.key for one in dealt.examples.splits["train"] if one.split == "test"}
    if seen := now & set(outputs.keys):
        SplitEvaluations(dealt.dataset.db).add(run, "test", seen, "folds")


def _spread(folds: Sequence[FoldFigures]) -> float:
    """Return the standard deviation of the accuracies of the folds."""
    shares = [one.accuracy for one in folds if one.accuracy is not None]
    return float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0


def _in_test(dataset: Dataset) -> int:
    """Return how many samples are in test."""
    counts = dataset.samples.counts("split", "status", "kept")
    return counts.get(("test", "labelled", "kept"), 0)


def _told(dataset: Dataset, run: Run, result: Mapping[str, Any]) -> CrossValidation:
    report = (run_folder(dataset, run.id) / REPORT).absolute()
    return CrossValidation(run.id, report, result)
