"""`baseline train --folds K`: how good a training with these settings is, on every picture.

Each of K networks learns all but one fold and answers that fold; moments are never torn. The K
trainings are kept as soon as each is done (`trials.py`), so whoever was stopped goes on
there. The answers together give the figures, the report and the labels in doubt. It measures and
keeps no network: test stays unseen until a preset is taken and trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from baseline.data.runs import FOLDS_ROOM, METRICS, ROOM, ending_told, new_run_id, run_folder
from baseline.data.samples import prior_shift
from baseline.judge.intervals import effective_moments, share_interval
from baseline.judge.metrics import classification_metrics
from baseline.judge.outputs import Outputs, save_outputs
from baseline.judge.report.folds_page import (
    FoldFigures,
    FoldMetrics,
    FoldsSummary,
    write_folds_report,
)
from baseline.judge.report.page import REPORT
from baseline.settings import Settings
from baseline.train.doubts import doubts_in
from baseline.train.trials import FoldTraining, FoldTrials
from gleanset import Dataset
from gleanset.binomial import UNKNOWN, few
from gleanset.db.runs import Doubts, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count, duration, percent
from gleanset.records import Run
from gleanset.work.progress import Progress

SWOLLEN = 1.5
"""By so much the variance of the share right is taken to be larger than that of one network on
these pictures: folds share what they learnt from (benchmarks/cross_validation.py)."""
HELD_OUT = "held out"
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


def plan_folds(dataset: Dataset, settings: Settings, folds: int) -> dict[str, Any]:
    """Return what would be trained. Raises as `cross_validate`."""
    trials = FoldTrials.of_all(dataset, dataset.cache, folds)
    trials.need_folds()
    missing = trials.missing(trials.trainings(settings))
    return {
        "settings": settings.to_json(),
        "folds": folds,
        "pictures": len(trials.labelled),
        "judged": len(trials.judged),
        "moments": len(set(trials.judged.values())),
        "trainings": len(missing),
    }


def cross_validate(
    dataset: Dataset,
    settings: Settings,
    folds: int,
    *,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> CrossValidation:
    """Train for each fold, judge all answers together, keep the doubts, and write the report.

    Trainings that are known are not made again. Raises `InputUnusable` where there
    are fewer moments than folds or nothing to learn from, `UsageError` where the split has
    another number of folds, and what training raises.
    """
    with dataset.stage(ROOM) as scratch:
        trials = FoldTrials.of_all(dataset, scratch, folds)
        trials.need_folds()
        facts = {**settings.to_json(), "folds": folds, "data": trials.folder.name}
        if (done := dataset.runs.finished(FOLDS_ROOM, facts)) is not None:
            say(f"known already, nothing was trained: {done.id} (-o seed=1 trains others)")
            return _told(dataset, done, done.result)
        trainings = trials.trainings(settings)
        fresh = new_run_id(dataset, f"{settings.preset}-folds")
        run = dataset.runs.begin(fresh, FOLDS_ROOM, facts)
        with ending_told(dataset, run.id):
            figures = _train(trials, trainings, progress or Progress(), say)
            result = _judge(trials, trainings, figures, run.id, scratch)
        dataset.runs.end(run.id, "done", result)
        write_folds_report(dataset, run.id, scratch=scratch)
    if words := few(result["moments"], result["effective_moments"]):
        say(f"there are {words}")
    return _told(dataset, run, result)


def _train(
    trials: FoldTrials, trainings: Sequence[FoldTraining], progress: Progress, say: Say
) -> list[FoldFigures]:
    """Train what is missing; what each fold came to."""
    missing = trials.missing(trainings)
    if missing:
        say(
            f"{count(len(missing), 'training')} on {count(len(trials.labelled), 'picture')}; "
            "stopped, the same command goes on"
        )
    figures: list[FoldFigures] = []
    began, new = time.monotonic(), [one in missing for one in trainings]
    for number, cell in enumerate(trials.each(trainings, progress), start=1):
        if cell.failed:
            raise InputUnusable(
                f"fold {number} cannot be trained: {cell.failed}", "try other settings"
            )
        told = trials.outputs([trainings[number - 1]])
        moments = len({trials.examples.moments[key] for key in told.keys})
        figures.append(FoldFigures(len(told), moments, cell.accuracy, cell.seconds))
        share = "nothing held out" if cell.accuracy is None else f"{percent(cell.accuracy)} right"
        to_go = _to_go(time.monotonic() - began, sum(new[:number]), sum(new[number:]))
        say(f"fold {number} of {len(trainings)}: {share}, {count(len(told), 'picture')}{to_go}")
    return figures


def _to_go(seconds: float, trained: int, left: int) -> str:
    """Say how long the trainings that are left take, by what those so far took; empty for none."""
    if not trained or not left:
        return ""
    return f"; about {duration(max(1.0, seconds / trained * left))} to go"


def _judge(
    trials: FoldTrials,
    trainings: Sequence[FoldTraining],
    folds: Sequence[FoldFigures],
    run: str,
    scratch: Path,
) -> dict[str, Any]:
    """Fill the folder of the run and the doubts; return what the catalogue keeps."""
    outputs, examples = trials.outputs(trainings), trials.examples
    places = [examples.moments[key] for key in outputs.keys]
    interval = share_interval(outputs.right, places, SWOLLEN) if len(set(places)) > 1 else UNKNOWN
    judged = classification_metrics(outputs.logits, outputs.y, outputs.keys, examples.classes)
    shift = prior_shift(examples, trainings[0].settings)
    doubts = doubts_in(outputs, places, examples.classes, run, shift)
    _note_look(trials, run, outputs)
    Doubts(trials.dataset.db).replace(doubts)
    summary = FoldsSummary(
        folds=list(folds),
        judged=len(outputs),
        moments=len(set(places)),
        effective_moments=effective_moments(places),
        not_judged=len(trials.labelled) - len(outputs),
        test=0 if trials.dealt else _in_test(trials.dataset),
        accuracy=judged.accuracy,
        at_least=interval.low,
        at_most=interval.high,
        spread=_spread(folds),
        log_loss=judged.log_loss,
        macro_f1=judged.macro_f1,
        doubts=len(doubts),
    )
    folder = run_folder(trials.dataset, run)
    save_outputs(folder, {HELD_OUT: outputs}, scratch=scratch)
    figures = replace(
        judged,
        moments=summary.moments,
        effective_moments=summary.effective_moments,
        intervals={"accuracy": interval},
    )
    settings = trainings[0].settings.to_json()
    metrics = FoldMetrics(list(examples.classes), settings, summary, figures)
    text = json.dumps(msgspec.to_builtins(metrics), ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)
    kept: dict[str, Any] = msgspec.to_builtins(summary)
    return kept


def _note_look(trials: FoldTrials, run: str, outputs: Outputs) -> None:
    """Record the look at test where the split is one into folds: one of them is test now."""
    now = {one.key for one in trials.examples.splits["train"] if one.split == "test"}
    if seen := now & set(outputs.keys):
        SplitEvaluations(trials.dataset.db).add(run, "test", seen, "folds")


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
