"""`gleanset episodes`: from videos to faces that were followed."""

from __future__ import annotations

from pathlib import Path

import click

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.request import options_of
from pipeline.episodes.request import EpisodesRequest


@click.command(cls=Command, epilog="Example: gleanset episodes ~/episodes -d my-dataset")
@job_options(simulate=True, on=True)
@options_of(EpisodesRequest)
def episodes(job: CommandJob, request: EpisodesRequest) -> Result | None:
    """Find the faces of videos while they are decoded, and follow each through its scene.

    Of each face that is followed, its track, the few frames are kept that show it best: large,
    sharp, and different in pose and mouth. All faces of a track are one stack: one gesture names
    them (labeler label NAME --stack TRACK). Openings and endings are taken once.

    VIDEO is a file, a folder (searched with all below it), a pattern, or the address of a page
    with a video.
    """
    from harvest.cli import carry_out

    return carry_out(job, request)


@click.command(cls=Command, epilog="Example: gleanset timeline -d my-dataset")
@job_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to write them. Default: in the dataset.",
)
def timeline(job: CommandJob, out: Path | None) -> Result:
    """Write who is on screen when: a page, timeline.html, and the cut list of each person as CSV.

    Of the tracks of gleanset episodes: each is who most of it are labelled.
    """
    from pipeline.episodes.timeline import write_timelines

    with job.open() as dataset:
        return write_timelines(dataset, out or dataset.root)


COMMANDS = (episodes, timeline)
