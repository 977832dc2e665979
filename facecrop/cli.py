"""The `facecrop` command: finding faces and cutting them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from facecrop.cli_compare import (
    checked_detector,
    compare,
    complete_detector,
    setting_options,
)
from facecrop.cli_docker import docker
from facecrop.request import FaceSearch, whole_instead
from gleanset.cli import CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import UsageError

commands = group("facecrop", "Find faces in the images of a dataset and cut them out.")
commands.add_command(compare)
commands.add_command(docker)


def cut_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return how faces are cut; what is not given comes from `dataset.toml`."""
    options = (
        click.option(
            "--margin", type=click.FloatRange(0, 3), help="Room around a face, in face sizes."
        ),
        click.option("--square/--no-square", default=None, help="Cut squares."),
        click.option(
            "--pad/--clamp",
            default=None,
            help="At the borders of an image: pad the cut, or clamp it.",
        ),
        click.option(
            "--level/--no-level", default=None, help="Turn tilted faces upright, by their eyes."
        ),
        click.option(
            "--min-size",
            type=click.IntRange(0, 10_000),
            metavar="PIXELS",
            help="Leave out faces whose shorter side is below this.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@commands.command(epilog="Example: facecrop run --detector animeface --margin 0.3 -d my-dataset")
@job_options(simulate=True, on=True)
@click.option(
    "--detector",
    metavar="NAME",
    callback=checked_detector,
    shell_complete=complete_detector,
    help="animeface, animeface-docker, drawnface, ensemble, lbpcascade, onnx, auto for the best "
    "that works here, or whole for pictures without faces.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Lowest score of a face.")
@setting_options
@cut_options
@click.option(
    "--new",
    "only_fresh",
    is_flag=True,
    help="Leave images out that any detector has searched, or that have a sample.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def run(
    job: CommandJob,
    detector: str | None,
    threshold: float | None,
    cascade: Path | None,
    options: tuple[str, ...],
    only_fresh: bool,
    workers: int | None,
    **cut: Any,
) -> Result:
    """Search every image that was not searched with these settings yet, and cut the faces.

    What is not given comes from the table [crop] of dataset.toml. Another margin, square,
    pad, level or min-size only cuts anew; crops that are missing are made again. Pictures that
    are not of faces are taken whole: --detector whole.
    """
    request = FaceSearch(
        detector=detector,
        threshold=threshold,
        cascade=cascade,
        options=options,
        only_fresh=only_fresh,
        workers=workers,
        **cut,
    )
    with job.open() as dataset:
        if job.simulate:
            return request.preview(dataset)
        found = request.run(dataset, job.progress)
        if (instead := whole_instead(dataset)) is not None:
            found["next"], why = instead
            job.say(why)
        return found


@commands.command(epilog="Example: facecrop box 3f9a 120,80,64,64 -d my-dataset")
@job_options()
@click.argument("image", required=False)
@click.argument("boxes", nargs=-1, metavar="[X,Y,WIDTH,HEIGHT]...")
@click.option(
    "--remove",
    "samples",
    multiple=True,
    metavar="SAMPLE",
    help="Take a box that was given so away again; labeler undo brings it back.",
)
def box(
    job: CommandJob, image: str | None, boxes: tuple[str, ...], samples: tuple[str, ...]
) -> Result:
    """Give faces that no detector found, as boxes in an IMAGE: gleanset list missed has such.

    IMAGE is its SHA-256, the beginning of that, or the path of its file. The boxes are
    pixels of the upright image. They stay whatever a detector finds later; labeler undo or
    --remove takes them away again.
    """
    from curation.manual_boxes import add_boxes, parse_box, remove_samples

    if bool(image and boxes) == bool(samples) or bool(image) != bool(boxes):
        raise UsageError("which box?", "give an IMAGE and its boxes, or --remove SAMPLE")
    with job.open() as dataset:
        if image is None:
            return remove_samples(dataset, samples)
        return add_boxes(dataset, image, [parse_box(text) for text in boxes])


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
