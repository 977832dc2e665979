"""The `facecrop` command: finding faces and cutting them out."""

from __future__ import annotations

from typing import NoReturn

import click

from gleanset.cli import Job, Result, group, job_options
from gleanset.cli import main as run_main

commands = group("facecrop", "Find faces in the images of a dataset and cut them out.")


@commands.command(epilog="Example: facecrop run --detector animeface --margin 0.3 -d my-dataset")
@job_options(simulate=True)
@click.option("--detector", help="animeface, or whole for pictures without faces.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Lowest score of a face.")
@click.option("--margin", type=click.FloatRange(0, 3), help="Room around a face, in face sizes.")
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def run(
    job: Job, detector: str | None, threshold: float | None, margin: float | None,
    workers: int | None,
) -> Result:  # fmt: skip
    """Search every image that was not searched with these settings yet.

    What is not given comes from dataset.toml ([crop] detector, threshold, margin).
    """
    from facecrop.detectors import DetectorSpec
    from facecrop.job import find_faces, scan_settings

    with job.open() as dataset:
        crop = dataset.settings.crop
        name = detector or crop.detector
        # The dataset's threshold is that of its own detector: scores of two do not compare.
        own = crop.threshold if name == crop.detector else None
        least = own if threshold is None else threshold
        spec = DetectorSpec.of(name, **({} if least is None else {"threshold": least}))
        room = crop.margin if margin is None else margin
        if job.simulate:
            settings = scan_settings(spec, room)
            return {"would_search": dataset.images.count_unscanned(name, settings)}
        return find_faces(dataset, spec, room, workers=workers or 0, progress=job.progress)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
