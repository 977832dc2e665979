"""`baseline compare`: what runs came to, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion import runs_here
from gleanset.terminal import table

if TYPE_CHECKING:
    from baseline.judge.compare import Comparison

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
    from baseline.judge.compare import check_target, write_plot
    from baseline.judge.compare import compare as compare_runs

    if output is not None:
        check_target(output)
    with job.open() as dataset:
        comparison = compare_runs(dataset, runs or finished_runs(dataset), split)
    if output is not None:
        write_plot(comparison, output)
    if split == "test" and len(comparison.runs) > 1:
        job.say(f"baseline: {_BY_TEST}")
    if comparison.few:
        job.say(f"baseline: {split} has {comparison.few}")
    return _result(job, comparison) | ({"plot": str(output.absolute())} if output else {})


def _result(job: CommandJob, comparison: Comparison) -> Result:
    from baseline.judge.words import COMPARED, compared_cells

    values: Result = msgspec.to_builtins(comparison)
    rows = values.pop("runs")
    if job.as_json:
        return values | {"runs": rows}
    if not job.progress.quiet:
        for line in table([COMPARED, *map(compared_cells, comparison.runs)]):
            job.show(line)
    return values
