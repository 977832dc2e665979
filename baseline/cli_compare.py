"""`baseline compare` and `baseline report`: what runs came to, side by side and one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gleanset.binomial import few
from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion.values import runs_here
from gleanset.errors import InputUnusable
from gleanset.terminal import table

if TYPE_CHECKING:
    from baseline.judge.compare import ComparedRun, Comparison

_BY_TEST = "choosing the best run by test makes its figure too good: choose by --split val"


@click.command(
    cls=Command, epilog="Example: baseline compare --split val -o compare.html -d my-dataset"
)
@job_options()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=runs_here)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="The pictures to compare them on.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a plot, too: a .html page or a .png.",
)
def compare(job: CommandJob, runs: tuple[str, ...], split: str, output: Path | None) -> Result:
    """Compare runs (all finished ones by default) on the pictures they were all judged on.

    Nothing is computed anew: 'baseline evaluate' judges a run on the samples as they are. Each
    run is held against the first one, with an interval and an exact test of
    its moments. All figures are of what predict answers, by the calibrated scores of the run.
    """
    from baseline.data.runs import finished_runs
    from baseline.judge.compare import compare as compare_runs
    from baseline.judge.compare_plot import check_target, write_plot

    if output is not None:
        check_target(output)
    with job.open() as dataset:
        found = compare_runs(dataset, runs or finished_runs(dataset), split)
    if output is not None:
        write_plot(found, output)
    if split == "test" and len(found.rows) > 1:
        job.say(f"baseline: {_BY_TEST}")
    if words := few(found.moments, found.effective_moments):
        job.say(f"baseline: {found.split} has {words}")
    return _result(job, found) | ({"plot": str(output.absolute())} if output else {})


def _result(job: CommandJob, found: Comparison) -> Result:
    told: Result = {
        "split": found.split,
        "count": found.count,
        "left_out": found.left_out,
        "moments": found.moments,
        "effective_moments": found.effective_moments,
        "commonest_class": found.commonest_class,
    }
    if job.as_json:
        return told | {"runs": [row.to_json() for row in found.rows]}
    if not job.progress.quiet:
        for line in table([_HEAD, *(_cells(row) for row in found.rows)]):
            job.show(line)
    return told


_HEAD = (
    "run",
    "accuracy",
    "95 %",
    "against first",
    "p",
    "log loss",
    "ECE",
    "macro F1",
    "seconds",
    "parameters",
    "MB",
)


def _cells(row: ComparedRun) -> tuple[str, ...]:
    range_ = f"{row.interval.low:.3f}-{row.interval.high:.3f}" if row.interval else "-"
    against, p = "-", "-"
    if row.against is not None:
        mark = "*" if row.against.clear else ""
        against, p = f"{row.against.difference:+.3f}{mark}", f"{row.against.p:.3g}"
    return (
        row.run,
        f"{row.accuracy:.3f}",
        range_,
        against,
        p,
        f"{row.log_loss:.3f}",
        f"{row.ece:.3f}",
        f"{row.macro_f1:.3f}",
        f"{row.seconds:.0f}",
        "-" if row.parameters is None else f"{row.parameters:,}",
        "-" if row.size is None else f"{row.size / 1e6:.1f}",
    )


@click.command(cls=Command, epilog="Example: baseline report -d my-dataset")
@job_options()
@click.argument("run", required=False, shell_complete=runs_here)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it. Default: report.html in the folder of the run.",
)
def report(job: CommandJob, run: str | None, output: Path | None) -> Result:
    """Write the report of a run (the newest by default) anew: one HTML file."""
    from baseline.data.runs import finished_runs
    from baseline.judge.report import write_report

    with job.open() as dataset:
        name = run or finished_runs(dataset)[-1]
        if run and ((found := dataset.runs.get(run)) is None or found.status != "done"):
            raise InputUnusable(f"there is no finished run {run}", "see: gleanset list runs")
        return {"run": name, "report": str(write_report(dataset, name, target=output))}
