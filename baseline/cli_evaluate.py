"""`baseline evaluate` and `baseline doubts`: judging a run, choosing how it answers, its labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import click
import msgspec

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion import runs_here
from gleanset.errors import UsageError
from gleanset.html.words import percent
from gleanset.named_files import found_at

if TYPE_CHECKING:
    from baseline.judge.open_set import OpenSetResult
    from baseline.judge.reevaluate import Reevaluation
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
    "--unknown-error",
    metavar="SHARE",
    help="Choose on val below which confidence the answer is 'unknown': of the answers given, at "
    "most so many are wrong, such as 5%.",
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
    unknown_error: str | None,
    unknown_rate: str | None,
    open_set: bool,
    forget: bool,
) -> Result:
    """Judge a run (the newest by default) on the samples as they are now; its report is made anew.

    Thresholds are chosen on val and stored with the run, so that predict and the exported model
    answer by them. Every look at test is counted, and those of other runs are told.
    """
    from baseline.cli_options import need_torch

    need_torch()
    from baseline.judge.reevaluate import reevaluate
    from baseline.judge.report.page import write_report
    from baseline.judge.thresholds import RuleRequest
    from baseline.judge.words import judged_warnings, judged_words

    error = None if unknown_error is None else share_of(unknown_error, "--unknown-error")
    rate = None if unknown_rate is None else share_of(unknown_rate, "--unknown-rate")
    request = RuleRequest(dict(map(spare_of, spare)), error, rate)
    if forget and request.any:
        raise UsageError("--forget drops what the other options choose", "give them apart")
    request = replace(request, forget=forget)
    with job.open() as dataset, dataset.stage("baseline-evaluate"):
        measured = _open_set(job, dataset, run, rate) if open_set else None
        judged = reevaluate(
            dataset, run, split or ("val" if request.any else "test"), request, job.progress
        )
        report = write_report(dataset, judged.run)
    for line in judged_warnings(judged):
        job.say(f"baseline: {line}")
    result = _full(judged) if job.as_json else judged_words(judged)
    if measured is not None:
        result["open_set"] = msgspec.to_builtins(measured)
    return result | {"report": str(report)}


def _open_set(
    job: CommandJob, dataset: Dataset, run: str | None, rate: float | None
) -> OpenSetResult:
    """Measure how well a run says "unknown", and keep that with its figures."""
    from baseline.data.runs import finished_run
    from baseline.judge.left_out_classes import measure_open_set
    from baseline.judge.open_set import save_open_set

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


def _full(judged: Reevaluation) -> Result:
    result: Result = {"run": judged.run, judged.split: judged.figures, "copies": judged.copies}
    if judged.looks is not None:
        result["looked_before"] = judged.looks._asdict()
    chosen = msgspec.to_builtins(judged.chosen)
    result |= {name: values for name, values in chosen.items() if values}
    full: Result = msgspec.to_builtins(result)
    return full


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
    from baseline.judge.report.page import write_report
    from baseline.train.cross_validate import search_doubts

    with job.open() as dataset, dataset.stage("baseline"):
        name, folder = finished_run(dataset, run)
        found = search_doubts(dataset, name, folder, folds, job.progress)
        report = write_report(dataset, name)
        shown = [
            f"{one.sample}: {one.label}, perhaps {one.suggested} ({percent(one.confidence)}), "
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
