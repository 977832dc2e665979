"""`baseline evaluate` and `baseline doubts`: judging a run, choosing how it answers, its labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from gleanset.binomial import few
from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion.values import runs_here
from gleanset.errors import UsageError
from gleanset.html.words import count, percent
from gleanset.named_files import found_at

if TYPE_CHECKING:
    from baseline.judge.decision_rule import RecallThreshold, RejectOption
    from baseline.judge.familiarity import FamiliarityThreshold
    from baseline.judge.reevaluate import Reevaluation
    from baseline.judge.unknown_figures import OpenSetResult
    from gleanset import Dataset

SHOWN = 20
UNKNOWN_RATE = 0.05
"""Known pictures that may be called unknown, where nothing is said."""


@click.command(
    cls=Command, epilog="Example: baseline evaluate --spare photo=99.9% --unknown-error 5%"
)
@job_options()
@click.argument("run", required=False, shell_complete=runs_here)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default=None,
    help="The samples to judge it on. Default: test, or val when something is chosen.",
)
@click.option(
    "--spare",
    multiple=True,
    metavar="CLASS=SHARE",
    help="Choose a threshold on val that leaves so many pictures of a class their name, "
    "such as photo=99.9%. May be repeated.",
)
@click.option(
    "--unknown-below",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Answer 'unknown' below this confidence.",
)
@click.option(
    "--unknown-error",
    metavar="SHARE",
    help="Choose that confidence on val: of the answers given, at most so many are "
    "wrong, such as 5%.",
)
@click.option(
    "--unknown-rate",
    metavar="SHARE",
    help="Choose on val what is too unfamiliar: of known pictures at most so many are answered "
    "'unknown', such as 5%, so that pictures of no class are.",
)
@click.option(
    "--open-set",
    is_flag=True,
    help="Measure 'unknown': train anew without some of the classes, each in turn, and show these "
    "networks the pictures of the classes left out, with --unknown-rate (default 5%).",
)
@click.option("--forget", is_flag=True, help="Forget the thresholds that were chosen before.")
def evaluate(
    job: CommandJob,
    run: str | None,
    split: str | None,
    spare: tuple[str, ...],
    unknown_below: float | None,
    unknown_error: str | None,
    unknown_rate: str | None,
    open_set: bool,
    forget: bool,
) -> Result:
    """Judge a run (the newest by default) on the samples as they are now.

    Thresholds are chosen on val and stored with the run, so that predict and the exported model
    answer by them. Every look at test is counted, and those of other runs are told.
    """
    from baseline.cli_options import need_torch

    need_torch()
    from baseline.judge.reevaluate import RuleRequest, reevaluate
    from baseline.judge.report import write_report

    if unknown_below is not None and unknown_error is not None:
        raise UsageError(
            "--unknown-below and --unknown-error both choose one threshold", "give one of them"
        )
    error = None if unknown_error is None else share_of(unknown_error, "--unknown-error")
    rate = None if unknown_rate is None else share_of(unknown_rate, "--unknown-rate")
    request = RuleRequest(dict(map(spare_of, spare)), unknown_below, error, rate)
    if forget and request.any:
        raise UsageError("--forget drops what the other options choose", "give them apart")
    request = replace(request, forget=forget)
    with job.open() as dataset, dataset.stage("baseline-evaluate"):
        measured = _open_set(job, dataset, run, rate) if open_set else None
        found = reevaluate(
            dataset, run, split or ("val" if request.any else "test"), request, job.progress
        )
        report = write_report(dataset, found.run)
    _warn(job, found)
    told = _full(found) if job.as_json else _short(found)
    if measured is not None:
        told["open_set"] = measured.to_json()
    return told | {"report": str(report)}


def _open_set(
    job: CommandJob, dataset: Dataset, run: str | None, rate: float | None
) -> OpenSetResult:
    """Measure how well a run says "unknown", and keep that with its figures."""
    from baseline.data.runs import finished_run
    from baseline.judge.left_out_classes import measure_open_set
    from baseline.judge.unknown_figures import save_open_set

    name, folder = finished_run(dataset, run)
    wanted = UNKNOWN_RATE if rate is None else rate
    measured = measure_open_set(dataset, name, folder, wanted, job.progress)
    save_open_set(folder, measured)
    job.say(f"baseline: {measured.describe()}")
    return measured


def spare_of(text: str) -> tuple[str, float]:
    """Parse `photo=99.9%` as ('photo', 0.999). Raises `UsageError`."""
    name, equals, share = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"--spare {text}: not CLASS=SHARE", "write for instance photo=99.9%")
    return name.strip(), share_of(share, f"--spare {name}")


def share_of(text: str, option: str) -> float:
    """Parse `99.9%` or `0.999` as 0.999. Raises `UsageError`."""
    number, percents = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percents else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"{option}: {text!r} is not a share", "write for instance 99.9% or 0.999")
    return share


def _warn(job: CommandJob, found: Reevaluation) -> None:
    """Say what a person should know before believing the figures."""
    from baseline.judge.report_metrics import reuse_warning

    if found.looks and (words := reuse_warning(found.looks)):
        job.say(f"baseline: {words}")
    if found.warning:
        job.say(f"baseline: {found.warning}")
    figures: Any = found.figures
    if words := few(figures["moments"], figures["effective_moments"]):
        job.say(f"baseline: {found.split} has {words}")
    for one in found.recall_thresholds:
        job.say(f"baseline: {describe_recall_threshold(one)}")
    if found.reject_option is not None:
        job.say(f"baseline: {describe_reject_option(found.reject_option)}")
    if found.familiarity is not None:
        job.say(f"baseline: {describe_familiarity(found.familiarity)}")


def describe_recall_threshold(one: RecallThreshold) -> str:
    """Say what a threshold does, and what it does not promise."""
    unknown = f", {one.unknown} of them unknown" if one.unknown else ""
    said = (
        f"{one.name}: on val {one.lost} of {one.count} ({count(one.moments, 'moment')}) would not "
        f"keep their name{unknown}; with 95 % confidence at most {100 * one.at_most:.3g} % of such "
        "pictures will not"
    )
    if one.promised:
        return said
    if not one.needed:
        return f"{said}; no number of moments can promise {100 * one.wanted:.4g} %"
    needed = f"val needs {one.needed:,} moments of it and no mistake"
    return f"{said}; to promise {100 * one.wanted:.4g} %, {needed}"


def describe_reject_option(found: RejectOption) -> str:
    """Say how much is answered, and how often wrongly."""
    start = (
        f"below {found.below:.3f} the answer is unknown"
        if found.below
        else ("no answer has to be unknown")
    )
    return (
        f"{start}: {percent(found.coverage)} of val are "
        f"answered, {found.errors} of these {found.answered} ({count(found.moments, 'moment')}) "
        f"wrongly; with 95 % confidence at "
        f"most {100 * found.at_most:.3g} % of answers are wrong"
    )


def describe_familiarity(found: FamiliarityThreshold) -> str:
    """Say what is called unknown, and what is promised of it."""
    said = (
        f"below a familiarity of {found.below:.3f} the answer is unknown: {found.unknown} of "
        f"{found.count} pictures of val ({count(found.moments, 'moment')}) would be; of pictures "
        f"of these classes at most {100 * found.on_average:.3g} % on average, and of as many "
        f"others as val has, with 95 % confidence, at most {100 * found.at_most:.3g} %"
    )
    if found.promised:
        return said
    if not found.needed:
        return f"{said}; no number of moments can promise 0 %"
    return f"{said}; to promise {100 * found.wanted:.4g} %, val needs {found.needed:,} moments"


def _full(found: Reevaluation) -> Result:
    told: Result = {"run": found.run, found.split: found.figures, "copies": found.copies}
    if found.looks is not None:
        told["looked_before"] = {
            "times": found.looks.times,
            "runs": list(found.looks.runs),
            "otherwise": found.looks.otherwise,
        }
    if found.recall_thresholds:
        told["spared"] = [one.to_json() for one in found.recall_thresholds]
    if found.reject_option is not None:
        told["unknown"] = found.reject_option.to_json()
    if found.familiarity is not None:
        told["unfamiliar"] = found.familiarity.to_json()
    return told


def _short(found: Reevaluation) -> Result:
    from baseline.train.train_words import commonest_words, interval_words, right_words

    figures: dict[str, Any] = dict(found.figures)
    told: Result = {"run": found.run, **right_words(found.split, figures, found.copies)}
    if interval := figures["intervals"].get("accuracy"):
        low, high = interval
        told["interval"] = interval_words(low, high, figures["moments"])
    told["to compare"] = commonest_words(figures)
    told["macro F1"] = f"{figures['macro_f1']:.3f}"
    before, classwise = figures["uncalibrated"], figures["classwise"]
    told["probabilities"] = (
        f"log loss {figures['log_loss']:.3f}, ECE {figures['ece']:.3f}, as predict answers; by the "
        f"scores before scaling {before['log_loss']:.3f} and {before['ece']:.3f}"
    )
    warning = f" ({classwise['warning']})" if classwise["warning"] else ""
    told["classwise ECE"] = f"{classwise['ece']:.3f}{warning}"
    if found.looks is not None:
        told["looked at before"] = count(found.looks.times, "time")
    told["classes"] = {score["name"]: _of_class(score, found.split) for score in figures["classes"]}
    return told


def _of_class(score: dict[str, Any], split: str) -> str:
    """Say how well a class is known; one that was only added to a gallery has nothing to judge."""
    if not score["support"]:
        return f"not judged: no picture of it is in {split}"
    return (
        f"precision {score['precision']:.3f}, recall {score['recall']:.3f}, F1 {score['f1']:.3f}, "
        f"{count(score['support'], 'picture')}"
    )


@click.command(cls=Command, epilog="Example: baseline doubts --folds 5 -d my-dataset")
@job_options()
@click.argument("run", required=False, shell_complete=runs_here)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Parts of the samples; a network is trained for each, on the others.",
)
def doubts(job: CommandJob, run: str | None, folds: int) -> Result:
    """Find labels that are likely wrong, by networks that had not learnt the picture.

    Trains anew with the settings of a run (the newest by default), on whole moments, over all
    labelled samples. The labels in doubt are stored for review and shown in the run's report.
    """
    from baseline.cli_options import need_torch

    need_torch()
    from baseline.data.runs import finished_run
    from baseline.judge.report import write_report
    from baseline.train.cross_validate import search_doubts

    with job.open() as dataset, dataset.stage("baseline"):
        name, folder = finished_run(dataset, run)
        found = search_doubts(dataset, name, folder, folds, job.progress)
        report = write_report(dataset, name)
        shown = [
            f"{one.sample}: {one.given}, perhaps {one.suggested} ({percent(one.confidence)}), "
            f"{found_at(dataset, one.sample)}"
            for one in found.doubts[:SHOWN]
        ]
    told: Result = {
        "run": name,
        "folds": folds,
        "labelled": found.labelled,
        "judged": found.judged,
        "agree": found.accuracy,
        "doubts": len(found.doubts),
        "report": str(report),
    }
    if job.as_json:
        return told | {"samples": [one._asdict() for one in found.doubts]}
    mend = "labeler --view review, or labeler label CLASS SAMPLE"
    return told | ({"clearest": shown, "to_mend": mend} if shown else {})
