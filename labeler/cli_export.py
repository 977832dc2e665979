"""`labeler export`: the dataset as other tools read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gleanset.cli import Command, Job, Result, job_options
from labeler.export.options import FITS, FORMATS, NAMES, Options, parse_size


@click.command(
    cls=Command, epilog="Example: labeler export out --size 120x120 --grayscale -d my-dataset"
)
@job_options(simulate=True)
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="imagefolder",
    show_default=True,
    help="imagefolder: train|val|test/<class>/*.jpg; huggingface adds "
    "metadata.jsonl, csv adds samples.csv; coco: whole pictures with boxes; "
    "webdataset: tar shards.",
)
@click.option(
    "--names",
    type=click.Choice(NAMES),
    default="origin",
    show_default=True,
    help="Files named as they came, or cat_0001.jpg.",
)
@click.option("--size", metavar="WxH", help="Bring every picture to this size, such as 120x120.")
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="stretch",
    show_default=True,
    help="How a picture of another shape comes to the size.",
)
@click.option("--grayscale", is_flag=True, help="Without colour.")
@click.option(
    "--file",
    type=click.Choice(["jpeg", "png"]),
    default="jpeg",
    show_default=True,
    help="What the pictures are written as.",
)
@click.option(
    "--licence",
    "licences",
    multiple=True,
    metavar="PATTERN",
    help="Only pictures with a licence like this, such as 'cc-by*'.",
)
@click.option(
    "--keep-metadata",
    is_flag=True,
    help="Leave whole pictures as they were fetched, with place and camera.",
)
@click.option(
    "--card/--no-card",
    default=True,
    show_default=True,
    help="README.md (a dataset card) and LICENSES.csv.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def export(job: Job, out: Path, workers: int | None, **chosen: Any) -> Result | None:
    """Write the labelled samples that have a split as a tree that other tools read.

    OUT is swapped in when it is whole. Run again, it makes only what has changed anew. It
    never replaces a person's own files.
    """
    from gleanset.db.samples import Balances
    from labeler.export import export as write
    from labeler.export import would_export

    options = Options(format=chosen.pop("format_"), size=parse_size(chosen.pop("size")), **chosen)
    with job.open() as dataset:
        if not options.balances and Balances(dataset.db).settings():
            job.say("labeler: a COCO export has every picture once: the balance is left out")
        if job.simulate:
            paths = would_export(dataset, out, options)
            for path in dict.fromkeys(paths):
                job.show(path)
            return {"would_export": len(paths)} if job.as_json else None
        return write(dataset, out, options, workers=workers or 0, progress=job.progress)
