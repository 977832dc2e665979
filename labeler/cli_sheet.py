"""`labeler sheet`: every class at a glance."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from gleanset.cli import Command, Job, Result, job_options
from gleanset.images.contact_sheet import checked_ending


@click.command(cls=Command, epilog="Example: labeler sheet classes.png -d my-dataset")
@job_options()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.png|jpg")
@click.option(
    "--class", "names", multiple=True, metavar="NAME", help="Only this class; may be repeated."
)
@click.option(
    "--each", type=click.IntRange(1, 50), default=5, show_default=True, help="Portraits of a class."
)
@click.option(
    "--size",
    type=click.IntRange(32, 1024),
    default=128,
    show_default=True,
    help="Side of a portrait in pixels.",
)
def sheet(job: Job, out: Path, names: tuple[str, ...], each: int, size: int) -> Result:
    """One picture with each class in a row: its name, its count, a few portraits.

    Shown are the sharpest and most typical of each class; samples that are new are measured for
    that, as `labeler quality` does.
    """
    from labeler.quality.session import QualitySession
    from labeler.sheet import make_sheet

    checked_ending(out)
    with job.open(rehearse=True) as dataset:
        QualitySession(dataset, progress=job.progress).run()
        made = make_sheet(dataset, out, names=names, each=each, size=size)
        if made.without_font:
            job.say(
                f"no font here has {made.without_font}; for Chinese, Japanese and Korean "
                "install Noto Sans CJK (Debian: apt install fonts-noto-cjk)"
            )
        told = dataclasses.asdict(made)
        return {name: value for name, value in told.items() if value != ""}
