"""`baseline evaluate`, `compare`, `doubts` and `curve`: how good runs are, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from baseline.extras import need_transfer
from baseline.request import (
    CompareRunsRequest,
    DoubtsRequest,
    EvaluateRequest,
    protected_of,
    share_of,
)
from gleanset.cli import Command, CommandJob, Result, gone_option, job_options
from gleanset.errors import UsageError
from gleanset.html.words import percent
from gleanset.named_files import found_at
from gleanset.request import options_of
from gleanset.terminal import table

if TYPE_CHECKING:
    from baseline.judge.thresholds import RuleRequest

SHOWN = 20
_BY_TEST = "choosing the best run by test makes its figure too good: choose by --split val"


@click.command(
    cls=Command, epilog="Example: baseline evaluate --protect photo=99.9% --unknown-rate 5%"
)
@job_options()
@gone_option(
    "--open-set",
    what="classes are not left out one after another",
    hint="reject images of anything else, and read the model's card (docs/use.md)",
)
@gone_option(
    "--spare",
    what="it has another name",
    hint="baseline evaluate --protect CLASS=99.9%",
)
@gone_option(
    "--unknown-error",
    what="no threshold is chosen by the share of wrong answers",
    hint="for pictures of no class: --unknown-rate 5%; a least confidence: [web] unknown_below",
)
@options_of(EvaluateRequest)
def evaluate(job: CommandJob, request: EvaluateRequest) -> Result:
    """Judge a run (the newest by default) on the samples as they are now; its report is made anew.

    Thresholds are chosen on val and stored with the run, so that predict and the exported model
    answer by them. Every look at test is counted, and those of other runs are told.
    """
    need_transfer()
    from baseline.judge.reevaluate import reevaluate
    from baseline.judge.report.page import write_report
    from baseline.judge.words import judged_values, judged_warnings, judged_words

    wishes = _wishes(request)
    split = request.split or ("val" if wishes.any else "test")
    with job.open() as dataset, dataset.stage("baseline-evaluate"):
        judged = reevaluate(dataset, request.run, split, wishes, job.progress)
        report = write_report(dataset, judged.run)
    for line in judged_warnings(judged):
        job.say(f"baseline: {line}")
    result = judged_values(judged) if job.as_json else judged_words(judged)
    return result | {"report": str(report)}


def _wishes(request: EvaluateRequest) -> RuleRequest:
    from baseline.judge.thresholds import RuleRequest

    rate = request.unknown_rate
    wishes = RuleRequest(
        dict(map(protected_of, request.protect)), None if rate is None else share_of(rate)
    )
    if request.forget and wishes.any:
        raise UsageError("--forget drops what the other options choose", "give them apart")
    return RuleRequest({}, forget=True) if request.forget else wishes


@click.command(cls=Command, epilog="Example: baseline compare --split val -d my-dataset")
@job_options()
@gone_option(
    "--output",
    "-o",
    what="the table is printed",
    hint="for other programs: baseline compare --json",
)
@options_of(CompareRunsRequest)
def compare(job: CommandJob, request: CompareRunsRequest) -> Result:
    """Compare runs (all finished ones by default) on the pictures they were all judged on.

    Nothing is computed anew: 'baseline evaluate' judges a run on the samples as they are. Each
    run is held against the first one, with an interval and an exact test of
    its moments. All figures are of what predict answers, by the calibrated scores of the run.
    """
    from baseline.data.runs import finished_runs
    from baseline.judge.compare import compare as compare_runs
    from baseline.judge.words import COMPARED, compared_cells

    with job.open() as dataset:
        comparison = compare_runs(dataset, request.runs or finished_runs(dataset), request.split)
    if comparison.split == "test" and len(comparison.runs) > 1:
        job.say(f"baseline: {_BY_TEST}")
    if comparison.few:
        job.say(f"baseline: {comparison.split} has {comparison.few}")
    values: Result = msgspec.to_builtins(comparison)
    if not job.as_json:
        del values["runs"]
        if not job.progress.quiet:
            for line in table([COMPARED, *map(compared_cells, comparison.runs)]):
                job.show(line)
    return values


@click.command(cls=Command, epilog="Example: baseline doubts --folds 5 -d my-dataset")
@job_options()
@options_of(DoubtsRequest)
def doubts(job: CommandJob, request: DoubtsRequest) -> Result:
    """Find labels that are likely wrong, by networks that had not learnt the picture.

    Trains anew with the settings of a run (the newest by default), on whole moments, over all
    labelled samples. The labels in doubt are stored for review and shown in the run's report.
    """
    need_transfer()
    from baseline.data.runs import finished_run
    from baseline.judge.report.page import write_report
    from baseline.train.doubts import search_doubts

    with job.open() as dataset, dataset.stage("baseline"):
        name, folder = finished_run(dataset, request.run)
        search = search_doubts(dataset, name, folder, request.folds, job.progress)
        report = write_report(dataset, name)
        samples = [
            doubt._asdict() | {"path": found_at(dataset, doubt.sample)} for doubt in search.doubts
        ]
        shown = [
            f"{doubt.sample}: {doubt.label}, perhaps {doubt.suggested} "
            f"({percent(doubt.confidence)}), {found_at(dataset, doubt.sample)}"
            for doubt in search.doubts[:SHOWN]
        ]
    values: Result = {
        "run": name,
        "folds": request.folds,
        "labelled": search.labelled,
        "judged": search.judged,
        "agree": search.accuracy,
        "doubts": len(search.doubts),
        "report": str(report),
    }
    if job.as_json:
        return values | {"samples": samples}
    mend = "labeler --view review, or labeler label CLASS SAMPLE"
    return values | ({"clearest": shown, "to_mend": mend} if shown else {})
