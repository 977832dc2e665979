"""`labeler quality`: which samples to look at first."""

from __future__ import annotations

import dataclasses

import click

from gleanset.cli import Command, Job, Result, job_options
from gleanset.errors import InputUnusable


@click.command(cls=Command, epilog="Example: labeler quality -d my-dataset")
@job_options(simulate=True)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def quality(job: Job, workers: int | None) -> Result:
    """Measure samples and count those that are blurred, black, white, tiny, full of text ...

    Only what is new or was cut anew is measured; outliers of their class are found anew each
    time. Nothing is decided: list them with `gleanset list samples --where flags=blurred`, or
    by a measure: --where 'blur>=0.7'.
    """
    from labeler.quality.session import QualitySession

    with job.open() as dataset:
        if not dataset.samples.count():
            raise InputUnusable(
                "there are no samples yet, so there is nothing to measure",
                f"find faces first: facecrop run -d {dataset.root}",
            )
        session = QualitySession(
            dataset, workers=workers or 0, progress=job.progress, simulate=job.simulate
        )
        return dataclasses.asdict(session.run())
