"""`labeler import`: labelled pictures from elsewhere, and our exports moved by hand."""

from __future__ import annotations

from pathlib import Path

import click

from gleanset.cli import Command, Job, Result, job_options


@click.command(
    "import", cls=Command, epilog="Example: labeler import ~/sorted-pictures -d my-dataset"
)
@job_options(simulate=True)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def import_(job: Job, path: Path, workers: int | None) -> Result:
    """Take in labelled pictures: a class tree, a COCO file or a metadata.jsonl.

    Folders are classes, with train|val|test above them or not; boxes become faces. An export
    of this dataset is read back: what was moved into another class folder is relabelled. It is
    one step: labeler undo takes it back.
    """
    from labeler.importing.job import import_labelled
    from labeler.importing.reading import check_place

    check_place(path)
    with job.open() if job.simulate else job.create() as dataset:
        return import_labelled(
            dataset, path, simulate=job.simulate, workers=workers or 0, progress=job.progress
        )
