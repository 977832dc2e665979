"""`baseline export`: a run as one file for another program."""

from __future__ import annotations

from pathlib import Path

import click

from gleanset.cli import Command, Job, Result, job_options
from gleanset.errors import UsageError


@click.command(
    cls=Command, epilog="Example: baseline export --format onnx model.onnx -d my-dataset"
)
@job_options()
@click.argument("names", nargs=-1, required=True, metavar="[RUN] OUT")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "litert"]),
    default="onnx",
    show_default=True,
    help="For servers and pages, or for phones.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Smaller and less exact: the cost is shown.",
)
def export(job: Job, names: tuple[str, ...], kind: str, precision: str) -> Result:
    """Write a RUN (its id or folder; the newest by default) as OUT, a .onnx or .tflite file.

    What happens to pictures before and after, the labels and the thresholds are inside, and
    described in OUT.json. The file is asked about up to 200 pictures of the dataset and only
    kept when it answers as the run does. int8 is calibrated on pictures of train.
    """
    if len(names) > 2:
        raise UsageError(f"{len(names)} names are too many", "write: baseline export [RUN] OUT")
    from baseline.cli_options import need_torch

    need_torch()
    from baseline.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(job.root, run, Path(names[-1]), kind, precision, job.progress)
